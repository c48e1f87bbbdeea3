/**
 * Whether this environment may trust the mirror.
 *
 * A reservation is read from the mirror alone if that is sure of it (`sureView` in `reservation/read.ts`). After a failure
 * of Redis, a change may be committed and shown from MySQL while the mirror still has what was before, so for a while MySQL
 * is read as well (invariant I6).
 */
import type { Needs } from '#platform/environment/deps.ts';

/**
 * How long after a failure the mirror is not trusted. Longer than the minute after which a dead worker's messages are
 * delivered again, and than the five minutes between reconcile runs: a batch whose mirror could not be written is not
 * delivered again, so reconcile repairs it.
 */
export const distrustForMs = 360_000;

export interface MirrorTrust {
  /** Records that reading or writing the mirror has just failed. */
  failed(): void;
  /** Whether the mirror failed recently, or its connection was lost, even if there was no request at the time. */
  isDoubted(): boolean;
}

/** This environment's record of the mirror's failures; kept by `deps.once(mirrorTrust)`. */
export function mirrorTrust({ redis, clock }: Needs<'redis' | 'clock'>): MirrorTrust {
  let failedAtMs = 0;
  return {
    failed: () => {
      failedAtMs = clock();
    },
    isDoubted: () => clock() - Math.max(failedAtMs, redis.lostAtMs) < distrustForMs,
  };
}
