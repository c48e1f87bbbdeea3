/**
 * The dependencies of the verbs, opened once per cold start and passed to them as arguments.
 *
 * Opening makes no connection: each client connects when it is first used, so a function that never uses MySQL never
 * holds a connection.
 */
import { type Bus, openBus } from '#platform/aws/eventbridge.ts';
import { openQueue, openSqs, type Queue } from '#platform/aws/sqs.ts';
import type { SqsClient } from '#platform/aws/sqs-client.ts';
import { openPusher, type Pusher } from '#platform/aws/websocket-push.ts';
import { type Clock, systemClock } from '#platform/kernel/clock.ts';
import { locate, type Registry } from '#platform/kernel/registry.ts';
import { redisCommandTimeoutMs } from '#platform/kernel/time-limits.ts';
import { type Db, openDb } from '#platform/mysql/mysql.ts';
import { openRedis, type RedisClient, redisReady } from '#platform/redis/redis.ts';
import { openSaleLock, type SaleLock } from '#platform/redis/sale-lock.ts';
import { type Breakers, openBreakers } from '#platform/resilience/circuit-breaker.ts';
import { loadRegistry } from './discovery.ts';

/** The `source` of every event that Holdfast publishes. */
export const eventSource = 'holdfast';

/** The part of the dependencies that a verb needs: `Needs<'db' | 'clock'>`. */
export type Needs<Names extends keyof Deps> = Pick<Deps, Names>;

export interface Deps {
  readonly registry: Registry;
  readonly clock: Clock;
  /** A number from 0 up to 1, for jitter. */
  random(): number;
  readonly breakers: Breakers;
  readonly db: Db;
  readonly redis: RedisClient;
  readonly lock: SaleLock;
  readonly sqs: SqsClient;
  readonly bus: Bus;
  readonly push: Pusher;
  /** The queue with this name in `serverless.yml`. */
  queue(name: string): Queue;
  /**
   * The result of `open` with these dependencies, made on first use and kept as long as they are: for what an environment
   * remembers, such as a cache.
   */
  once<T>(this: Needs<'once'>, open: (deps: Deps) => T): T;
  close(): Promise<void>;
}

/** Opens everything a registry names. Each client is made on first use. */
export function openDeps(registry: Registry, overrides: Partial<Deps> = {}): Deps {
  const queues = new Map<string, Queue>();
  const kept = new Map<unknown, unknown>();
  const breakers = openBreakers();
  const lazy = <T>(make: () => T) => {
    let made: T | undefined;
    return { get: (): T => (made ??= make()), made: () => made };
  };
  const db = lazy(() => openDb(locate(registry, 'mysql/main'), { breakers, random: deps.random }));
  const redis = lazy(() => openRedis(locate(registry, 'redis/main'), breakers, deps.clock));
  const lock = lazy(() => openSaleLock(redis.get()));
  const sqs = lazy(openSqs);
  const bus = lazy(() => openBus(locate(registry, 'bus/main'), eventSource, breakers));
  const push = lazy(() => openPusher(registry['websocket/management'], breakers));
  const deps: Deps = {
    registry,
    clock: systemClock,
    random: Math.random,
    breakers,
    get db() {
      return db.get();
    },
    get redis() {
      return redis.get();
    },
    get lock() {
      return lock.get();
    },
    get sqs() {
      return sqs.get();
    },
    get bus() {
      return bus.get();
    },
    get push() {
      return push.get();
    },
    queue(name) {
      const known = queues.get(name) ?? openQueue(this.sqs, locate(registry, `queue/${name}`), breakers);
      queues.set(name, known);
      return known;
    },
    once(open) {
      // `this` says so much only so that it cannot be called apart from its object.
      if (!kept.has(open)) kept.set(open, open(this as Deps));
      return kept.get(open) as ReturnType<typeof open>;
    },
    async close() {
      redis.made()?.disconnect();
      sqs.made()?.destroy();
      push.made()?.close();
      await db.made()?.close();
    },
  };
  for (const [name, value] of Object.entries(overrides)) Object.defineProperty(deps, name, { value });
  return deps;
}

let shared: Promise<Deps> | undefined;

/**
 * The dependencies of this Lambda environment, opened at its first request. If opening fails, the next request retries.
 *
 * A Redis command fails at once while there is no connection, so the first request of every new environment would skip
 * the gate, and a launch starts thousands of them; so it waits briefly for the connection.
 */
export function sharedDeps(): Promise<Deps> {
  shared ??= loadRegistry()
    .then(async (registry) => {
      const deps = openDeps(registry);
      if (registry['redis/main']) await redisReady(deps.redis, redisCommandTimeoutMs).catch(() => undefined);
      return deps;
    })
    .catch((error) => {
      shared = undefined;
      throw error;
    });
  return shared;
}
