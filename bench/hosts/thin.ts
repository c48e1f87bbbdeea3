/**
 * The thin host: node:http and nothing else in front of the shipped handlers, so that what is measured is ours.
 *
 *   forked with "coalesced", as it is shipped, or "each", where every request sends its own message to SQS
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SendMessageCommand } from '@aws-sdk/client-sqs';
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { handler as createReservation } from '../../functions/http/create-reservation.ts';
import { handler as getSale } from '../../functions/http/get-sale.ts';
import type { Queue } from '../../lib/platform/aws.ts';
import { type Deps, sharedDeps } from '../../lib/platform/deps.ts';
import { locate } from '../../lib/platform/discovery.ts';
import { redisReady } from '../../lib/platform/redis.ts';
import { context, eventFor } from './event.ts';

const deps = await sharedDeps();
await redisReady(deps.redis);
if (process.argv[2] === 'each') sendEachByItself(deps);

const server = createServer((request, response) => {
  serve(request, response).catch((error: Error) => {
    response.writeHead(500).end(error.message);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on('disconnect', () => process.exit(0));

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [, , saleId = '', more] = (request.url ?? '').split('/');
  if (request.method === 'POST' && more === 'reservations') {
    const body = await read(request);
    const event = eventFor(request, 'POST /sales/{saleId}/reservations', { saleId }, body);
    return answer(response, await createReservation(event, context));
  }
  return answer(response, await getSale(eventFor(request, 'GET /sales/{saleId}', { saleId }, undefined), context));
}

function read(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => {
      text += chunk;
    });
    request.on('end', () => resolve(text));
    request.on('error', reject);
  });
}

function answer(response: ServerResponse, result: APIGatewayProxyStructuredResultV2): void {
  const body = result.body ?? '';
  response.writeHead(result.statusCode ?? 200, {
    ...(result.headers as Record<string, string>),
    'content-length': Buffer.byteLength(body),
  });
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
