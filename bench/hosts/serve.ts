/** The server of the thin hosts: node:http and nothing else in front of a handler. */
import { createServer, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Context } from 'aws-lambda';
import type { HttpHandler } from '#platform/handlers/http.ts';
import { context, eventFor } from './event.ts';

/** What becomes of a request: the shipped handler for it, and how its event says which route and which thing it is for. */
export interface Served {
  readonly handler: HttpHandler;
  readonly routeKey: string;
  readonly pathParameters: Record<string, string>;
}

/** Serves what `choose` finds for each request, on a port that the parent process is told. Ends with its parent. */
export function serve(choose: (request: IncomingMessage) => Served): void {
  const server = createServer((request, response) => {
    handle(choose(request), request).then(
      (result) => answer(response, result),
      (error: Error) => response.writeHead(500).end(error.message),
    );
  });
  server.keepAliveTimeout = 60_000;
  server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
  process.on('disconnect', () => process.exit(0));
}

/** A request for a reservation, which goes to this handler; the path is `/sales/{saleId}/reservations` or like it. */
export function acceptedBy(handler: HttpHandler, { url = '' }: IncomingMessage): Served {
  return { handler, routeKey: 'POST /sales/{saleId}/reservations', pathParameters: { saleId: idOf(url) } };
}

/** The second part of a path. */
export function idOf(url: string): string {
  const start = url.indexOf('/', 1) + 1;
  const end = url.indexOf('/', start);
  return url.slice(start, end < 0 ? undefined : end);
}

async function handle({ handler, routeKey, pathParameters }: Served, request: IncomingMessage): Result {
  const body = request.method === 'POST' ? await read(request) : undefined;
  return handler(eventFor(request, routeKey, pathParameters, body), context as Context);
}

type Result = ReturnType<HttpHandler>;

function read(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => resolve((parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)).toString()));
    request.on('error', reject);
  });
}

function answer(response: ServerResponse, result: Awaited<Result>): void {
  const { statusCode = 200, body = '' } = result;
  // The answer was made for this request alone, so its headers need not be copied.
  const headers = result.headers as OutgoingHttpHeaders;
  headers['content-length'] = Buffer.byteLength(body);
  response.writeHead(statusCode, headers);
  response.end(body);
}
