/**
 * Polls a condition until it holds.
 *
 * Each part of the local stack counts as ready when something was observed (a query answered, a line written, a port that
 * accepts), never after a fixed time. Called by the supervisor and by tests.
 */
import { setTimeout as sleep } from 'node:timers/promises';

const pollIntervalMs = 20;

/**
 * Resolves with the first truthy value that the probe returns. A probe that throws counts as "not yet"; on timeout its
 * last error is the cause. `what` completes the sentence "waited N s for …".
 */
export async function waitFor<T>(
  what: string,
  probe: () => Promise<T | undefined | false | null> | T | undefined | false | null,
  options: { timeoutMs: number; abort?: () => Error | undefined; lookAgainMs?: number },
): Promise<T> {
  const deadline = Date.now() + options.timeoutMs;
  let lastError: unknown;
  for (;;) {
    const aborted = options.abort?.();
    if (aborted) throw aborted;
    try {
      const value = await probe();
      if (value) return value;
    } catch (error) {
      lastError = error;
    }
    if (Date.now() >= deadline) {
      throw new Error(`waited ${(options.timeoutMs / 1000).toFixed(0)} s for ${what}`, { cause: lastError });
    }
    await sleep(options.lookAgainMs ?? pollIntervalMs);
  }
}
