/**
 * The shop: pages for customers who are signed in to it, its orders, and what Holdfast tells it. Its page calls Holdfast with the
 * customer's own access token, its server with an API key, which is never in a browser.
 */
import { createServer } from 'node:http';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';
import { Problem } from '#client/index.ts';
import { openHoldfast } from './holdfast.ts';
import type { Identity } from './identity.ts';
import type { Introduced } from './introduce.ts';
import { openLogin, type Visitor } from './login.ts';
import { type Order, type Orders, openOrders } from './orders.ts';
import { buildPage } from './page/build.ts';
import { closer, listen, requestOf, send, TooLarge } from './web.ts';

export interface ShopOptions extends Introduced {
  port: number;
  /** The APIs of Holdfast. */
  api: string;
  websocket: string;
  /** The shop's own OpenID provider, and for whom its access tokens are to be. */
  identity: Pick<Identity, 'issuer' | 'clientId' | 'clientSecret'>;
  audience: string;
}

export interface Shop {
  url: string;
  close(): Promise<void>;
}

/** Where browsers come back to from the provider, and where webhooks arrive. */
export const signedInPath = '/signed-in';
export const webhooksPath = '/holdfast-webhooks';
/** Who may give money back. */
const staff = 'staff';

/** Holdfast waits five seconds for an answer to a webhook. */
const hearWithinMs = 4_000;

const json = (body: unknown, status = 200) => Response.json(body, { status });
const problem = (status: number, code: string, title: string) => json({ status, code, title }, status);

/** Starts the shop on 127.0.0.1. */
export async function startShop(options: ShopOptions): Promise<Shop> {
  const { port, api, websocket, apiKey, webhookSecret, saleId, identity, audience } = options;
  const url = `http://127.0.0.1:${port}`;
  const login = await openLogin({ ...identity, redirectUri: url + signedInPath, audience });
  const orders = openOrders(openHoldfast(api, apiKey));
  const page = await buildPage();

  async function answer(request: Request): Promise<Response> {
    const { pathname: path } = new URL(request.url);
    const line = `${request.method} ${path}`;
    if (line === `POST ${webhooksPath}`) return hear(request, webhookSecret, orders);
    if (isFromElsewhere(request, url)) return problem(403, 'forbidden', 'Only pages of this shop may do that');
    const file = request.method === 'GET' ? page.get(path) : undefined;
    if (file)
      return new Response(file.body, { headers: { ...pageHeaders(api, websocket), 'content-type': file.type } });
    if (line === 'GET /sign-in') return login.begin();
    if (line === `GET ${signedInPath}`) return login.finish(request);
    if (line === 'POST /sign-out') return login.end(request);
    const visitor = login.visitorOf(request);
    if (line === 'GET /about') {
      return json({ api, websocket, saleId, visitor: visitor ?? null, isStaff: visitor?.customer === staff });
    }
    const accessToken = line === 'GET /access-token' ? await login.accessTokenOf(request) : undefined;
    if (accessToken !== undefined) return Response.json({ accessToken }, { headers: { 'cache-control': 'no-store' } });
    if (!visitor || line === 'GET /access-token') return problem(401, 'unauthenticated', 'Sign in to the shop');
    return order(line, request, visitor);
  }

  async function order(line: string, request: Request, { customer }: Visitor): Promise<Response> {
    const isStaff = customer === staff;
    if (line === 'GET /orders') return json({ items: (isStaff ? orders.all() : orders.of(customer)).map(shown) });
    if (line === 'POST /orders') {
      void orders.forgetAbandoned();
      return json(shown(await orders.place(customer)), 201);
    }
    const [, orderId] = /^POST \/orders\/([\w-]+)\/refund$/.exec(line) ?? [];
    const known = isStaff && orderId ? orders.find(orderId) : undefined;
    if (!known) return problem(404, 'not_found', 'There is no such thing');
    const { units } = fields(await request.json().catch(() => undefined));
    if (typeof units !== 'number') return problem(400, 'invalid_input', 'Say how many');
    await orders.refund(known, units);
    return json(shown(known), 202);
  }

  const server = createServer((incoming, outgoing) => {
    requestOf(incoming, url)
      .then(answer)
      .catch((error: unknown) => {
        if (error instanceof TooLarge) return problem(413, 'payload_too_large', 'That is too much');
        // What Holdfast refuses is refused here, in its words.
        if (error instanceof Problem) return json(error.body, error.status || 502);
        return problem(500, 'internal', 'Something went wrong');
      })
      .then((response) => send(response, outgoing))
      .catch(() => outgoing.destroy());
  });
  await listen(server, port);
  return { url, close: closer(server) };
}

const pageHeaders = (...calls: string[]) => ({
  'cache-control': 'no-cache',
  'content-security-policy': `default-src 'self'; connect-src 'self' ${calls.join(' ')}; base-uri 'none'; frame-ancestors 'none'`,
  'x-content-type-options': 'nosniff',
});

/** Takes a webhook in. Only what Holdfast has signed with this shop's secret counts; what cannot be read now is sent again. */
async function hear(request: Request, secret: string, orders: Orders): Promise<Response> {
  const raw = await request.text();
  let told: { type: string; data: { purchaseId?: string } };
  try {
    told = new Webhook(secret).verify(raw, Object.fromEntries(request.headers)) as typeof told;
  } catch (error) {
    if (error instanceof WebhookVerificationError)
      return problem(401, 'invalid_signature', 'This is not from Holdfast');
    throw error;
  }
  const { purchaseId } = told.data;
  if (told.type !== 'purchase.changed' || purchaseId === undefined) return new Response(null, { status: 204 });
  const late = new Promise<Response>((resolve) => {
    setTimeout(() => resolve(problem(503, 'unavailable', 'Send it again')), hearWithinMs).unref();
  });
  const heard = orders.heard(purchaseId).then(
    () => new Response(null, { status: 204 }),
    () => problem(503, 'unavailable', 'Send it again'),
  );
  return Promise.race([heard, late]);
}

/** Whether a browser sends this for a page of somebody else, with this shop's cookie. */
function isFromElsewhere(request: Request, own: string): boolean {
  if (request.method === 'GET') return false;
  const origin = request.headers.get('origin');
  return origin !== null && origin !== own;
}

function fields(body: unknown): Record<string, unknown> {
  return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
}

/** An order as a browser sees it. */
function shown({ orderId, purchaseId, state, amountMinor, refundedMinor, currency, items }: Order) {
  const units = items.reduce((sum, item) => sum + item.units, 0);
  return { orderId, purchaseId, state, amountMinor, refundedMinor, currency, units };
}
