/**
 * The thin host: node:http and nothing else in front of the shipped handlers, so that what is measured is ours.
 *
 *   forked with "coalesced", as it is shipped, or "each", where every request sends its own message to SQS
 */
import { createServer, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SendMessageCommand } from '@aws-sdk/client-sqs';
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { handler as createReservation } from '#functions/http/create-reservation.ts';
import { handler as getReservation } from '#functions/http/get-reservation.ts';
import { handler as getSale } from '#functions/http/get-sale.ts';
import { createReservationRoute } from '#functions/http/reservation.routes.ts';
import type { Queue } from '#platform/aws/sqs.ts';
import { type Deps, sharedDeps } from '#platform/environment/deps.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import { newId } from '#platform/kernel/ids.ts';
import { locate } from '#platform/kernel/registry.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { context, eventFor } from './event.ts';

const deps = await sharedDeps();
await redisReady(deps.redis);
if (process.argv[2] === 'each') sendEachByItself(deps);

/** The same route behind the same wrapper, which checks the caller and the input, and nothing behind that. */
const acceptNothing = httpHandler(createReservationRoute, async ({ params: { saleId } }) => {
  const reservationId = newId<'reservation'>(0);
  return { reservationId, saleId, state: 'requested' as const, ticket: 1, position: 1, statusUrl: '/' };
});

const server = createServer((request, response) => {
  const served = request.method === 'POST' ? accept(request) : look(request);
  served.then(
    (result) => answer(response, result),
    (error: Error) => response.writeHead(500).end(error.message),
  );
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on('disconnect', () => process.exit(0));

async function accept(request: IncomingMessage): Promise<APIGatewayProxyStructuredResultV2> {
  const body = await read(request);
  const handler = request.url?.startsWith('/empty/') ? acceptNothing : createReservation;
  return handler(eventFor(request, 'POST /sales/{saleId}/reservations', { saleId: saleIdOf(request) }, body), context);
}

function look(request: IncomingMessage): Promise<APIGatewayProxyStructuredResultV2> {
  const { url = '' } = request;
  if (url.startsWith('/reservations/')) {
    const reservationId = url.slice('/reservations/'.length);
    return getReservation(
      eventFor(request, 'GET /reservations/{reservationId}', { reservationId }, undefined),
      context,
    );
  }
  return getSale(eventFor(request, 'GET /sales/{saleId}', { saleId: saleIdOf(request) }, undefined), context);
}

/** The second part of the path; the first is `sales`, or `empty` for the handler that does nothing. */
function saleIdOf({ url = '' }: IncomingMessage): string {
  const start = url.indexOf('/', 1) + 1;
  const end = url.indexOf('/', start);
  return url.slice(start, end < 0 ? undefined : end);
}

function read(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => resolve((parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)).toString()));
    request.on('error', reject);
  });
}

function answer(response: ServerResponse, result: APIGatewayProxyStructuredResultV2): void {
  const { statusCode = 200, body = '' } = result;
  // The answer was made for this request alone, so its headers need not be copied.
  const headers = result.headers as OutgoingHttpHeaders;
  headers['content-length'] = Buffer.byteLength(body);
  response.writeHead(statusCode, headers);
  response.end(body);
}

/** What most code does: one SendMessage for each request. */
function sendEachByItself(target: Deps): void {
  const queue = (name: string): Queue => {
    const url = locate(target.registry, `queue/${name}`);
    const send: Queue['send'] = async ({ body }) => {
      await target.sqs.send(new SendMessageCommand({ QueueUrl: url, MessageBody: JSON.stringify(body) }));
    };
    return { url, send, sendAll: async (messages) => void (await Promise.all(messages.map(send))) };
  };
  Object.defineProperty(target, 'queue', { value: queue });
}
