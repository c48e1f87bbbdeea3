/**
 * Every few minutes, and when Redis was found to have lost a sale: compares the mirror with MySQL and repairs it, and
 * deletes expired sessions.
 */
import { forgetExpiredSessions } from '#identity/session.ts';
import { queueHandler } from '#platform/handlers/queue.ts';
import { ReconcileTrigger, reconcileOnTrigger } from '#reconcile/reconcile.ts';

export const handler = queueHandler({
  message: ReconcileTrigger,
  run: async (deps, batch, deadlineMs) => {
    await forgetExpiredSessions(deps);
    return reconcileOnTrigger(deps, batch, deadlineMs);
  },
});
