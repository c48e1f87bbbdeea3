/**
 * Reconcile: compares MySQL, ledger, mirror and gate, reports each difference with its likely cause, and repairs the
 * mirror. MySQL's stock is never changed here: if its own books do not add up, an operator must investigate.
 *
 * It allows for what is in flight. A commit reaches the mirror slightly later, so a difference of stock counts only if a
 * second read finds the same; queued requests are claims that MySQL does not have yet; and the gate's counters are recounted
 * only while a sale is quiet. Every repair is a conditional write against the value that was read (invariant I6). A claim
 * that no message is going to decide is taken back, so that it does not block others for ever.
 *
 * A run has a row and consists of steps of bounded size. One invocation makes as many as it has time for, then sends the
 * command for the rest. If that is lost, the schedule continues idle runs.
 */
import * as z from 'zod';
import type { Needs } from '#platform/environment/deps.ts';
import type { Delivered, MustRepeat } from '#platform/handlers/queue.ts';
import { consequentId, type SaleId } from '#platform/kernel/ids.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import type { ReconcileNeeds } from './check-claims.ts';
import { defaultSizes, type Sizes } from './progress.ts';
import { findReconciliation, listRunning, type Reconciliation, type ReconciliationId } from './reconciliation.store.ts';
import { beginReconciliation, ReconcileCommand, sendReconcile } from './reconciliation.ts';
import { hasTimeFor, makeStep } from './step.ts';

/** The triggers: the schedule, a message that Redis has lost a sale, or the command that continues a run. */
export const ReconcileTrigger = z.union([
  ReconcileCommand,
  z.object({ saleId: idOf<SaleId>() }),
  z.object({ 'detail-type': z.literal('Scheduled Event') }),
]);
export type ReconcileTrigger = z.infer<typeof ReconcileTrigger>;

/** What making steps needs. */
export type RunNeeds = ReconcileNeeds & Needs<'queue'>;

/**
 * A run that has not moved for so long has been abandoned by the worker that made its steps: longer than a step, and shorter
 * than the time after which a dead worker's message is delivered again.
 */
const abandonedAfterMs = 30_000;
/** Runs that one tick of the schedule looks at. */
const runsPerTick = 100;

/** Continues the runs of a batch of triggers as long as there is time, and sends the commands for the rest. */
export async function reconcileOnTrigger(
  deps: RunNeeds,
  batch: readonly Delivered<ReconcileTrigger>[],
  deadlineMs: number,
  sizes: Sizes = defaultSizes,
): Promise<MustRepeat> {
  for (const trigger of batch) {
    const { message } = trigger;
    if ('reconciliation' in message) {
      const { id, steps } = message.reconciliation;
      const run = await findReconciliation(deps.db, id);
      if (run && isMine(deps, run, steps)) await reconcile(deps, run, deadlineMs, sizes);
    } else if ('saleId' in message) {
      await reconcileNew(deps, trigger, message.saleId, deadlineMs, sizes);
    } else {
      await reconcileAll(deps, trigger, deadlineMs, sizes);
    }
  }
  return [];
}

/** The id of the run that a trigger begins: the same however often it is delivered. */
export function idOfTrigger({
  messageId,
  sentAtMs,
}: Pick<Delivered<unknown>, 'messageId' | 'sentAtMs'>): ReconciliationId {
  return consequentId(sentAtMs, `reconciliation ${messageId}`) as ReconciliationId;
}

/** Begins the run of a trigger, or continues it if an earlier delivery has begun it. */
async function reconcileNew(
  deps: RunNeeds,
  trigger: Delivered<ReconcileTrigger>,
  saleId: SaleId | null,
  deadlineMs: number,
  sizes: Sizes,
): Promise<void> {
  const run = await beginReconciliation(deps, { reconciliationId: idOfTrigger(trigger), saleId, restored: false });
  if (isMine(deps, run, 0)) await reconcile(deps, run, deadlineMs, sizes);
}

/** A tick of the schedule: begins a run over all sales unless one is under way, and continues idle runs. */
async function reconcileAll(
  deps: RunNeeds,
  trigger: Delivered<ReconcileTrigger>,
  deadlineMs: number,
  sizes: Sizes,
): Promise<void> {
  const running = await listRunning(deps.db, runsPerTick);
  const own = idOfTrigger(trigger);
  const abandoned = running.filter((run) => run.reconciliationId !== own && isAbandoned(deps, run));
  for (const run of abandoned) await sendReconcile(deps, run);
  const isUnderWay = running.some((run) => run.saleId === null && run.reconciliationId !== own);
  if (!isUnderWay) await reconcileNew(deps, trigger, null, deadlineMs, sizes);
}

/**
 * Whether this invocation should continue the run: no other has since the command was sent, or the other has abandoned it.
 */
function isMine(deps: Needs<'clock'>, run: Reconciliation, steps: number): boolean {
  return run.state === 'running' && (run.steps === steps || isAbandoned(deps, run));
}

function isAbandoned({ clock }: Needs<'clock'>, run: Reconciliation): boolean {
  return clock() - run.movedAtMs >= abandonedAfterMs;
}

/** Makes steps of a run until it is over or the time is, and then sends the command for the rest. */
async function reconcile(deps: RunNeeds, begun: Reconciliation, deadlineMs: number, sizes: Sizes): Promise<void> {
  let run: Reconciliation | undefined = begun;
  do {
    run = await makeStep(deps, run.reconciliationId, sizes);
    if (!run || run.state === 'done') return;
  } while (hasTimeFor(run.progress, sizes, deadlineMs - deps.clock()));
  await sendReconcile(deps, run);
}
