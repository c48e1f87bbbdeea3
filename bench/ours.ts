/**
 * Ours: the packaged function of the queue `reservations`, as serverless.yml declares it, handed events as SQS would hand them.
 *
 * Before a run every request passes the gate, as it does in production, so that the mirror holds its claim. The events
 * are built beforehand; everything else, parsing and checking included, is measured. The bus is a stub that takes every
 * event, so publishing and forgetting the outbox rows is measured too, which no rival does.
 */
import { randomUUID } from 'node:crypto';
import type { Context, SQSEvent } from 'aws-lambda';
import { askGate } from '#mirror/gate.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { sharedDeps } from '#platform/environment/deps.ts';
import type { QueueHandler } from '#platform/handlers/queue.ts';
import { queueFunctionTimeoutSeconds } from '#platform/kernel/time-limits.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { bundled } from './bundle.ts';
import type { Contender } from './contender.ts';
import { shippedBatchSize } from './settings.ts';
import type { Request } from './workload.ts';

/** How many requests are at the gate at once while a run is prepared; few enough for each to be answered in time. */
const atTheGate = 200;
const gateAttempts = 10;

export const ours: Contender = {
  name: 'ours',
  title: 'Holdfast: one lock call, one transaction, a fixed number of statements',
  mirror: 'holdfast',
  stock: 'counters',
  batch: shippedBatchSize,
  lanes: [1],
  async open() {
    const { handler } = (await import(bundled('allocate'))) as { handler: QueueHandler };
    const deps = await sharedDeps();
    await redisReady(deps.redis);
    return {
      async reset(requests) {
        for (let start = 0; start < requests.length; start += atTheGate) {
          await Promise.all(requests.slice(start, start + atTheGate).map((request) => admit(deps, request)));
        }
      },
      deliver: eventOf,
      async handle(requests, delivery) {
        const event = delivery as SQSEvent;
        const { batchItemFailures } = await handler(event, context());
        if (batchItemFailures.length === 0) return [];
        const failed = new Set(batchItemFailures.map(({ itemIdentifier }) => itemIdentifier));
        return requests.filter((_, index) => failed.has(event.Records[index]?.messageId ?? ''));
      },
      consume: (event, context) => handler(event, context),
      close: () => deps.close(),
    };
  },
};

/**
 * Takes a request through the gate. On a busy machine the gate may answer too late, which in production lets a request
 * through without a ticket; here every request is to have its claim, so the gate is asked again. Nothing is timed yet.
 */
async function admit(deps: Needs<'redis' | 'once'>, request: Request): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const { kind } = await askGate(deps, request);
      if (kind === 'admitted' || kind === 'repeat') return;
      throw new NotAdmitted(`the gate did not admit a request of the workload: ${kind}`);
    } catch (error) {
      if (error instanceof NotAdmitted || attempt === gateAttempts) throw error;
    }
  }
}

class NotAdmitted extends Error {}

/** The event in which Lambda would hand over these requests. */
export function eventOf(requests: readonly Request[]): SQSEvent {
  return {
    Records: requests.map(({ repeated, number: _, ...command }) => ({
      messageId: `${repeated ? 'again' : 'first'}-${command.reservationId}`,
      receiptHandle: 'bench',
      body: bodyOf(command),
      attributes: {
        ApproximateReceiveCount: repeated ? '2' : '1',
        SentTimestamp: String(Math.floor(command.ticket / 1000)),
        SenderId: 'bench',
        ApproximateFirstReceiveTimestamp: String(Math.floor(command.ticket / 1000)),
      },
      messageAttributes: {},
      md5OfBody: '',
      eventSource: 'aws:sqs',
      eventSourceARN: 'arn:aws:sqs:us-east-1:000000000000:reservations',
      awsRegion: 'us-east-1',
    })),
  };
}

/** The command as the accept path puts it into the queue. */
export function bodyOf(command: Omit<Request, 'repeated' | 'number'>): string {
  return JSON.stringify({ ...command, correlationId: command.reservationId });
}

function context(): Context {
  const deadlineMs = Date.now() + queueFunctionTimeoutSeconds * 1000;
  return {
    awsRequestId: randomUUID(),
    functionName: 'allocate',
    getRemainingTimeInMillis: () => Math.max(0, deadlineMs - Date.now()),
    // The handler reads nothing else of its context.
  } as Context;
}
