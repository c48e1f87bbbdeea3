/**
 * Dead letters for operators: listing them with their causes, and redriving them.
 */

import { type Keep, keepNothing } from '#idempotency/kept-answer.ts';
import { deadLetterQueues, listDeadLetters, redriveDeadLetters } from '#platform/aws/dead-letter-queue.ts';
import { queueDepth } from '#platform/aws/sqs.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import { locate } from '#platform/kernel/registry.ts';
import type { DeadLetterQuery, DeadLetters, Redrive } from './operations.shapes.ts';

/** How much of a message is shown. */
const bodyCharacters = 1_000;
/** How long one redrive may take; below the function's timeout, so that it can report its progress. */
const redriveMs = 10_000;

type OperationsDeps = Needs<'sqs' | 'redis' | 'registry' | 'clock'>;

/** The dead letters of one queue or of all, with their causes, and how many each queue has. */
export async function getDeadLetters(
  deps: OperationsDeps,
  { queue: only, limit }: DeadLetterQuery,
): Promise<DeadLetters | Refusal> {
  const queues = deadLetterQueues(deps.registry);
  if (only !== undefined && !queues.includes(only)) return noSuchQueue(queues);
  const [counts, letters] = await Promise.all([
    Promise.all(queues.map(async (queue) => ({ queue, deadLetters: await count(deps, queue) }))),
    Promise.all((only === undefined ? queues : [only]).map((queue) => listDeadLetters(deps, queue, limit))),
  ]);
  return {
    queues: counts,
    items: letters.flat().map(({ sentAtMs, body, ...letter }) => ({
      ...letter,
      sentAt: toIso(sentAtMs),
      body: body.slice(0, bodyCharacters),
    })),
  };
}

/**
 * Sends dead letters of a queue back to it: those named, or all. Those that are not in the queue (any more) are skipped,
 * so it is idempotent. The queue takes part in no transaction: the act is recorded before, the answer is kept when the messages
 * have been sent, and if that fails, a repeated call redrives those that are left.
 */
export async function redrive(
  deps: OperationsDeps & Needs<'db'>,
  { queue, messageIds }: Redrive,
  keep: Keep = keepNothing,
): Promise<{ redriven: number; remaining: number } | Refusal> {
  const queues = deadLetterQueues(deps.registry);
  if (!queues.includes(queue)) return noSuchQueue(queues);
  const waiting = await count(deps, queue);
  const change = { subjectId: null, before: { queue, deadLetters: waiting }, after: null };
  await deps.db.transaction((tx) => keep.before(tx, change));
  const which = messageIds === 'all' ? messageIds : new Set(messageIds);
  const redriven = await redriveDeadLetters(deps, queue, which, deps.clock() + redriveMs);
  const answer = { redriven: redriven.length, remaining: await count(deps, queue) };
  return deps.db.transaction((tx) => keep(tx, answer, null));
}

async function count({ sqs, registry }: OperationsDeps, queue: string): Promise<number> {
  const { waiting, inFlight } = await queueDepth(sqs, locate(registry, `dead/${queue}`));
  return waiting + inFlight;
}

function noSuchQueue(queues: string[]): Refusal {
  return refuse('not_found', `There is no such queue. There are: ${queues.join(', ')}.`);
}
