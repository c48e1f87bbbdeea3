/**
 * An OpenID Connect server on loopback (`oidc-provider`), with which people sign in as they do anywhere: by its page, a code that
 * comes back, and the exchange of that code for tokens. Its keys can be replaced, and it can fail.
 */
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import Provider from 'oidc-provider';
import { keptInMemory } from '#examples/storefront/kept.ts';

/** For whom its access tokens are. */
export const audience = 'https://shop.example/holdfast';

export interface SignedInTokens {
  readonly accessToken: string;
  readonly idToken: string;
}

export interface OidcServer {
  readonly issuer: string;
  /** Signs in as a person with this name, who is asked for it. */
  signIn(name: string): Promise<SignedInTokens>;
  /** From now on it signs with another key; the one before is published for as long as `keep` says. */
  replaceKey(keep: boolean): void;
  /** From now on it answers so: as it should, never, with an error, or with documents that it should not have. */
  answers(how: 'well' | 'never' | 'failing' | 'as another'): void;
  /** How many requests it got. */
  requests(): number;
  close(): Promise<void>;
}

const client = {
  client_id: 'storefront',
  client_secret: randomBytes(24).toString('base64url'),
  redirect_uris: ['http://127.0.0.1/signed-in'],
  grant_types: ['authorization_code'],
  response_types: ['code' as const],
  token_endpoint_auth_method: 'client_secret_post' as const,
};

/** Where its page is that asks who somebody is. */
const signInPath = '/sign-in/';

function newKey(): Record<string, unknown> {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomBytes(6).toString('hex'), alg: 'RS256', use: 'sig' };
}

/** Starts one. `verified` says whether it has verified the addresses that it tells. */
export async function startOidc({ verified = true }: { verified?: boolean } = {}): Promise<OidcServer> {
  const sockets = new Set<Socket>();
  let requests = 0;
  let how: Parameters<OidcServer['answers']>[0] = 'well';
  let keys = [newKey()];
  let serve: http.RequestListener = () => undefined;
  const server = http.createServer((request, response) => {
    requests++;
    if (how === 'never') return;
    if (how === 'failing') return void response.writeHead(500).end('{}');
    if (how === 'as another') return void response.end(JSON.stringify({ issuer: 'https://other.example.com' }));
    serve(request, response);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  function open(): void {
    const provider = new Provider(issuer, {
      // What was signed in before a key was replaced need not be so after it.
      adapter: keptInMemory(),
      clients: [client],
      jwks: { keys },
      cookies: { keys: [randomBytes(16).toString('hex')] },
      claims: { email: ['email', 'email_verified'] },
      findAccount: (_context, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
      extraTokenClaims: (_context, token) =>
        'accountId' in token
          ? { email: `${token.accountId}@people.example`, email_verified: verified, role: 'admin' }
          : undefined,
      interactions: { url: (_context, { uid }) => `${signInPath}${uid}` },
      // Its one client is the shop's own, so nobody is asked whether it may know who they are.
      async loadExistingGrant({ oidc }) {
        if (!oidc.client || !oidc.session?.accountId) return undefined;
        const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
        grant.addOIDCScope('openid email');
        grant.addResourceScope(audience, 'shop');
        await grant.save();
        return grant;
      },
      ttl: { Interaction: 3_600, Session: 86_400, Grant: 86_400, IdToken: 3_600, AccessToken: 600 },
      features: {
        devInteractions: { enabled: false },
        resourceIndicators: {
          enabled: true,
          defaultResource: () => audience,
          useGrantedResource: () => true,
          getResourceServerInfo: () => ({
            ...{ audience, scope: 'shop', accessTokenFormat: 'jwt' as const },
            jwt: { sign: { alg: 'RS256' as const } },
          }),
        },
      },
    });
    const protocol = provider.callback();
    serve = (request, response) => {
      if (!request.url?.startsWith(signInPath)) return void protocol(request, response);
      const named = text(request).then((form) => ({
        login: { accountId: new URLSearchParams(form).get('name') ?? '' },
      }));
      named
        .then((login) => provider.interactionFinished(request, response, login))
        .catch(() => response.writeHead(400).end());
    };
  }
  open();

  return {
    issuer,
    signIn: (name) => signInAt(issuer, name),
    replaceKey(keep) {
      keys = [newKey(), ...(keep ? keys : [])];
      open();
    },
    answers(as) {
      how = as;
    },
    requests: () => requests,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Goes through its pages as a browser does: with cookies, from one address to the next. */
async function signInAt(issuer: string, name: string): Promise<SignedInTokens> {
  const cookies = new Map<string, string>();
  const visit = async (address: string, form?: Record<string, string>): Promise<URL> => {
    const response = await fetch(new URL(address, issuer), {
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([key, value]) => `${key}=${value}`).join('; ') },
      ...(form ? { method: 'POST', body: new URLSearchParams(form) } : {}),
    });
    for (const cookie of response.headers.getSetCookie()) {
      const [, key = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      if (value === '') cookies.delete(key);
      else cookies.set(key, value);
    }
    const next = response.headers.get('location');
    if (next === null) throw new Error(`${address} answered ${response.status}: ${await response.text()}`);
    return new URL(next, issuer);
  };
  const verifier = randomBytes(32).toString('base64url');
  const asked = new URLSearchParams({
    ...{ client_id: client.client_id, redirect_uri: client.redirect_uris[0] ?? '', response_type: 'code' },
    ...{ scope: 'openid email shop', resource: audience, code_challenge_method: 'S256' },
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
  });
  const page = await visit(`/auth?${asked}`);
  const at = await visit((await visit(page.href, { name })).href);
  const response = await fetch(`${issuer}/token`, {
    method: 'POST',
    body: new URLSearchParams({
      ...{ grant_type: 'authorization_code', code: at.searchParams.get('code') ?? '', code_verifier: verifier },
      ...{
        client_id: client.client_id,
        client_secret: client.client_secret,
        redirect_uri: client.redirect_uris[0] ?? '',
      },
      resource: audience,
    }),
  });
  const tokens = (await response.json()) as Record<string, string>;
  if (!response.ok) throw new Error(`no tokens: ${JSON.stringify(tokens)}`);
  return { accessToken: tokens.access_token ?? '', idToken: tokens.id_token ?? '' };
}
