/**
 * A circuit breaker whose opening all processes share through Redis.
 *
 * A Lambda environment serves one batch at a time and sees too few calls to notice alone that the other side is down, and
 * each would have to learn it again. So whoever's breaker opens writes until when, and the others fail fast until then.
 * After that, the first to call moves the time on and tries, while the rest still wait: one call at a time sees whether
 * the other side is back. Redis only spreads the news; without it each process falls back on its own breaker.
 */

import type { Clock } from '#platform/kernel/clock.ts';
import { type Breaker, BreakerOpen, type BreakerOptions, type Breakers } from '#platform/resilience/circuit-breaker.ts';
import { keys } from './keys.ts';
import type { RedisClient } from './redis.ts';

/** How many reset periods an opening is remembered if nobody calls any more. */
const rememberedResets = 6;

/** The breaker of this name, shared by every process on this Redis. `resetTimeoutMs` is how long it fails fast. */
export function sharedBreaker(
  { redis, clock, breakers }: { redis: RedisClient; clock: Clock; breakers: Breakers },
  name: string,
  options: BreakerOptions & { resetTimeoutMs: number },
): Breaker {
  const local = breakers.get(name, options);
  const key = keys.breaker(name);
  const { resetTimeoutMs } = options;

  /** Errors are ignored: news that cannot be read or written is no news. */
  const ask = <T>(command: () => Promise<T>): Promise<T | undefined> => redis.guarded(command).catch(() => undefined);
  const announce = () =>
    ask(() => redis.set(key, clock() + resetTimeoutMs, 'PX', Math.ceil(resetTimeoutMs * rememberedResets)));

  return {
    name,
    state: local.state,
    async run(call) {
      // The own breaker first: it must not take the one attempt that is due and then refuse to make it.
      if (local.state() === 'open') throw new BreakerOpen(name, undefined);
      const openUntilMs = Number((await ask(() => redis.get(key))) ?? 0);
      if (openUntilMs > clock()) throw new BreakerOpen(name, undefined);
      const tries = openUntilMs > 0;
      if (tries) await announce();
      try {
        const result = await local.run(call);
        if (tries) await ask(() => redis.del(key));
        return result;
      } catch (error) {
        const opened = !(error instanceof BreakerOpen) && local.state() === 'open';
        if (opened && !tries) await announce();
        throw error;
      }
    },
  };
}
