/**
 * The HTTP API: every call with its types, by path, and calls by an address that an answer gave.
 *
 * Invariant: one intent has one Idempotency-Key. A call that takes a key gets one when it is made, and keeps it over every
 * try; who gives a key of their own, as after a reload, means the same intent again.
 */
import createFetchClient, { type Client as FetchClient } from 'openapi-fetch';
import { type CallsOptions, openCalls } from './calls.ts';
import { newKey } from './intents.ts';
import { keyed } from './keyed.ts';
import type { paths } from './schema.ts';

export interface HttpOptions extends CallsOptions {
  /** The address of the HTTP API. */
  api: string;
}

export interface Http {
  /** Every call of the API, by path. A call that takes an Idempotency-Key and names none gets one. */
  readonly http: FetchClient<paths>;
  /**
   * A call by its address below that of the API, such as the `statusUrl` of an answer, as `fetch` has it: with a token, tries
   * and problems like all others. It is given no key.
   */
  send(path: string, init?: RequestInit): Promise<Response>;
}

/** Opens the HTTP API at an address. Nothing is sent before something is called. */
export function openHttp(options: HttpOptions): Http {
  const baseUrl = options.api.replace(/\/+$/, '');
  const calls = openCalls(options);
  const http = createFetchClient<paths>({ baseUrl, fetch: calls });
  http.use({
    onRequest({ request, schemaPath }) {
      const isKeyless = keyed.has(`${request.method} ${schemaPath}`) && !request.headers.has('idempotency-key');
      if (isKeyless) request.headers.set('idempotency-key', newKey());
    },
  });
  return { http, send: (path, init) => calls(new Request(baseUrl + path, init)) };
}

/** What the answer to a call of `http` says; a bad one has been thrown as a `Problem`. */
export async function dataOf<T>(call: Promise<{ data?: T }>): Promise<T> {
  return (await call).data as T;
}
