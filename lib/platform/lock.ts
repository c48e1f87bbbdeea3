/**
 * The lock of a sale: it keeps workers out of each other's way, and decides nothing. Stock is exact without it, so not
 * getting it, losing it, or Redis being away only costs speed.
 *
 * One call locks any number of sales, or none of them. Each grant comes with a fence, a number higher than any granted
 * before, which the stock update compares with the row's; redlock has none of its own. The fence follows Redis's clock
 * in microseconds, so it goes on rising when Redis has lost its memory.
 */
import Redlock from 'redlock';
import type { SaleTag } from './id.ts';
import { keys } from './keys.ts';
import { defineScript, luaSource, type RedisClient, redisBreaker } from './redis.ts';
import { lockLifeMs } from './timings.ts';

const fenceScript = defineScript('holdfastFence', luaSource('./fence.lua', import.meta.url));

/** What a worker has while it decides: a fence if the lock was granted, none if it goes on without. */
export interface Grant {
  /** Rises with every grant; undefined when the worker goes on without a lock. */
  fence: number | undefined;
  /** False once the lock may have expired; a worker that sees it should not start another transaction. */
  alive(): boolean;
  /** Gives the lock back. Errors are ignored: the lock expires by itself. */
  release(): Promise<void>;
}

/** Locks sales for the length of one decision. */
export interface SaleLock {
  /** Tries for at most `waitMs`, then goes on without: the grant then has no fence. Never throws. */
  acquire(tags: SaleTag[], waitMs: number): Promise<Grant>;
}

const retryDelayMs = 15;
const noGrant: Grant = { fence: undefined, alive: () => true, release: async () => undefined };

/** Locking switched off, for tests that show that stock does not depend on it. */
export const noLock: SaleLock = { acquire: async () => noGrant };

/** The lock over one Redis. */
export function openSaleLock(redis: RedisClient): SaleLock {
  // redlock 4 speaks the callback style of its day, which ioredis still offers; its types know only that.
  const client = redis as unknown as Redlock.CompatibleRedisClient;
  return {
    async acquire(tags, waitMs) {
      const resources = [...tags].sort().map(keys.lock);
      const attempts = Math.max(0, Math.floor(waitMs / retryDelayMs));
      const redlock = new Redlock([client], {
        retryCount: attempts,
        retryDelay: retryDelayMs,
        retryJitter: retryDelayMs,
      });
      try {
        const lock = await redisBreaker.run(() => redlock.lock(resources, lockLifeMs));
        const fence = Number(await fenceScript.run(redis, [keys.fence()], []));
        return {
          fence,
          alive: () => lock.expiration > Date.now(),
          release: async () => {
            await lock.unlock().catch(() => undefined);
          },
        };
      } catch {
        return noGrant;
      }
    },
  };
}
