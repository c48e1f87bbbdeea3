/**
 * Waiting, by condition and never by hope.
 *
 * Every part of the local stack is declared ready by something observed (a query answered, a line written,
 * a port accepting); this is the one loop that watches for it. Called by the supervisor and by tests.
 */
import { setTimeout as sleep } from 'node:timers/promises';

/** How long between two looks at the same condition. */
const LOOK_AGAIN_MS = 20;

/**
 * Resolves with the first truthy value the probe returns. A probe that throws counts as "not yet"; the last
 * error becomes the cause when the time is up. `what` completes the sentence "waited N s for …".
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
    await sleep(options.lookAgainMs ?? LOOK_AGAIN_MS);
  }
}
