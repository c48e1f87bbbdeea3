/** Every few minutes, and when Redis was found to have lost a sale: the mirror is held against MySQL and repaired. */
import { ReconcileTrigger, reconcileOnTrigger } from '../../lib/inventory/reconcile.ts';
import { queueHandler } from '../../lib/platform/queue.ts';

export const handler = queueHandler({
  message: ReconcileTrigger,
  run: (deps, batch, deadlineMs) => reconcileOnTrigger(deps, batch, deadlineMs),
});
