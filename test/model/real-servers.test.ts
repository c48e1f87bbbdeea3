/**
 * The model's MySQL and Redis are like the real ones: what an episode asked of them, statement by statement and script by
 * script, is asked of real servers in the same order, and must get the same answers.
 *
 * The episode has one transaction after the other. Who waits for whom depends on what an optimizer makes of a statement
 * and of the size of a table, and is not compared.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { type Connection, createConnection, type ResultSetHeader } from 'mysql2/promise';
import { projectRoot } from '#local/state-folder.ts';
import { type TestBed, testBed } from '../support/stack.ts';
import { type Recorded, read, written } from './recorded.ts';

const requests = 120;
const seeds = [3, 8];

let bed: TestBed;

beforeEach(async () => {
  bed = await testBed({ queues: false });
}, 60_000);

afterEach(() => bed?.close());

function record(seed: number): Recorded[] {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-model-'));
  const file = join(folder, 'recorded');
  try {
    const script = join(projectRoot, 'test/model/record.ts');
    execFileSync(process.execPath, [script, file, String(seed), String(requests)], { stdio: 'inherit' });
    return readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Recorded);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

type Statement = Extract<Recorded, { is: 'statement' }>;
type Command = Extract<Recorded, { is: 'redis' }>;

/** The model's errors for statements that were not done because of other transactions or a lost connection. */
const notAsked = new Set([-1, 1205, 1213, 2013]);

/** Rows sorted, since no ORDER BY fixes their order. */
function sorted(rows: unknown[]): string[] {
  return rows.map((row) => JSON.stringify(plain(row))).sort();
}

/** A value with JSON in it read and the names of its fields in order: some servers keep JSON in another form. */
function plain(value: unknown): unknown {
  if (typeof value === 'string' && value.startsWith('{')) return plain(JSON.parse(value));
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, one]) => [name, plain(one)]),
  );
}

class RealMysql {
  readonly #url: string;
  readonly #free: Connection[] = [];
  readonly #open = new Map<number, Connection>();
  readonly #all: Connection[] = [];

  constructor(url: string) {
    this.#url = url;
  }

  async fill({ table, columns, values }: { table: string; columns: readonly string[]; values: unknown[] }) {
    const connection = await this.#of(0);
    await connection.query(`INSERT INTO ${table} (${columns.join()}) VALUES ?`, [[values.map(read)]]);
  }

  /** Asks a statement in its transaction; says how its answer differs, if it does. */
  async ask({ transaction, text, values, rows, changed, errno }: Statement): Promise<string | undefined> {
    const connection = await this.#of(transaction);
    const differs = (what: string, real: unknown, model: unknown) =>
      `${text} ${JSON.stringify(values)}: ${what} ${JSON.stringify(real)}, in the model ${JSON.stringify(model)}`;
    let result: unknown;
    try {
      [result] = await connection.query(text, values.map(read));
    } catch (error) {
      const real = (error as { errno?: number }).errno;
      return real === errno ? undefined : differs('error', `${real} ${(error as Error).message}`, errno);
    }
    if (errno !== 0) return differs('error', 0, errno);
    if (!Array.isArray(result)) {
      const { affectedRows } = result as ResultSetHeader;
      return affectedRows === changed ? undefined : differs('changes', affectedRows, changed);
    }
    const [one, other] = [sorted(result.map(written)), sorted(rows)];
    return one.join() === other.join() ? undefined : differs('rows', one, other);
  }

  async end(transaction: number, how: 'commit' | 'rollback'): Promise<void> {
    const connection = this.#open.get(transaction);
    if (!connection) return;
    this.#open.delete(transaction);
    await connection.query(how);
    this.#free.push(connection);
  }

  async rows(table: string): Promise<unknown[]> {
    const [rows] = await (await this.#of(0)).query({ sql: `SELECT * FROM ${table}`, rowsAsArray: true });
    return (rows as unknown[][]).map(written);
  }

  /** The connection of a transaction; 0 stands for none. */
  async #of(transaction: number): Promise<Connection> {
    const known = this.#open.get(transaction);
    if (known) return known;
    const connection = this.#free.pop() ?? (await this.#connect());
    if (transaction === 0) this.#free.push(connection);
    else {
      this.#open.set(transaction, connection);
      await connection.query('START TRANSACTION');
    }
    return connection;
  }

