/**
 * Whether this environment has reason to believe that the mirror is behind.
 *
 * “Requested” is the one answer that is taken from the mirror alone (`read.ts`). After Redis failed, a decision may be
 * committed and shown from MySQL while the mirror still says that, so for a while MySQL is asked as well (invariant I6).
 */
import { type RedisClient, redisLostAtMs } from '#platform/redis/redis.ts';

/**
 * How long after a failure that is done. Longer than the minute after which a dead worker's messages come again, and than
 * the five minutes after which the reconcile job does: a batch whose mirror could not be written is not delivered again.
 */
export const doubtForMs = 360_000;

/** When this environment last saw the mirror fail, by its client. */
const failedAtMs = new WeakMap<RedisClient, number>();

/** Notes that reading or writing the mirror has failed just now. */
export function doubtMirror(redis: RedisClient, nowMs: number): void {
  failedAtMs.set(redis, nowMs);
}

/** Whether the mirror failed lately, or the connection to it was lost, even if nobody here was asking at the time. */
export function isMirrorDoubted(redis: RedisClient, nowMs: number): boolean {
  const lastMs = Math.max(failedAtMs.get(redis) ?? 0, redisLostAtMs(redis));
  return nowMs - lastMs < doubtForMs;
}
