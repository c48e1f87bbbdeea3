/**
 * Rate limits: token buckets in Redis, shared by all environments of a function.
 *
 * A limit protects what is behind it from a flood; like everything in Redis it is optional. When Redis is unavailable
 * the limit is not applied and API Gateway's own throttling remains. The size of a bucket can be set for a stack under
 * the logical name `limit/<name>`, as "<burst>/<per minute>"; otherwise the strict default in the code applies.
 */
import { hash } from 'node:crypto';
import type { Registry } from '#platform/kernel/registry.ts';
import { redisCommandTimeoutMs } from '#platform/kernel/time-limits.ts';
import { keys } from './keys.ts';
import { defineScript, luaSource, type RedisClient, redisReady } from './redis.ts';

/** A Lua function that takes the tokens of one attempt: the first part of every script that does. */
export const takeTokensSource = luaSource('lib/platform/redis/take-tokens.lua');

const takeScript = defineScript('holdfastRate', takeTokensSource + luaSource('lib/platform/redis/rate-limit.lua'));

/** A rate: how many times something may be done. */
export interface Rate {
  /** How many times at once, when the bucket is full. */
  readonly burst: number;
  /** How many times a minute in the long run. */
  readonly perMinute: number;
}

/** One limit, applied to one caller. */
export interface Bucket {
  /** What is limited; part of the key. */
  readonly what: string;
  /** Who is limited: an address, an account. Only a hash of it reaches Redis. */
  readonly who: string;
  readonly rate: Rate;
}

/** The rate that is set for this stack, or the strict default. Throws if the setting is malformed. */
export function rateOf(registry: Registry, name: string, strict: Rate): Rate {
  const set = registry[`limit/${name}`];
  if (set === undefined) return strict;
  const [, burst, perMinute] = /^([1-9]\d{0,8})\/([1-9]\d{0,8})$/.exec(set) ?? [];
  if (!burst || !perMinute) throw new Error(`limit/${name} must read "<burst>/<per minute>", such as "10/30"`);
  return { burst: Number(burst), perMinute: Number(perMinute) };
}

/** A bucket without a token, and when it has one again. */
export interface Empty {
  readonly what: string;
  readonly retryAfterSeconds: number;
}

/** The most attempts in one call of the script; each takes microseconds, during which Redis serves no other client. */
export const attemptsPerCall = 100;

/** The keys of an attempt's buckets, and two numbers for each, as `take-tokens.lua` wants them. */
export function namedBuckets(buckets: readonly Bucket[]): { names: string[]; sizes: number[] } {
  return {
    names: buckets.map(({ what, who }) => keys.rate(what, digestOf(who))),
    sizes: buckets.flatMap(({ rate }) => [rate.burst, 60_000 / rate.perMinute]),
  };
}

/** Which of an attempt's buckets are empty, given the milliseconds until each has a token. */
export function emptyOf(buckets: readonly Bucket[], waitsMs: readonly number[]): Empty[] {
  return buckets.flatMap(({ what }, index) => {
    const waitMs = waitsMs[index] ?? 0;
    return waitMs > 0 ? [{ what, retryAfterSeconds: Math.ceil(waitMs / 1_000) }] : [];
  });
}

/**
 * For each attempt, takes one token from each of its buckets, in one step: if any is empty, nothing is taken from its others, so
 * an attempt that one limit refuses does not use up another. Resolves to the empty ones of each. Throws if Redis cannot be
 * reached.
 */
export async function takeAll(redis: RedisClient, attempts: readonly (readonly Bucket[])[]): Promise<Empty[][]> {
  const named = attempts.map(namedBuckets);
  const names = named.flatMap((attempt) => attempt.names);
  const sizes = named.flatMap((attempt) => [attempt.names.length, ...attempt.sizes]);
  // The first call after a cold start arrives before the connection is ready.
  await redisReady(redis, redisCommandTimeoutMs);
  const waits = (await redis.guarded(() => takeScript.run(redis, names, sizes))) as number[];
  let place = 0;
  return attempts.map((buckets) => {
    const first = place;
    place += buckets.length;
    return emptyOf(buckets, waits.slice(first, place));
  });
}

/**
 * Marks something as used that may be used once, until it ends by itself. False if it was used before. Without Redis it
 * counts as unused: there are no limits then that it could get around.
 */
export async function useOnce(redis: RedisClient, id: string, lifeMs: number): Promise<boolean> {
  try {
    const set = await redis.guarded(() => redis.set(keys.used(digestOf(id)), 1, 'PX', Math.max(1, lifeMs), 'NX'));
    return set !== null;
  } catch {
    return true;
  }
}

/** Only a hash of who or what is limited reaches Redis. */
function digestOf(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 22);
}
