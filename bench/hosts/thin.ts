/**
 * The thin host: node:http and nothing else in front of the shipped handlers, so that what is measured is ours.
 *
 *   forked with "coalesced", as it is shipped, or "each", where every request sends its own message to SQS
 */
import { SendMessageCommand } from '@aws-sdk/client-sqs';
import { handler as createReservation } from '#functions/http/create-reservation.ts';
import { handler as getReservation } from '#functions/http/get-reservation.ts';
import { handler as getSale } from '#functions/http/get-sale.ts';
import type { Queue } from '#platform/aws/sqs.ts';
import { type Deps, sharedDeps } from '#platform/environment/deps.ts';
import { locate } from '#platform/kernel/registry.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { acceptedBy, idOf, serve } from './serve.ts';

const deps = await sharedDeps();
await redisReady(deps.redis);
if (process.argv[2] === 'each') sendEachByItself(deps);

serve((request) => {
  const { method, url = '' } = request;
  if (method === 'POST') return acceptedBy(createReservation, request);
  if (url.startsWith('/reservations/')) {
    const reservationId = idOf(url);
    return {
      handler: getReservation,
      routeKey: 'GET /reservations/{reservationId}',
      pathParameters: { reservationId },
    };
  }
  return { handler: getSale, routeKey: 'GET /sales/{saleId}', pathParameters: { saleId: idOf(url) } };
});

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
