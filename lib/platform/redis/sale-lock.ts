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
import type { SaleTag } from '#platform/kernel/ids.ts';
import { lockLifeMs } from '#platform/kernel/time-limits.ts';
import { keys } from './keys.ts';
import { defineScript, luaSource, type RedisClient } from './redis.ts';

const fenceScript = defineScript('holdfastFence', luaSource('./fencing-token.lua', import.meta.url));

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

/** A lock of this environment on some sales, which its batches share. */
interface Lease {
  /** Settles once the lock is granted, or has been waited for long enough; never rejects. */
  readonly granted: Promise<{ lock: Redlock.Lock; fence: number } | undefined>;
  /** Until when further batches may join; as long as it is being waited for, they may. */
  joinableUntilMs: number;
  /** How many batches work under it, or wait for it. */
  users: number;
}

/** The lock over one Redis. */
export function openSaleLock(redis: RedisClient): SaleLock {
  // redlock 4 speaks the callback style of its day, which ioredis still offers; its types know only that.
  const client = redis as unknown as Redlock.CompatibleRedisClient;
  const leases = new Map<SaleTag, Lease>();

  async function lockAll(tags: SaleTag[], waitMs: number): Promise<{ lock: Redlock.Lock; fence: number } | undefined> {
    const retryCount = Math.max(0, Math.floor(waitMs / retryDelayMs));
    const redlock = new Redlock([client], { retryCount, retryDelay: retryDelayMs, retryJitter: retryDelayMs });
    try {
      const lock = await redis.guarded(() => redlock.lock(tags.map(keys.lock), lockLifeMs));
      return { lock, fence: Number(await fenceScript.run(redis, [keys.fence()], [])) };
    } catch {
      return undefined;
    }
  }

  function open(tags: SaleTag[], waitMs: number): Lease {
    const lease: Lease = { granted: lockAll(tags, waitMs), joinableUntilMs: Number.POSITIVE_INFINITY, users: 0 };
    void lease.granted.then((grant) => {
      lease.joinableUntilMs = grant ? grant.lock.expiration - sharedUntilMs : 0;
    });
    for (const tag of tags) leases.set(tag, lease);
    return lease;
  }

  async function leave(lease: Lease): Promise<void> {
    lease.users--;
    if (lease.users > 0) return;
    for (const [tag, current] of leases) if (current === lease) leases.delete(tag);
    await (await lease.granted)?.lock.unlock().catch(() => undefined);
  }

  return {
    async acquire(tags, waitMs) {
      const joined = new Map<SaleTag, Lease>();
      for (const tag of tags) {
        const lease = leases.get(tag);
        if (lease && lease.joinableUntilMs > Date.now()) joined.set(tag, lease);
      }
      const missing = tags.filter((tag) => !joined.has(tag)).sort();
      if (missing.length > 0) {
        const lease = open(missing, waitMs);
        for (const tag of missing) joined.set(tag, lease);
      }
      const used = new Set(joined.values());
      // Counted before anything is waited for, so that nobody else gives a lease back that this batch has joined.
      for (const lease of used) lease.users++;
      const fences = new Map<SaleTag, number>();
      for (const [tag, lease] of joined) {
        const grant = await lease.granted;
        if (grant) fences.set(tag, grant.fence);
      }
      return {
        fences,
        release: async () => {
          await Promise.all([...used].map(leave));
        },
      };
    },
  };
}
