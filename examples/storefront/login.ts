/**
 * Signing in to the shop by its OpenID provider: the authorization code flow with PKCE, then a session of the shop's own in a
 * cookie. Holdfast has no part in it.
 */
import { randomUUID } from 'node:crypto';
import * as oidc from 'openid-client';
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
}

const sessionCookie = 'shop_session';
const signingInCookie = 'shop_signing_in';
const attributes = 'HttpOnly; SameSite=Lax; Path=/';

const goTo = (location: string, cookies: readonly string[]) =>
  new Response(null, {
    status: 303,
    headers: [['location', location], ...cookies.map((one) => ['set-cookie', one] as [string, string])],
  });

/** Opens the login. Sessions are kept in memory; a shop keeps them where its others are. */
export async function openLogin({ issuer, clientId, clientSecret, redirectUri }: LoginOptions) {
  // The provider of this example is on loopback, without TLS.
  const execute = [oidc.allowInsecureRequests];
  const provider = await oidc.discovery(new URL(issuer), clientId, clientSecret, undefined, { execute });
  const sessions = new Map<string, Visitor>();
  /** What begun sign-ins must prove when they come back, by their state. */
  const begun = new Map<string, string>();

  return {
    /** Who sends a request; undefined if nobody is signed in. */
    visitorOf: (request: Request): Visitor | undefined => sessions.get(cookieOf(request, sessionCookie) ?? ''),

    /** Sends a browser to the provider. */
    async begin(): Promise<Response> {
      const verifier = oidc.randomPKCECodeVerifier();
      const state = oidc.randomState();
      begun.set(state, verifier);
      const to = oidc.buildAuthorizationUrl(provider, {
        ...{ redirect_uri: redirectUri, scope: 'openid profile', state },
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
      const claims = (await oidc.authorizationCodeGrant(provider, new URL(request.url), checks)).claims();
      if (!claims) return new Response('The provider did not say who you are.\n', { status: 502 });
      const session = randomUUID();
      sessions.set(session, { customer: claims.sub, name: String(claims.name ?? claims.sub) });
      return goTo('/', [`${sessionCookie}=${session}; ${attributes}`, `${signingInCookie}=; Max-Age=0; ${attributes}`]);
    },

    end(request: Request): Response {
      sessions.delete(cookieOf(request, sessionCookie) ?? '');
      return goTo('/', [`${sessionCookie}=; Max-Age=0; ${attributes}`]);
    },
  };
}
