/**
 * The origins that may call, as the local gateway holds to them. serverless-offline answers a request of any origin as if it were
 * allowed, where API Gateway says nothing, which makes the browser keep the answer from the page.
 *
 * Invariant: whoever is not on the list gets no header that lets a page read an answer, as in an account. Called by http.ts.
 */
import { subscribe } from 'node:diagnostics_channel';
import type { IncomingMessage } from 'node:http';
import { originsOf } from '#platform/security/origins.ts';

/** Makes every HTTP server of this process deaf to origins that are not on the list. WebSockets are for their function to judge. */
export function holdTo(list: string): string[] {
  const origins = originsOf(list);
  subscribe('http.server.request.start', (message) => {
    const { headers } = (message as { request: IncomingMessage }).request;
    const { origin } = headers;
    if (origin !== undefined && !origins.includes('*') && !origins.includes(origin)) delete headers.origin;
  });
  return origins;
}
