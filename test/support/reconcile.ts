/** Reconciling as the queue's messages do it, without the queue in between. */
import type { Deps } from '#platform/environment/deps.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { defaultSizes, type Sizes } from '#reconcile/progress.ts';
import { idOfTrigger, type ReconcileTrigger, reconcileOnTrigger } from '#reconcile/reconcile.ts';
import { findReconciliation, type Reconciliation } from '#reconcile/reconciliation.store.ts';
import { newId } from './ids.ts';

/** A trigger as the queue delivers it. */
export function reconcileTrigger(message: ReconcileTrigger) {
  return { message, messageId: newId(), sentAtMs: Date.now(), deliveries: 1 };
}

/** Reconciles a sale to the end, and returns the run. */
export async function reconcile(deps: Deps, saleId: SaleId, sizes: Sizes = defaultSizes): Promise<Reconciliation> {
  const trigger = reconcileTrigger({ saleId });
  await reconcileOnTrigger(deps, [trigger], deps.clock() + 20_000, sizes);
  const run = await findReconciliation(deps.db, idOfTrigger(trigger));
  if (run?.state !== 'done') throw new Error(`reconciling has come no further than ${JSON.stringify(run)}`);
  return run;
}
