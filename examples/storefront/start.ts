/** Starts a shop behind which there is a Holdfast: introduces it, then starts its OpenID provider and the shop itself. */
import { randomBytes } from 'node:crypto';
import { createClient } from '#client/index.ts';
import { startIdentity } from './identity.ts';
import { type Introduced, introduce } from './introduce.ts';
import { signedInPath, startShop, webhooksPath } from './shop.ts';

export interface StorefrontOptions {
  /** The HTTP API of Holdfast. */
  api: string;
  /** Who may make API keys there. */
  admin: { email: string; password: string };
  /** Of the shop, and of its provider; both on 127.0.0.1. */
  ports: readonly [shop: number, identity: number];
}

export interface Storefront {
  url: string;
  issuer: string;
  known: Introduced;
  close(): Promise<void>;
}

/** Starts everything of the shop. */
export async function startStorefront({ api, admin, ports }: StorefrontOptions): Promise<Storefront> {
  const [port, identityPort] = ports;
  const url = `http://127.0.0.1:${port}`;
  const anybody = createClient({ api, token: () => undefined });
  const { data: session } = await anybody.http.POST('/auth/login', { body: admin });
  const known = await introduce(api, session?.accessToken ?? '', url + webhooksPath);
  const client = { clientId: 'shop', clientSecret: randomBytes(32).toString('base64url') };
  const identity = await startIdentity({ port: identityPort, ...client, redirectUri: url + signedInPath });
  const shop = await startShop({ port, api, issuer: identity.issuer, ...client, ...known });
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
