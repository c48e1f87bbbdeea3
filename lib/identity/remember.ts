/**
 * A memory in front of MySQL, so that calls with an API key or a token of another issuer ask it once in a while and not each
 * time. While MySQL is unavailable, what was read up to ten minutes before counts, as long as an access token lives: reservations
 * are accepted without MySQL.
 */
import { LRUCache } from 'lru-cache';
import { isOutage } from '#platform/resilience/outage.ts';
import { accessTokenLifeSeconds } from '#platform/security/access-token.ts';

/** For how long what was read counts: a key that is revoked elsewhere is refused here after it. */
export const rememberedMs = 10_000;
const rememberedInOutageMs = accessTokenLifeSeconds * 1_000;

export interface Memory<Key, Value> {
  /** What is remembered of a key, however long ago it was read. */
  peek(key: Key): Value | undefined;
  /**
   * What is remembered of a key, or what `read` says. With `anew` it is read anyway. That there is nothing is not remembered, so
   * invented keys push no other out.
   */
  get(key: Key, read: () => Promise<Value>, anew?: boolean): Promise<Value>;
  /** Replaces what is remembered, which becomes no newer by it. */
  replace(key: Key, value: Value): void;
  forget(key: Key): void;
}

/** Opens a memory of at most so many, by this clock. */
export function openMemory<Key extends {}, Value>(max: number, clock: () => number): Memory<Key, Value> {
  const known = new LRUCache<Key, { readonly value: Value; readonly atMs: number }>({ max });
  return {
    peek: (key) => known.get(key)?.value,
    async get(key, read, anew = false) {
      const atMs = clock();
      const before = known.get(key);
      if (before && !anew && atMs - before.atMs < rememberedMs) return before.value;
      try {
        const value = await read();
        if (value === undefined) known.delete(key);
        else known.set(key, { value, atMs });
        return value;
      } catch (error) {
        if (before && !anew && isOutage(error) && atMs - before.atMs < rememberedInOutageMs) return before.value;
        throw error;
      }
    },
    replace(key, value) {
      const before = known.get(key);
      if (before) known.set(key, { value, atMs: before.atMs });
    },
    forget: (key) => {
      known.delete(key);
    },
  };
}
