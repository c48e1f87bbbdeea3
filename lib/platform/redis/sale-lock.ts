/**
 * The lock of a sale: it reduces contention between workers, and correctness does not depend on it. Stock is exact
 * without it, so not getting it, losing it, or Redis being unavailable only costs speed.
 *
 * One call locks any number of sales, or none of them. Each grant comes with a fencing token, a number higher than any
 * granted before, which the stock update compares with the rows'; redlock itself has none. Tokens follow Redis's
 * clock in microseconds, so they keep rising even when Redis has lost its data.
 */
import Redlock from 'redlock';
import type { SaleTag } from '#platform/kernel/ids.ts';
import { lockLifeMs } from '#platform/kernel/time-limits.ts';
import { isOutage } from '#platform/resilience/outage.ts';
import { keys } from './keys.ts';
import { defineScript, luaSource, type RedisClient } from './redis.ts';

const fencingTokenScript = defineScript('holdfastFencingToken', luaSource('lib/platform/redis/fencing-token.lua'));

/** The locks that a worker holds while it decides. */
export interface Grant {
  /** The fencing token of each locked sale; a sale that is not in the map is processed without a lock. */
  readonly fencingTokens: ReadonlyMap<SaleTag, number>;
  /** Releases the locks, once. Errors are ignored: a lock expires by itself. */
  release(): Promise<void>;
}

/** Locks sales for the duration of one decision. */
export interface SaleLock {
  /** Tries for at most `waitMs`, once for 0. The grant is empty if it did not get the lock in time. Never throws. */
  acquire(tags: SaleTag[], waitMs: number): Promise<Grant>;
}

const retryDelayMs = 15;

const noGrant: Grant = { fencingTokens: new Map(), release: async () => undefined };

/** The lock over one Redis. */
export function openSaleLock(redis: RedisClient): SaleLock {
  // redlock 4 and its types use the callback style, which ioredis still supports.
  const client = redis as unknown as Redlock.CompatibleRedisClient;
  return {
    async acquire(tags, waitMs) {
      const retryCount = Math.max(0, Math.floor(waitMs / retryDelayMs));
      const redlock = new Redlock([client], { retryCount, retryDelay: retryDelayMs, retryJitter: retryDelayMs });
      // redlock retries an unavailable Redis as it retries a lock that is held; only this event tells them apart.
      let outage: unknown;
      redlock.on('clientError', (error) => {
        if (isOutage(error)) outage = error;
      });
      let lock: Redlock.Lock | undefined;
      const release = async () => {
        const held = lock;
        lock = undefined;
        await held?.unlock().catch(() => undefined);
      };
      try {
        // A lock that another process holds says nothing about Redis, and must not open its breaker.
        lock = await redis.guarded(() =>
          redlock.lock(tags.map(keys.lock), lockLifeMs).catch((error) => {
            if (outage === undefined) return unlessHeld(error);
            throw outage;
          }),
        );
        if (!lock) return noGrant;
        const token = Number(await fencingTokenScript.run(redis, [keys.fencingToken()], []));
        return { fencingTokens: new Map(tags.map((tag) => [tag, token])), release };
      } catch {
        // A lock without a fencing token would only keep other workers waiting.
        await release();
        return noGrant;
      }
    },
  };
}

/** Turns redlock's error for a lock that was not obtained in time into `undefined`; rethrows any other. */
function unlessHeld(error: unknown): undefined {
  if (error instanceof Redlock.LockError) return undefined;
  throw error;
}
