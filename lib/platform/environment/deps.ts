/**
 * What the verbs need from outside, opened once per cold start and handed to them as arguments.
 *
 * Opening connects to nothing yet: each client connects when it is first used, so a function that never touches MySQL
 * never holds a connection.
 */
import type { SQSClient } from '@aws-sdk/client-sqs';
import { type Bus, openBus } from '#platform/aws/eventbridge.ts';
import { openQueue, openSqs, type Queue } from '#platform/aws/sqs.ts';
import { openPusher, type Pusher } from '#platform/aws/websocket-push.ts';
import { type Clock, systemClock } from '#platform/kernel/clock.ts';
import { redisCommandTimeoutMs } from '#platform/kernel/time-limits.ts';
import { type Db, openDb } from '#platform/mysql/mysql.ts';
import { openRedis, type RedisClient, redisReady } from '#platform/redis/redis.ts';
import { openSaleLock, type SaleLock } from '#platform/redis/sale-lock.ts';
import { loadRegistry, locate, type Registry } from './discovery.ts';

/** The `source` of every event that Holdfast publishes. */
export const eventSource = 'holdfast';

export interface Deps {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly db: Db;
  readonly redis: RedisClient;
  readonly lock: SaleLock;
  readonly sqs: SQSClient;
  readonly bus: Bus;
  readonly push: Pusher;
  /** The queue with this name in `serverless.yml`. */
  queue(name: string): Queue;
  close(): Promise<void>;
}

/** Opens everything a registry names. Each client is made on first use. */
export function openDeps(registry: Registry, overrides: Partial<Deps> = {}): Deps {
  const queues = new Map<string, Queue>();
  const once = <T>(make: () => T) => {
    let made: T | undefined;
    return { get: (): T => (made ??= make()), made: () => made };
  };
  const db = once(() => openDb(locate(registry, 'mysql/main')));
  const redis = once(() => openRedis(locate(registry, 'redis/main')));
  const lock = once(() => openSaleLock(redis.get()));
  const sqs = once(openSqs);
  const bus = once(() => openBus(locate(registry, 'bus/main'), eventSource));
  const push = once(() => openPusher(registry['websocket/management']));
  const deps: Deps = {
    registry,
    clock: systemClock,
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
      const known = queues.get(name) ?? openQueue(this.sqs, locate(registry, `queue/${name}`));
      queues.set(name, known);
      return known;
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
let opened: Deps | undefined;

/** The dependencies of this Lambda environment if its first request has opened them, without waiting. */
export const depsAtHand = (): Deps | undefined => opened;

/**
 * The dependencies of this Lambda environment, opened at its first request. A failed opening is tried again.
 *
 * A command that comes before the connection fails at once, so every fresh environment's first request would pass by the
 * gate, and a launch starts thousands of them; a moment is waited for the connection, and no longer.
 */
export function sharedDeps(): Promise<Deps> {
  shared ??= loadRegistry()
    .then(async (registry) => {
      const deps = openDeps(registry);
      if (registry['redis/main']) await redisReady(deps.redis, redisCommandTimeoutMs).catch(() => undefined);
      opened = deps;
      return deps;
    })
    .catch((error) => {
      shared = undefined;
      throw error;
    });
  return shared;
}
