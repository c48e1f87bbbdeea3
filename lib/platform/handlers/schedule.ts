/**
 * The schedule wrapper: runs a job when a rule fires. A rule targets a queue like every other, so a job that fails is
 * delivered again and one that keeps failing ends in the dead letters. Triggers that piled up are one trigger.
 */
import * as z from 'zod';
import type { Deps } from '#platform/environment/deps.ts';
import { type QueueHandler, queueHandler } from './queue.ts';

/** Whatever fired: a job looks at the clock and the store, never at the trigger. */
const Trigger = z.looseObject({});

/** Wraps a job. `run` must be harmless when it runs early, late, twice or at once with itself. */
export function scheduleHandler(run: (deps: Deps, deadlineMs: number) => Promise<void>): QueueHandler {
  return queueHandler({
    message: Trigger,
    run: async (deps, _batch, deadlineMs) => {
      await run(deps, deadlineMs);
      return [];
    },
  });
}
