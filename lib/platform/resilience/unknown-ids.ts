/**
 * Look-ups of things that do not exist, counted in place of a negative cache. Any caller can invent ids, and each costs the
 * store a look-up, so this environment counts them for each caller. A caller who has caused many lately has to wait.
 *
 * Invariant: no caller is told that something does not exist unless it was looked up. Misses are not remembered by id: a client
 * may know an id before it is created.
 */
import { LRUCache } from 'lru-cache';
import type { Clock } from '#platform/kernel/clock.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';

/** How many misses a caller may cause within `missesWithinMs` before having to wait for the rest of it. */
export const missesAtMost = 100;
export const missesWithinMs = 10_000;
/** How many callers are remembered; the least recent are forgotten first. */
const rememberedCallers = 10_000;

export interface Misses {
  /** Why the caller has to wait before the next look-up; undefined if there is no need to. */
  refusal(caller: string): Refusal | undefined;
  /** Records that what the caller asked for does not exist. */
  note(caller: string): void;
}

/** This environment's record of misses; kept by `deps.once(missesOf)`. */
export function missesOf({ clock }: { readonly clock: Clock }): Misses {
  const callers = new LRUCache<string, { count: number; endsAtMs: number }>({ max: rememberedCallers });
  const current = (caller: string) => {
    const known = callers.get(caller);
    return known && known.endsAtMs > clock() ? known : undefined;
  };
  return {
    refusal: (caller) => {
      const known = current(caller);
      if (!known || known.count < missesAtMost) return undefined;
      const retryAfterSeconds = Math.max(1, Math.ceil((known.endsAtMs - clock()) / 1_000));
      return refuse('too_many_requests', 'You have asked for many things that do not exist; wait a moment.', {
        retryAfterSeconds,
      });
    },
    note: (caller) => {
      const known = current(caller);
      if (known) known.count++;
      else callers.set(caller, { count: 1, endsAtMs: clock() + missesWithinMs });
    },
  };
}
