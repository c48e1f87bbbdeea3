/**
 * Every few minutes, and when Redis was found to have lost a sale: the mirror is held against MySQL and repaired, and
 * sessions that are over, answers that nobody asks for any more and runs of long ago are forgotten.
 */
import { forgetOldAnswers } from '#idempotency/kept-answer.ts';
import { forgetExpiredSessions } from '#identity/session.ts';
import { queueHandler } from '#platform/handlers/queue.ts';
import { ReconcileTrigger, reconcileOnTrigger } from '#reconcile/reconcile.ts';
import { forgetOldReconciliations } from '#reconcile/reconciliation.ts';

export const handler = queueHandler({
  message: ReconcileTrigger,
  run: async (deps, batch, deadlineMs) => {
    await forgetExpiredSessions(deps);
    await forgetOldAnswers(deps);
    await forgetOldReconciliations(deps);
    return reconcileOnTrigger(deps, batch, deadlineMs);
  },
});
