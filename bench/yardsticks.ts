/**
 * Yardsticks: the speed of the machine itself, measured beside everything else, because figures of a shared machine say
 * little alone. A round in which the machine changed its speed by more than a fifth is discarded.
 */
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { Redis } from 'ioredis';
import mysql from 'mysql2/promise';
import type { BenchEnvironment } from './environment.ts';

/** How far two readings of one yardstick may be apart in a round that counts. */
export const mostDrift = 0.2;

/** One reading, each in operations a second. */
export interface Reading {
  /** A loop that does nothing but arithmetic. */
  readonly processor: number;
  /** Durable commits on one row by eight connections. */
  readonly hotRowCommits: number;
  /** A small Lua script, pipelined. */
  readonly redisScripts: number;
  /** Appending 4 KiB and waiting for the disk. */
  readonly syncs: number;
}

const commitConnections = 8;
const scriptsAtOnce = 64;
const scriptText = `local left = redis.call('HINCRBY', KEYS[1], 'left', -1) return left`;

/** Reads the yardsticks; takes four times `eachMs`. */
export async function readYardsticks(environment: BenchEnvironment, eachMs: number): Promise<Reading> {
  return {
    processor: spin(eachMs),
    hotRowCommits: await commitHotRow(environment, eachMs),
    redisScripts: await runScripts(environment, eachMs),
    syncs: syncFile(join(environment.stack.dir, 'fsync-yardstick'), eachMs),
  };
}

/** Whether the machine stayed the same between two readings, as far as a drain depends on it. */
export function steady(before: Reading, after: Reading): boolean {
  return (['processor', 'hotRowCommits', 'redisScripts'] as const).every((name) => {
    const change = Math.abs(before[name] - after[name]) / Math.max(before[name], after[name]);
    return change <= mostDrift;
  });
}

function spin(forMs: number): number {
  const start = performance.now();
  let state = 1;
  let rounds = 0;
  while (performance.now() - start < forMs) {
    for (let step = 0; step < 10_000; step++) state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    rounds += 10_000;
  }
  // The result is used, so that the loop is not eliminated as dead code.
  return (rounds + (state === 0 ? 1 : 0)) / ((performance.now() - start) / 1000);
}

async function commitHotRow(environment: BenchEnvironment, forMs: number): Promise<number> {
  const pool = mysql.createPool({ uri: environment.mysqlUrl, connectionLimit: commitConnections });
  try {
    await pool.query('CREATE TABLE IF NOT EXISTS bench_hot (id INT PRIMARY KEY, left_units BIGINT NOT NULL)');
    await pool.query('REPLACE INTO bench_hot VALUES (1, 1000000000)');
    let commits = 0;
    const start = performance.now();
    const commit = async (): Promise<void> => {
      while (performance.now() - start < forMs) {
        await pool.query('UPDATE bench_hot SET left_units = left_units - 1 WHERE id = 1 AND left_units >= 1');
        commits++;
      }
    };
    await Promise.all(Array.from({ length: commitConnections }, commit));
    return commits / ((performance.now() - start) / 1000);
  } finally {
    await pool.end();
  }
}

async function runScripts(environment: BenchEnvironment, forMs: number): Promise<number> {
  const redis = new Redis(environment.redisUrl, { scripts: { countDown: { lua: scriptText, numberOfKeys: 1 } } });
  try {
    // Defined above; ioredis cannot know it in its types.
    const scripts = redis as unknown as { countDown(key: string): Promise<number> };
    let calls = 0;
    const start = performance.now();
    while (performance.now() - start < forMs) {
      await Promise.all(Array.from({ length: scriptsAtOnce }, () => scripts.countDown('bench:yardstick')));
      calls += scriptsAtOnce;
    }
    return calls / ((performance.now() - start) / 1000);
  } finally {
    redis.disconnect();
  }
}

function syncFile(file: string, forMs: number): number {
  const block = Buffer.alloc(4_096, 7);
  const descriptor = openSync(file, 'w');
  try {
    let syncs = 0;
    const start = performance.now();
    while (performance.now() - start < forMs) {
      writeSync(descriptor, block);
      fdatasyncSync(descriptor);
      syncs++;
    }
    return syncs / ((performance.now() - start) / 1000);
  } finally {
    closeSync(descriptor);
    rmSync(file, { force: true });
  }
}
