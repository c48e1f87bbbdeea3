/**
 * Probes: the cheapest call that shows whether a part answers. Each has its own time limit, none throws, and none
 * goes through a breaker: a probe has to detect recovery.
 */

import { DescribeEventBusCommand, EventBridgeClient } from '@aws-sdk/client-eventbridge';
import type { SQSClient } from '@aws-sdk/client-sqs';
import { queueDepth } from '#platform/aws/sqs.ts';
import { probeTimeoutMs } from '#platform/kernel/time-limits.ts';
import type { Db } from '#platform/mysql/mysql.ts';
import { keys } from '#platform/redis/keys.ts';
import { type RedisClient, redisReady } from '#platform/redis/redis.ts';
import type { BreakerState, Breakers } from '#platform/resilience/circuit-breaker.ts';
import type { Needs } from './deps.ts';

/** What a probe found. */
export interface Probe {
  ok: boolean;
  latencyMs: number;
  /** Why not, in a word or two; never an address. */
  problem?: string;
}

export const probeMysql = (db: Db) => timed(() => db.rows('SELECT 1'));

export const probeRedis = (redis: RedisClient) =>
  timed(async () => {
    await redisReady(redis, probeTimeoutMs);
    await redis.ping();
  });

/** Asks a queue how many messages wait in it. */
export async function probeQueue(sqs: SQSClient, url: string): Promise<Probe & { waiting?: number }> {
  let waiting: number | undefined;
  const probe = await timed(async () => {
    waiting = (await queueDepth(sqs, url)).waiting;
  });
  return { ...probe, ...(waiting === undefined ? {} : { waiting }) };
}

/** The client that probes the bus: a single try, because a probe reports the present state. */
const busClient = () => new EventBridgeClient({ maxAttempts: 1 });

/** Asks the bus to describe itself. */
export function probeBus(deps: Needs<'once'>, busName: string): Promise<Probe> {
  const client = deps.once(busClient);
  return timed(() =>
    client.send(new DescribeEventBusCommand({ Name: busName }), { abortSignal: AbortSignal.timeout(probeTimeoutMs) }),
  );
}

/** Calls the health endpoint of one instance of an external service. */
export function probeHttp(baseUrl: string): Promise<Probe> {
  return timed(async () => {
    const response = await fetch(new URL('/health', baseUrl), { signal: AbortSignal.timeout(probeTimeoutMs) });
    await response.body?.cancel();
    if (!response.ok) throw Object.assign(new Error(), { code: `answered ${response.status}` });
  });
}

/**
 * The breakers of this process, and those that all processes share through Redis. The shared ones say more: a process
 * that only answers health checks has made no other calls.
 */
export async function allBreakers(
  { redis, breakers }: { redis: RedisClient; breakers: Breakers },
  shared: string[],
  nowMs: number,
): Promise<Record<string, BreakerState>> {
  const own = breakers.states();
  const ask = async () => {
    if (shared.length === 0) return [];
    await redisReady(redis, probeTimeoutMs);
    return redis.mget(shared.map(keys.breaker));
  };
  const found = await limited(ask).catch(() => []);
  const together = shared.map((name, index): [string, BreakerState] => {
    const openUntilMs = Number(found[index] ?? 0);
    if (openUntilMs === 0) return [name, own[name] ?? 'closed'];
    return [name, openUntilMs > nowMs ? 'open' : 'half-open'];
  });
  return { ...own, ...Object.fromEntries(together) };
}

async function timed(ask: () => Promise<unknown>): Promise<Probe> {
  const startedAt = performance.now();
  const latencyMs = () => Math.round(performance.now() - startedAt);
  try {
    await limited(ask);
    return { ok: true, latencyMs: latencyMs() };
  } catch (error) {
    const { code, name } = error as { code?: unknown; name?: unknown };
    return { ok: false, latencyMs: latencyMs(), problem: String(code ?? name ?? 'failed') };
  }
}

/** Gives up after `probeTimeoutMs`; the call may continue and its result is ignored. */
async function limited<T>(ask: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error(), { code: 'no answer in time' })), probeTimeoutMs);
  });
  try {
    return await Promise.race([ask(), late]);
  } finally {
    clearTimeout(timer);
  }
}
