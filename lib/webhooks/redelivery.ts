/**
 * Redelivery in bulk: a job goes over the messages of some time in steps of a bounded size, each one transaction that moves
 * the job's cursor with its effects. Dying between two steps, or repeating one, changes nothing.
 */
import { changeOf, type Keep, keepNothing } from '#idempotency/kept-answer.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import { newId } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { sendRedelivery } from './commands.ts';
import { firstIdAt, listMessageIds, orderAgain } from './delivery.store.ts';
import { type EndpointId, lockEndpoint } from './endpoint.store.ts';
import { noSuchEndpoint } from './endpoint.ts';
import {
  findRedelivery,
  insertRedelivery,
  lockRedelivery,
  type Redelivery,
  type RedeliveryId,
  updateRedelivery,
} from './redelivery.store.ts';
import type { RedeliveryRequest, RedeliveryView } from './webhooks.shapes.ts';

/** How many messages one step looks at. */
export const messagesPerStep = 500;
/** A job that has made no step for so long is taken to have lost its message. */
export const idleAfterMs = 10_000;
/** For how long one message works on a job before the next one goes on. */
const sliceMs = 2_000;

/** Begins a job for an operator, and sends the command for it. */
export async function startRedelivery(
  deps: Needs<'db' | 'clock' | 'queue'>,
  endpointId: EndpointId,
  { since, until, scope }: RedeliveryRequest,
  keep: Keep = keepNothing,
): Promise<RedeliveryView | Refusal> {
  const nowMs = deps.clock();
  const sinceMs = Date.parse(since);
  // What happens from now on is sent anyway.
  const untilMs = Math.min(until === undefined ? nowMs : Date.parse(until), nowMs);
  if (sinceMs >= untilMs) {
    const fields = [{ field: 'since', message: 'must lie before until, and in the past' }];
    return refuse('unprocessable', 'There is no time between since and until that is over.', { fields });
  }
  const job: Redelivery = {
    ...{ redeliveryId: newId<'webhook redelivery'>(nowMs), endpointId, scope, sinceMs, untilMs, afterId: null },
    ...{ ordered: 0, startedAtMs: nowMs, steppedAtMs: nowMs, finishedAtMs: null },
  };
  const answer = await deps.db.transaction(async (tx) => {
    if (!(await lockEndpoint(tx, endpointId))) return noSuchEndpoint;
    await insertRedelivery(tx, job);
    return keep(tx, viewOf(job), changeOf(endpointId, null, viewOf(job)));
  });
  if ('redeliveryId' in answer) await sendRedelivery(deps, job);
  return answer;
}

/** How far a job has come. */
export async function readRedelivery(
  { db }: Needs<'db'>,
  endpointId: EndpointId,
  id: RedeliveryId,
): Promise<RedeliveryView | Refusal> {
  const job = await findRedelivery(db, id);
  return job?.endpointId === endpointId ? viewOf(job) : refuse('not_found', 'There is no such redelivery.');
}

/**
 * Continues a job because of a message, for a while, and sends the next message if something is left. A message from before
 * the job's last step is dropped while another worker goes on with it. Returns the endpoint that has something due now.
 */
export async function continueRedelivery(
  deps: Needs<'db' | 'clock' | 'queue'>,
  { id, afterId }: { id: RedeliveryId; afterId: string | null },
  deadlineMs: number,
): Promise<EndpointId | undefined> {
  const seen = await findRedelivery(deps.db, id);
  if (!seen || seen.finishedAtMs !== null) return undefined;
  if (seen.afterId !== afterId && deps.clock() - seen.steppedAtMs < idleAfterMs) return undefined;
  const endsMs = Math.min(deadlineMs, deps.clock() + sliceMs);
  let job: Redelivery | undefined;
  do {
    job = await deps.db.transaction((tx) => makeStep(tx, id, deps.clock()));
  } while (job && job.finishedAtMs === null && deps.clock() < endsMs);
  if (job && job.finishedAtMs === null) await sendRedelivery(deps, job);
  return seen.endpointId;
}

/** Orders the messages of one step again; returns the job as it is then, or undefined if there is none to continue. */
export async function makeStep(
  tx: Tx,
  id: RedeliveryId,
  nowMs: number,
  limit = messagesPerStep,
): Promise<Redelivery | undefined> {
  const job = await lockRedelivery(tx, id);
  if (!job || job.finishedAtMs !== null) return undefined;
  const { endpointId, afterId, scope } = job;
  const range = { fromId: firstIdAt(job.sinceMs), afterId, untilId: firstIdAt(job.untilMs) };
  const messageIds = await listMessageIds(tx, endpointId, range, limit);
  // What is pending is under way already.
  const states = scope === 'all' ? (['failed', 'delivered'] as const) : (['failed'] as const);
  const ordered = job.ordered + (await orderAgain(tx, endpointId, messageIds, states, nowMs));
  const isOver = messageIds.length < limit;
  const next: Redelivery = {
    ...{ ...job, ordered, afterId: messageIds.at(-1) ?? afterId },
    ...{ steppedAtMs: nowMs, finishedAtMs: isOver ? nowMs : null },
  };
  await updateRedelivery(tx, next);
  return next;
}

function viewOf(job: Redelivery): RedeliveryView {
  const { redeliveryId, endpointId, scope, ordered, finishedAtMs } = job;
  return {
    ...{ redeliveryId, endpointId, scope, since: toIso(job.sinceMs), until: toIso(job.untilMs), ordered },
    startedAt: toIso(job.startedAtMs),
    finishedAt: finishedAtMs === null ? null : toIso(finishedAtMs),
    statusUrl: `/webhook-endpoints/${endpointId}/redeliveries/${redeliveryId}`,
  };
}
