/**
 * What somebody does once to put Holdfast behind a shop: a key for the shop's server, an endpoint for its webhooks, and here
 * a sale. The first needs an admin; a shop does it in the console or by these calls.
 */
import { createClient } from '#client/index.ts';

export interface Introduced {
  /** The shop's server calls with it, for itself and for its customers. */
  apiKey: string;
  /** With it the shop checks that a webhook comes from Holdfast. */
  webhookSecret: string;
  saleId: string;
}

/** Makes a shop known to the Holdfast at an address. */
export async function introduce(api: string, adminToken: string, webhooksUrl: string): Promise<Introduced> {
  const admin = createClient({ api, token: () => adminToken });
  const { data: key } = await admin.http.POST('/ops/api-keys', {
    body: {
      name: 'Storefront',
      scopes: ['customers:act', 'catalog:write', 'sales:write', 'purchases:write', 'webhooks:write'],
    },
  });
  const apiKey = key?.key ?? '';
  // From here on the shop speaks for itself.
  const shop = createClient({ api, token: () => apiKey });
  const { data: endpoint } = await shop.http.POST('/webhook-endpoints', {
    body: { url: webhooksUrl, events: ['purchase.changed'], description: 'Storefront' },
  });
  const { data: product } = await shop.http.POST('/products', {
    body: {
      ...{ sku: `LAMP-${crypto.randomUUID().slice(0, 8)}`, name: 'Desk lamp', description: 'Brass arm, linen shade.' },
      price: { amountMinor: 8_900, currency: 'EUR' },
    },
  });
  const at = (minutes: number) => new Date(Date.now() + 60_000 * minutes).toISOString();
  const { data: sale } = await shop.http.POST('/sales', {
    body: {
      ...{ productId: product?.productId ?? '', name: 'Desk lamps, autumn batch' },
      ...{ allotment: 20, capPerCustomer: 4, waitlistSize: 50 },
      ...{ reserveOpensAt: at(-1), reserveClosesAt: at(240), purchaseOpensAt: at(-1), purchaseClosesAt: at(300) },
    },
  });
  return { apiKey, webhookSecret: endpoint?.secret ?? '', saleId: sale?.saleId ?? '' };
}
