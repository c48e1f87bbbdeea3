/**
 * The lock of a sale: it keeps workers out of each other's way, and decides nothing. Stock is exact without it, so not
 * getting it, losing it, or Redis being away only costs speed.
 *
 * One call locks any number of sales, or none of them. Each grant comes with fences, numbers higher than any granted
 * before, which the stock update compares with the rows'; redlock has none of its own. Fences follow Redis's clock in
 * microseconds, so they go on rising when Redis has lost its memory.
 *
 * The lock is between environments. Batches that one environment works on at once share its lease: they overlap in
 * MySQL, where the guard of the stock update decides, instead of waiting for each other here.
 */
import Redlock from 'redlock';
import type { SaleTag } from './id.ts';
import { keys } from './keys.ts';
import { defineScript, luaSource, type RedisClient, redisBreaker } from './redis.ts';
import { lockLifeMs } from './timings.ts';

const fenceScript = defineScript('holdfastFence', luaSource('./fence.lua', import.meta.url));

/** What a worker has while it decides. */
export interface Grant {
  /** The fence of each sale that is locked; a sale that is missing is worked on without a lock. */
  readonly fences: ReadonlyMap<SaleTag, number>;
  /** Gives the locks back. Errors are ignored: a lock expires by itself. */
  release(): Promise<void>;
}

/** Locks sales for the length of one decision. */
export interface SaleLock {
  /** Tries for at most `waitMs`, then goes on without what it did not get. Never throws. */
  acquire(tags: SaleTag[], waitMs: number): Promise<Grant>;
}

const retryDelayMs = 15;
/** A lease that has less than this to live is not shared any more, so that no batch outlives its lock. */
const sharedUntilMs = lockLifeMs / 2;

const noGrant: Grant = { fences: new Map(), release: async () => undefined };

/** Locking switched off, for tests that show that stock does not depend on it. */
export const noLock: SaleLock = { acquire: async () => noGrant };

/** A lock of this environment on some sales, and how many of its batches are using it. */
interface Lease {
  readonly lock: Redlock.Lock;
  readonly fence: number;
  users: number;
}

/** The lock over one Redis. */
export function openSaleLock(redis: RedisClient): SaleLock {
  // redlock 4 speaks the callback style of its day, which ioredis still offers; its types know only that.
  const client = redis as unknown as Redlock.CompatibleRedisClient;
  const leases = new Map<SaleTag, Lease>();

  const shareable = (tag: SaleTag): Lease | undefined => {
    const lease = leases.get(tag);
    return lease && lease.lock.expiration - Date.now() > sharedUntilMs ? lease : undefined;
  };

  async function lease(tags: SaleTag[], waitMs: number): Promise<Lease | undefined> {
    const retryCount = Math.max(0, Math.floor(waitMs / retryDelayMs));
    const redlock = new Redlock([client], { retryCount, retryDelay: retryDelayMs, retryJitter: retryDelayMs });
    try {
      const lock = await redisBreaker.run(() => redlock.lock(tags.map(keys.lock), lockLifeMs));
      const fence = Number(await fenceScript.run(redis, [keys.fence()], []));
      const granted: Lease = { lock, fence, users: 0 };
      for (const tag of tags) leases.set(tag, granted);
      return granted;
    } catch {
      return undefined;
    }
  }

  async function giveBack(one: Lease): Promise<void> {
    one.users--;
    if (one.users > 0) return;
    for (const [tag, current] of leases) if (current === one) leases.delete(tag);
    await one.lock.unlock().catch(() => undefined);
  }

  return {
    async acquire(tags, waitMs) {
      const used = new Set<Lease>();
      const fences = new Map<SaleTag, number>();
      const use = (tag: SaleTag, one: Lease): void => {
        fences.set(tag, one.fence);
        if (used.has(one)) return;
        used.add(one);
        one.users++;
      };
      const missing: SaleTag[] = [];
      for (const tag of [...tags].sort()) {
        const own = shareable(tag);
        if (own) use(tag, own);
        else missing.push(tag);
      }
      const fresh = missing.length > 0 ? await lease(missing, waitMs) : undefined;
      if (fresh) for (const tag of missing) use(tag, fresh);
      return {
        fences,
        release: async () => {
          await Promise.all([...used].map(giveBack));
        },
      };
    },
  };
}
