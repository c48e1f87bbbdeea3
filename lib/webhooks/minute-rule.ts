/**
 * What the minute's rule does for webhooks: it asks for turns of endpoints that have something due, continues redeliveries whose
 * messages were lost, and forgets what is old, a bounded number of rows at a time.
 */
import type { Needs } from '#platform/environment/deps.ts';
import { sendEndpoints, sendRedelivery } from './commands.ts';
import { deleteDeliveriesBefore, firstIdAt, nextDueAt } from './delivery.store.ts';
import { deleteEndpointRow, listDeletedEndpoints, listEndpoints } from './endpoint.store.ts';
import { deleteMessagesBefore } from './message.store.ts';
import { deleteRedeliveriesBefore, listIdleRedeliveries } from './redelivery.store.ts';
import { idleAfterMs } from './redelivery.ts';

const dayMs = 86_400_000;
/** How long deliveries, and jobs that are over, are kept. */
export const logKeptMs = 30 * dayMs;
/** Messages go a day after the last delivery of them. */
const messagesKeptMs = logKeptMs + dayMs;
const rowsForgotten = 1_000;
const jobsPerTick = 100;
const endpointsPerTick = 10;

/** Asks for all that is due, and forgets what is old. */
export async function tick(deps: Needs<'db' | 'clock' | 'queue'>): Promise<void> {
  const nowMs = deps.clock();
  const active = (await listEndpoints(deps.db)).filter(({ state }) => state === 'active');
  const dueAt = await Promise.all(active.map(({ endpointId }) => nextDueAt(deps.db, endpointId)));
  const due = active.filter((_, index) => (dueAt[index] ?? Number.POSITIVE_INFINITY) <= nowMs);
  await sendEndpoints(
    deps,
    due.map(({ endpointId }) => endpointId),
  );
  for (const job of await listIdleRedeliveries(deps.db, nowMs - idleAfterMs, jobsPerTick))
    await sendRedelivery(deps, job);
  await forgetOld(deps);
}

/** Deletes what is older than it must be, and what is left of deleted endpoints. */
export async function forgetOld({ db, clock }: Needs<'db' | 'clock'>): Promise<void> {
  const nowMs = clock();
  for (const { endpointId } of await listEndpoints(db)) {
    await deleteDeliveriesBefore(db, endpointId, firstIdAt(nowMs - logKeptMs), rowsForgotten);
  }
  for (const { endpointId } of await listDeletedEndpoints(db, endpointsPerTick)) {
    const deleted = await deleteDeliveriesBefore(db, endpointId, Buffer.alloc(16, 0xff), rowsForgotten);
    if (deleted < rowsForgotten) await deleteEndpointRow(db, endpointId);
  }
  await deleteMessagesBefore(db, firstIdAt(nowMs - messagesKeptMs), rowsForgotten);
  await deleteRedeliveriesBefore(db, nowMs - logKeptMs, rowsForgotten);
}
