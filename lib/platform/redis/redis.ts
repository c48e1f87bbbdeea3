/**
 * Redis: the client and its scripts. Redis is never the truth (who may try, what stock looked like a moment ago), and
 * must not delay a request for long, so every command has a time limit and nothing is queued while disconnected.
 */

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Command, Redis, type RedisOptions } from 'ioredis';
import { type Clock, systemClock } from '#platform/kernel/clock.ts';
import { redisCommandTimeoutMs, redisConnectTimeoutMs } from '#platform/kernel/time-limits.ts';
import { type Breakers, openBreakers } from '#platform/resilience/circuit-breaker.ts';
import { isOutage } from '#platform/resilience/outage.ts';
import { OutageLog } from './outage-log.ts';

/**
 * Into how many ticks a time limit is divided. When the event loop is blocked, as while code is loaded and compiled, all
 * timers fall due at once, before the replies that have already arrived are read from the sockets, and a breaker would
 * open although Redis is healthy. So a limit has passed only after this many ticks, with the sockets read between them:
 * time during which the process could not read does not count.
 */
const partsOfLimit = 4;

/** The length of one part of a command's time limit. */
export function partOfLimitMs(limitMs: number): number {
  return limitMs / partsOfLimit;
}

/**
 * A client that fails commands that get no answer in time, with the circuit breaker of its calls. One timer watches all
 * commands, and runs only while there are any.
 */
export class RedisClient extends Redis {
  /** When the connection was last lost, milliseconds since the epoch; 0 if never. */
  lostAtMs = 0;
  /** How long a command may take. */
  commandTimeoutMs = redisCommandTimeoutMs;
  readonly #breakers: Breakers;
  readonly #outageLog = new OutageLog();
  #underWay: { readonly command: Command; readonly dueAt: number }[] = [];
  #part = 0;
  #watch: NodeJS.Timeout | undefined;

  constructor(url: string, options: RedisOptions, breakers: Breakers, clock: Clock) {
    super(url, options);
    this.#breakers = breakers;
    // A lost connection makes calls fail, which is enough; without a listener the event would end the process.
    this.on('error', () => undefined);
    this.on('close', () => {
      this.lostAtMs = clock();
    });
  }

  /**
   * Runs commands behind the breaker of Redis. Logs one line when they begin to fail and one when they succeed again. An
   * error reply counts as a failure if it says that the server accepts no work, like that of a demoted primary; an error of
   * a script says nothing about the server's health.
   */
  async guarded<T>(commands: () => Promise<T>): Promise<T> {
    const breaker = this.#breakers.get('redis', {
      resetTimeoutMs: 1_000,
      isRefusal: (error) => (error as { name?: string }).name === 'ReplyError' && !isOutage(error),
      isSilent: true,
    });
    try {
      const result = await breaker.run(commands);
      this.#outageLog.answered();
      return result;
    } catch (error) {
      if (isOutage(error)) this.#outageLog.failed(error);
      throw error;
    }
  }

  override sendCommand(command: Command, stream?: Parameters<Redis['sendCommand']>[1]): unknown {
    // The current part began before this command and does not count in full.
    this.#underWay.push({ command, dueAt: this.#part + partsOfLimit + 1 });
    this.#watch ??= setInterval(() => setImmediate(() => this.#look()), partOfLimitMs(this.commandTimeoutMs)).unref();
    return super.sendCommand(command, stream);
  }

  #look(): void {
    this.#part++;
    const open = this.#underWay.filter(({ command }) => !command.isResolved);
    this.#underWay = open.filter(({ dueAt }) => dueAt > this.#part);
    for (const { command, dueAt } of open) if (dueAt <= this.#part) command.reject(new Error('Command timed out'));
    if (this.#underWay.length > 0) return;
    clearInterval(this.#watch);
    this.#watch = undefined;
  }
}

/**
 * True if an error reply says that the server is a replica, such as a demoted primary: a new connection reaches the new
 * primary. Older servers wrap a script's error in one of their own.
 */
export function isDemoted(error: Error): boolean {
  return /(^|-)READONLY /.test(error.message);
}

/** Opens a client. Commands fail after `commandTimeoutMs`, or at once while there is no connection. */
export function openRedis(url: string, breakers: Breakers = openBreakers(), clock: Clock = systemClock): RedisClient {
  const options: RedisOptions = {
    connectTimeout: redisConnectTimeoutMs,
    disconnectTimeout: redisCommandTimeoutMs,
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
    enableReadyCheck: true,
    retryStrategy: (attempt) => Math.min(50 * attempt, 1_000),
    reconnectOnError: isDemoted,
  };
  return new RedisClient(url, options, breakers, clock);
}

/** Waits until the client is connected, for start-up and tests. Throws if it is not within `limitMs`. */
export async function redisReady(client: RedisClient, limitMs = 5_000): Promise<void> {
  if (client.status === 'ready') return;
  await new Promise<void>((resolve, reject) => {
    let left = partsOfLimit;
    const look = () => {
      if (--left > 0) return;
      clearInterval(watch);
      client.off('ready', ready);
      reject(new Error('Redis did not become ready'));
    };
    const ready = () => {
      clearInterval(watch);
      resolve();
    };
    const watch = setInterval(() => setImmediate(look), limitMs / partsOfLimit);
    client.once('ready', ready);
  });
}

/**
 * The text of a Lua file, named by its path in the project, such as `lib/mirror/gate.lua`. A package has the same paths, so
 * the file is found from the folder of this module or bundle, or one of its parents. Throws if it is not found.
 */
export function luaSource(path: string): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, path)) && dirname(folder) !== folder) folder = dirname(folder);
  return readFileSync(join(folder, path), 'utf8');
}

/** A Lua script, run by its hash (EVALSHA) and sent in full only when the server does not have it. */
export interface Script {
  run(redis: RedisClient, keys: string[], args: (string | number)[]): Promise<unknown>;
  /**
   * Runs the script once per call in a single round trip. The results are in the order of the calls, errors included. Throws
   * if every result says that Redis accepts no work.
   */
  runAll(redis: RedisClient, calls: { keys: string[]; args: (string | number)[] }[]): Promise<(unknown | Error)[]>;
}

/** Prepares a script; its name appears in ioredis's errors and traces. */
export function defineScript(name: string, lua: string): Script {
  type Command = (...parts: (string | number)[]) => Promise<unknown>;
  const defined = (redis: RedisClient): RedisClient => {
    if (!(name in redis)) redis.defineCommand(name, { lua });
    return redis;
  };
  return {
    run: (redis, keys, args) =>
      (defined(redis) as unknown as Record<string, Command>)[name]?.(keys.length, ...keys, ...args) ??
      Promise.resolve(),
    runAll: async (redis, calls) => {
      if (calls.length === 0) return [];
      const pipeline = defined(redis).pipeline();
      for (const { keys, args } of calls) {
        (pipeline as unknown as Record<string, Command>)[name]?.(keys.length, ...keys, ...args);
      }
      const results = (await pipeline.exec()) ?? [];
      const [first] = results;
      if (first?.[0] && results.every(([error]) => isOutage(error))) throw first[0];
      return results.map(([error, value]) => error ?? value);
    },
  };
}
