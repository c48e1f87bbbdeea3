/**
 * Starts a shop behind which there is a Holdfast: its OpenID provider, which it has already; then, where the Holdfast has been told
 * of the shop, the shop itself.
 */
import { createClient } from '#client/index.ts';
import { type Identity, startIdentity } from './identity.ts';
import { type Introduced, introduce } from './introduce.ts';
import { signedInPath, startShop, webhooksPath } from './shop.ts';

/** For whom the access tokens are that the shop's page shows to Holdfast. */
const audience = 'https://holdfast.example';

/** What a shop has before there is a Holdfast behind it, and what that has to be told. */
export interface Prepared {
  identity: Identity;
  url: string;
  /** Whose tokens count (`auth/customers`): the same customer by the provider's token as by the shop's API key. */
  issuer: { issuer: string; audience: string; prefix: '' };
}

/** Starts the OpenID provider of a shop on 127.0.0.1. */
export async function prepare([port, identityPort]: readonly [shop: number, identity: number]): Promise<Prepared> {
  const url = `http://127.0.0.1:${port}`;
  const identity = await startIdentity({ port: identityPort, redirectUri: url + signedInPath, audience });
  return { identity, url, issuer: { issuer: identity.issuer, audience, prefix: '' } };
}

export interface StorefrontOptions {
  prepared: Prepared;
  /** The APIs of a Holdfast that takes the provider's tokens, and calls of the shop's pages. */
  api: string;
  websocket: string;
  /** Who may make API keys there. */
  admin: { email: string; password: string };
}

export interface Storefront {
  url: string;
  issuer: string;
  known: Introduced;
  close(): Promise<void>;
}

/** Starts everything else of the shop. */
export async function startStorefront({ prepared, api, websocket, admin }: StorefrontOptions): Promise<Storefront> {
  const { url, identity } = prepared;
  const anybody = createClient({ api, token: () => undefined });
  const { data: session } = await anybody.http.POST('/auth/login', { body: admin });
  const known = await introduce(api, session?.accessToken ?? '', url + webhooksPath);
  const shop = await startShop({ port: Number(new URL(url).port), api, websocket, identity, audience, ...known });
  return {
    url,
    issuer: identity.issuer,
    known,
    async close() {
      await shop.close();
      await identity.close();
    },
  };
}
