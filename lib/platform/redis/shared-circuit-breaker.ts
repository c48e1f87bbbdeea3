/**
 * A circuit breaker whose open state all processes share through Redis.
 *
 * A Lambda environment serves one batch at a time and makes too few calls to notice an outage alone, and each would have
 * to find out for itself. So a process whose breaker opens writes until when, and the others fail fast until then. After
 * that, the first caller extends the time and makes a trial call while the rest still fail fast: one call at a time
 * tests for recovery. Redis only shares the state; without it each process relies on its own breaker.
 */

import type { Clock } from '#platform/kernel/clock.ts';
import { type Breaker, BreakerOpen, type BreakerOptions, type Breakers } from '#platform/resilience/circuit-breaker.ts';
import { keys } from './keys.ts';
import type { RedisClient } from './redis.ts';

/** For how many reset periods an opening is remembered if there are no further calls. */
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

  /** Errors are ignored: if the shared state cannot be read or written, the local breaker decides. */
  const ask = <T>(command: () => Promise<T>): Promise<T | undefined> => redis.guarded(command).catch(() => undefined);
  const announce = () =>
    ask(() => redis.set(key, clock() + resetTimeoutMs, 'PX', Math.ceil(resetTimeoutMs * rememberedResets)));

  return {
    name,
    state: local.state,
    async run(call) {
      // The local breaker first: this process must not claim the trial call and then refuse to make it.
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
