/**
 * Whether this environment may believe the mirror.
 *
 * “Requested” is the one answer that is taken from the mirror alone (`reservation/read.ts`). After Redis failed, a decision
 * may be committed and shown from MySQL while the mirror still says that, so for a while MySQL is asked as well (invariant
 * I6).
 */
import type { Needs } from '#platform/environment/deps.ts';

/**
 * How long after a failure the mirror is not believed. Longer than the minute after which a dead worker's messages come
 * again, and than the five minutes after which the reconcile job does: a batch whose mirror could not be written is not
 * delivered again.
 */
export const distrustForMs = 360_000;

export interface MirrorTrust {
  /** Notes that reading or writing the mirror has failed just now. */
  failed(): void;
  /** Whether the mirror failed lately, or the connection to it was lost, even if nothing here was asking at the time. */
  isDoubted(): boolean;
}

/** What this environment knows of the mirror's failures; kept by `deps.once(mirrorTrust)`. */
export function mirrorTrust({ redis, clock }: Needs<'redis' | 'clock'>): MirrorTrust {
  let failedAtMs = 0;
  return {
    failed: () => {
      failedAtMs = clock();
    },
    isDoubted: () => clock() - Math.max(failedAtMs, redis.lostAtMs) < distrustForMs,
  };
}
