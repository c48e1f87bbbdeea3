/**
 * The schedule wrapper: runs a job when a rule fires. A rule targets a queue like any other, so a failed job is retried
 * and one that keeps failing ends in the dead-letter queue. A batch of triggers runs the job once.
 */
import * as z from 'zod';
import type { Deps } from '#platform/environment/deps.ts';
import { type QueueHandler, queueHandler } from './queue.ts';

/** Any trigger: a job looks at the clock and the store, never at its trigger. */
const Trigger = z.looseObject({});

/** Wraps a job. `run` must be idempotent, and safe when it runs early, late or concurrently with itself. */
export function scheduleHandler(run: (deps: Deps, deadlineMs: number) => Promise<void>): QueueHandler {
  return queueHandler({
    message: Trigger,
    run: async (deps, _batch, deadlineMs) => {
      await run(deps, deadlineMs);
      return [];
    },
  });
}
