/**
 * Holdfast as the shop's server calls it: with its API key, for itself or for one of its customers, whom it names by its own id.
 * The key stays here. The page calls through `pass`, which lets through what a page of this shop does, and nothing else.
 */
import { type Client, createClient } from '#client/index.ts';

export interface Holdfast {
  /** For the shop itself. */
  own: Client;
  /** For one of its customers, who is known to Holdfast from the first call on. */
  actingFor(customer: string): Client;
  /** A call of the page, passed on for a customer; undefined if it is none that the page makes. */
  pass(request: Request, path: string, customer: string): Promise<Response> | undefined;
}

/** What the page may do by itself. Buying is not among it: the shop writes an order first. */
const passed: readonly (readonly [method: string, path: RegExp])[] = [
  ['GET', /^\/sales\/[\w-]+$/],
  ['POST', /^\/sales\/[\w-]+\/reservations$/],
  ['GET', /^\/reservations(\/[\w-]+)?$/],
  ['DELETE', /^\/reservations\/[\w-]+$/],
  ['GET', /^\/purchases\/[\w-]+$/],
];
const headersThere = ['content-type', 'idempotency-key', 'accept-language'];
const headersBack = ['content-type', 'date', 'idempotent-replayed', 'retry-after', 'x-correlation-id'];

const only = (headers: Headers, names: readonly string[]) =>
  new Headers(
    names.flatMap((name): [string, string][] => (headers.has(name) ? [[name, headers.get(name) ?? '']] : [])),
  );

/** Opens Holdfast at an address with the shop's key. */
export function openHoldfast(api: string, apiKey: string): Holdfast {
  const token = () => apiKey;
  return {
    own: createClient({ api, token }),
    actingFor: (customer) =>
      createClient({
        api,
        token,
        fetch(request) {
          request.headers.set('holdfast-customer', customer);
          return fetch(request);
        },
      }),
    pass(request, path, customer) {
      if (!passed.some(([method, shape]) => method === request.method && shape.test(path))) return undefined;
      return forward(request, path, customer);
    },
  };

  async function forward(request: Request, path: string, customer: string): Promise<Response> {
    const headers = only(request.headers, headersThere);
    headers.set('authorization', `Bearer ${apiKey}`);
    headers.set('holdfast-customer', customer);
    const { method, url } = request;
    const body = method === 'GET' ? null : (await request.text()) || null;
    const answer = await fetch(api + path + new URL(url).search, { method, headers, body, redirect: 'error' });
    return new Response(await answer.arrayBuffer(), {
      status: answer.status,
      headers: only(answer.headers, headersBack),
    });
  }
}
