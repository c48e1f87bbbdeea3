/**
 * Writes down what an episode asks of MySQL and Redis and what they answer, so that real servers can be asked the same.
 *
 *   node test/model/record.ts FILE SEED REQUESTS
 *
 * The file gets a `Recorded` per line. Called by `real-servers.test.ts`.
 */
import './hooks.ts';
import { writeFileSync } from 'node:fs';
import { type Recorded, written } from './recorded.ts';
import type { MysqlServer } from './world/mysql.ts';
import type { RedisReply, RedisServer } from './world/redis.ts';

const { removeChance } = await import('./world/determinism.ts');
removeChance();
const { runEpisode } = await import('./episode.ts');
const { planOf } = await import('./plan.ts');

const [file = '', seed = '1', requests = '100'] = process.argv.slice(2);
const lines: Recorded[] = [];

/** Writes down every row that is committed. */
function writeRows(mysql: MysqlServer, is: 'row' | 'end'): void {
  for (const [name, table] of mysql.tables) {
    const { columns } = table.definition;
    for (const row of table.rows()) {
      const values = columns.map(({ type }, index) => {
        const value = row[index] ?? null;
        return written(type === 'binary' && typeof value === 'string' ? Buffer.from(value, 'latin1') : value);
      });
      lines.push({ is, table: name, columns: columns.map((column) => column.name), values });
    }
  }
}

function listenToMysql(mysql: MysqlServer): void {
  const { run } = mysql;
  mysql.run = (text, values, transaction, done) => {
    const note = (rows: Record<string, unknown>[], changed: number, errno: number) =>
      lines.push({
        is: 'statement',
        transaction,
        text,
        values: values.map(written),
        rows: rows.map((row) => written(row) as Record<string, unknown>),
        changed,
        errno,
      });
    try {
      const outcome = run.call(mysql, text, values, transaction, done);
      // Who has to wait asks again.
      if (outcome.waitsFor === undefined) note(outcome.rows, outcome.changed, 0);
      return outcome;
    } catch (error) {
      note([], 0, (error as { errno?: number }).errno ?? -1);
      throw error;
    }
  };
  const { commit, rollback } = mysql;
  mysql.commit = (transaction) => {
    if (mysql.isOpen(transaction)) lines.push({ is: 'commit', transaction });
    return commit.call(mysql, transaction);
  };
  mysql.rollback = (transaction) => {
    if (mysql.isOpen(transaction)) lines.push({ is: 'rollback', transaction });
    rollback.call(mysql, transaction);
  };
}

function listenToRedis(redis: RedisServer, nowUs: () => number): void {
  const { command, script } = redis;
  let within = false;
  redis.command = (name, args) => {
    if (within) return command.call(redis, name, args);
    const reply = command.call(redis, name, args);
    lines.push({ is: 'redis', name, keys: [], args, nowUs: nowUs(), reply });
    return reply;
  };
  redis.script = (source, keys, args) => {
    within = true;
    let reply: RedisReply;
    try {
      reply = script.call(redis, source, keys, args);
    } finally {
      within = false;
    }
    lines.push({ is: 'redis', script: source, keys, args, nowUs: nowUs(), reply });
    return reply;
  };
}

function record(): void {
  // Of everything something, and no disaster, which real servers would have to be put through as well.
  const all = { purchases: true, cancellations: true, reductions: true, operators: true, disasters: 0 };
  const rates = { fail: 0.01, lost: 0.01, part: 0.02, twice: 0.02 };
  const plan = { ...planOf(Number(seed), Number(requests)), ...all, rates };
  let end: () => void = () => undefined;
  const { violation } = runEpisode(plan, Number(seed), undefined, (world) => {
    const { mysql, redis } = world;
    world.serial = true;
    writeRows(mysql, 'row');
    for (const [key, entry] of redis.snapshot()) {
      if (entry.kind === 'hash') lines.push({ is: 'hash', key, fields: [...entry.fields] });
    }
    listenToMysql(mysql);
    listenToRedis(redis, () => world.nowUs);
    end = () => writeRows(mysql, 'end');
  });
  end();
  if (violation) throw new Error(`${violation.invariant}: ${violation.detail}`);
  writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
}

// Outside of all promises: a model empties the microtask queue itself.
setImmediate(record);