  async #connect(): Promise<Connection> {
    const connection = await createConnection({ uri: this.#url, supportBigNumbers: true, timezone: 'Z' });
    this.#all.push(connection);
    await connection.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED');
    await connection.query('SET SESSION innodb_lock_wait_timeout = 1');
    return connection;
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map((connection) => connection.end()));
  }
}

class RealRedis {
  readonly #redis: Redis;
  /** When keys are over by the model's clock; the real one's would come later. */
  readonly #dueMs = new Map<string, number>();

  constructor(url: string) {
    this.#redis = new Redis(url);
  }

  fill(key: string, fields: readonly (readonly [string, string])[]): Promise<unknown> {
    return this.#redis.hset(key, ...fields.flat());
  }

  async ask({ name, script, keys, args, nowUs, reply }: Command): Promise<string | undefined> {
    const nowMs = Math.floor(nowUs / 1000);
    for (const [key, dueMs] of this.#dueMs) {
      if (dueMs > nowMs) continue;
      await this.#redis.del(key);
      this.#dueMs.delete(key);
    }
    const touched = script === undefined ? args.slice(0, 1) : keys;
    // In one step, so that the server's own time ends no key in between.
    const step = this.#redis.multi();
    if (script === undefined) step.call(name ?? '', ...args);
    else step.eval(atTime(script, nowUs), keys.length, ...keys, ...args);
    for (const key of touched) step.pttl(key).persist(key);
    const [answer, ...lives] = (await step.exec()) ?? [];
    if (answer?.[0]) throw answer[0];
    const real = script === undefined ? flat(answer?.[1]) : answer?.[1];
    for (const [index, key] of touched.entries()) {
      const lifeMs = Number(lives[2 * index]?.[1]);
      if (lifeMs > 0) this.#dueMs.set(key, nowMs + lifeMs);
    }
    if (JSON.stringify(real) === JSON.stringify(reply)) return undefined;
    const asked = script === undefined ? `${name}` : script.slice(0, 200);
    return `${asked} ${JSON.stringify([...keys, ...args])}: ${JSON.stringify(real)}, in the model ${JSON.stringify(reply)}`;
  }

  close(): void {
    this.#redis.disconnect();
  }
}

/** A reply as Redis gave it; the client makes an object of a hash. */
function flat(reply: unknown): unknown {
  return typeof reply === 'object' && reply !== null && !Array.isArray(reply) ? Object.entries(reply).flat() : reply;
}

/** The script with the model's time in place of the server's. */
function atTime(script: string, nowUs: number): string {
  const time = `{'${Math.floor(nowUs / 1_000_000)}','${nowUs % 1_000_000}'}`;
  return script.replaceAll("redis.call('TIME')", time);
}

test.each(seeds)(
  'an episode asks real servers the same, seed %i',
  async (seed) => {
    const recorded = record(seed);
    const [mysql, redis] = [new RealMysql(bed.mysqlUrl), new RealRedis(bed.redisUrl)];
    const differences: string[] = [];
    const note = (difference: string | undefined) => {
      if (difference !== undefined) differences.push(difference);
    };
    const ends = new Map<string, unknown[]>();
    let asked = 0;
    try {
      for (const line of recorded) {
        if (differences.length > 5) break;
        switch (line.is) {
          case 'row':
            await mysql.fill(line);
            break;
          case 'hash':
            await redis.fill(line.key, line.fields);
            break;
          case 'statement':
            asked++;
            if (!notAsked.has(line.errno)) note(await mysql.ask(line));
            break;
          case 'commit':
          case 'rollback':
            await mysql.end(line.transaction, line.is);
            break;
          case 'redis':
            asked++;
            note(await redis.ask(line));
            break;
          case 'end':
            ends.set(line.table, [...(ends.get(line.table) ?? []), line.values]);
            break;
        }
      }
      expect(differences).toEqual([]);
      expect(asked).toBeGreaterThan(1_000);
      for (const [table, rows] of ends) expect(sorted(await mysql.rows(table))).toEqual(sorted(rows));
    } finally {
      await mysql.close();
      redis.close();
    }
  },
  120_000,
);
