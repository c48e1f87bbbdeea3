/**
 * The shop's own login: an OpenID provider, as a shop has one already. Whoever gives a name has an account of it here, with any
 * password; `staff` is one of the shop's people. Of Holdfast it knows the audience of its access tokens, as of any API of the shop.
 */
import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';
import Provider, { type Configuration, errors } from 'oidc-provider';
import { keptInMemory } from './kept.ts';
import { closer, listen, readForm } from './web.ts';

export interface Identity {
  issuer: string;
  clientId: string;
  clientSecret: string;
  close(): Promise<void>;
}

export interface IdentityOptions {
  port: number;
  /** Where a customer comes back to. */
  redirectUri: string;
  /** For whom its access tokens can be: the APIs of the shop. */
  audience: string;
}

/** Whoever takes an access token from a page has it for so long. */
const accessTokenSeconds = 300;
const namePattern = /^[a-z0-9-]{1,40}$/;

/** Starts the provider on 127.0.0.1. */
export async function startIdentity(options: IdentityOptions): Promise<Identity> {
  const { port, redirectUri, audience } = options;
  const [clientId, clientSecret] = ['shop', randomBytes(32).toString('base64url')];
  const issuer = `http://127.0.0.1:${port}`;
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const configuration: Configuration = {
    // Everything begins afresh at each start; a shop's provider has a database.
    adapter: keptInMemory(),
    clients: [
      {
        ...{ client_id: clientId, client_secret: clientSecret, redirect_uris: [redirectUri] },
        grant_types: ['authorization_code', 'refresh_token'],
      },
    ],
    // The shop's server gets the next access token by itself, for as long as its customer is signed in here.
    issueRefreshToken: async () => true,
    claims: { openid: ['sub'], profile: ['name'] },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, name: sub }) }),
    features: {
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo(_, resource) {
          if (resource !== audience) throw new errors.InvalidTarget();
          const jwt = { sign: { alg: 'RS256' } as const };
          return { audience, scope: '', accessTokenFormat: 'jwt', jwt };
        },
      },
    },
    interactions: { url: (_, { uid }) => `/sign-in/${uid}` },
    // The one client is the shop itself, so nobody is asked whether it may know who they are.
    async loadExistingGrant({ oidc }) {
      const { client, session, provider } = oidc;
      if (!client || !session?.accountId) return undefined;
      const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
      grant.addOIDCScope('openid profile');
      await grant.save();
      return grant;
    },
    pkce: { required: () => true },
    jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: 'RS256', use: 'sig' }] },
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    // Longer than anybody tries this out.
    ttl: {
      Interaction: 3_600,
      Session: 86_400,
      Grant: 86_400,
      IdToken: 3_600,
      AccessToken: accessTokenSeconds,
      RefreshToken: 86_400,
    },
  };
  const provider = new Provider(issuer, configuration);
  const protocol = provider.callback();

  async function signIn(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === 'POST') {
      const name = (await readForm(request)).get('name') ?? '';
      if (namePattern.test(name)) {
        return provider.interactionFinished(request, response, { login: { accountId: name } });
      }
    }
    await provider.interactionDetails(request, response);
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(signInPage);
  }

  const server = createServer((request, response) => {
    if (!request.url?.startsWith('/sign-in/')) return void protocol(request, response);
    signIn(request, response).catch(() => response.writeHead(400).end('Begin again at the shop.\n'));
  });
  await listen(server, port);
  return { issuer, clientId, clientSecret, close: closer(server) };
}

const signInPage = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Sign in</title>
<meta name="viewport" content="width=device-width">
<style>body { font: 1rem system-ui, sans-serif; max-width: 22rem; margin: 4rem auto } input { font: inherit; width: 100% }</style>
<h1>Sign in to the shop</h1>
<p>Any name of small letters will do, with any password. <b>staff</b> is one of the shop's people.</p>
<form method="post">
<p><label>Name <input name="name" required pattern="[a-z0-9\\-]{1,40}" autocomplete="username"></label></p>
<p><label>Password <input name="password" type="password" autocomplete="current-password"></label></p>
<p><button>Sign in</button></p>
</form>
</html>
`;
