/**
 * Signing in to the shop by its OpenID provider: the authorization code flow with PKCE, then a session of the shop's own in a
 * cookie. The provider is asked for an access token for Holdfast with it, which the shop gives to its page; what gets the next one, the
 * refresh token, stays here.
 */
import { randomUUID } from 'node:crypto';
import * as oidc from 'openid-client';
import { openKept } from './kept.ts';
import { cookieOf } from './web.ts';

/** Who is signed in. The subject is the shop's own id of the customer, and what Holdfast knows them by. */
export interface Visitor {
  customer: string;
  name: string;
}

export interface LoginOptions {
  issuer: string;
  clientId: string;
  clientSecret: string;
  redirectUri: string;
  /** For whom the access tokens are. */
  audience: string;
}

/** What the provider gave for Holdfast. */
interface Access {
  token: string;
  endsAtMs: number;
  refreshToken: string;
}

interface Session {
  visitor: Visitor;
  access: Promise<Access>;
}

const sessionCookie = 'shop_session';
const signingInCookie = 'shop_signing_in';
const attributes = 'HttpOnly; SameSite=Lax; Path=/';

const goTo = (location: string, cookies: readonly string[]) =>
  new Response(null, {
    status: 303,
    headers: [['location', location], ...cookies.map((one) => ['set-cookie', one] as [string, string])],
  });

/** For how long somebody may be at the provider to sign in, and is signed in here then. */
const signingInMs = 3_600_000;
const sessionMs = 86_400_000;
/** A token that ends sooner is not given to a page. */
const freshMs = 60_000;

const accessOf = (tokens: oidc.TokenEndpointResponse, refreshToken = ''): Access => ({
  ...{ token: tokens.access_token, endsAtMs: Date.now() + 1_000 * (tokens.expires_in ?? 0) },
  refreshToken: tokens.refresh_token ?? refreshToken,
});

/** Opens the login. Sessions are kept in memory; a shop keeps them where its others are. */
export async function openLogin({ issuer, clientId, clientSecret, redirectUri, audience }: LoginOptions) {
  // The provider of this example is on loopback, without TLS.
  const execute = [oidc.allowInsecureRequests];
  const provider = await oidc.discovery(new URL(issuer), clientId, clientSecret, undefined, { execute });
  const sessions = openKept<Session>();
  const sessionOf = (request: Request) => sessions.get(cookieOf(request, sessionCookie) ?? '');
  /** What begun sign-ins must prove when they come back, by their state. */
  const begun = openKept<string>();

  async function fresh(access: Access): Promise<Access> {
    const { endsAtMs, refreshToken } = access;
    if (endsAtMs - Date.now() > freshMs) return access;
    return accessOf(await oidc.refreshTokenGrant(provider, refreshToken, { resource: audience }), refreshToken);
  }

  return {
    /** Who sends a request; undefined if nobody is signed in. */
    visitorOf: (request: Request): Visitor | undefined => sessionOf(request)?.visitor,

    /** An access token of who sends a request; undefined if nobody is signed in, here or at the provider. */
    async accessTokenOf(request: Request): Promise<string | undefined> {
      const session = sessionOf(request);
      if (!session) return undefined;
      const before = session.access;
      // Whoever comes meanwhile waits for this one; what could not be got is asked for again.
      const next = before.then(fresh);
      session.access = next.catch(() => before);
      return next.then(
        ({ token }) => token,
        () => undefined,
      );
    },

    /** Sends a browser to the provider. */
    async begin(): Promise<Response> {
      const verifier = oidc.randomPKCECodeVerifier();
      const state = oidc.randomState();
      begun.set(state, verifier, signingInMs);
      const to = oidc.buildAuthorizationUrl(provider, {
        ...{ redirect_uri: redirectUri, scope: 'openid profile', state, resource: audience },
        ...{ code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256' },
      });
      return goTo(to.href, [`${signingInCookie}=${state}; ${attributes}`]);
    },

    /** A browser that comes back from the provider. */
    async finish(request: Request): Promise<Response> {
      const state = cookieOf(request, signingInCookie) ?? '';
      const verifier = begun.get(state);
      begun.delete(state);
      if (verifier === undefined) return new Response('Begin again.\n', { status: 400 });
      const checks = { pkceCodeVerifier: verifier, expectedState: state };
      const url = new URL(request.url);
      const tokens = await oidc.authorizationCodeGrant(provider, url, checks, { resource: audience });
      const claims = tokens.claims();
      if (!claims) return new Response('The provider did not say who you are.\n', { status: 502 });
      const session = randomUUID();
      const visitor = { customer: claims.sub, name: String(claims.name ?? claims.sub) };
      sessions.set(session, { visitor, access: Promise.resolve(accessOf(tokens)) }, sessionMs);
      return goTo('/', [`${sessionCookie}=${session}; ${attributes}`, `${signingInCookie}=; Max-Age=0; ${attributes}`]);
    },

    end(request: Request): Response {
      sessions.delete(cookieOf(request, sessionCookie) ?? '');
      return goTo('/', [`${sessionCookie}=; Max-Age=0; ${attributes}`]);
    },
  };
}
