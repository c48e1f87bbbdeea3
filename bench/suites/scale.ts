/**
 * Scale: every verb of a large sale at 1,000 to 1,000,000 reservations. Runs only if asked for: it takes long.
 *
 * A verb runs in a process of its own, as its function, with one message at a time; meanwhile customers buy in another sale,
 * in another process. A run that told, ended or refunded somebody twice, or left somebody out, is not exact.
 */
import { readDeclared } from '#local/serverless-config.ts';
import { type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { openDb } from '#platform/mysql/mysql.ts';
import { openRedis, redisReady } from '#platform/redis/redis.ts';
import { startChild } from '../child.ts';
import { type BenchEnvironment, NotExact } from '../environment.ts';
import { givenLongSale } from '../long-sale.ts';
import type { ScaleFigures } from '../scale-process.ts';
import { prepareVerb, type Verb, verbs } from '../scale-verbs.ts';
import { type Measure, percentile, rounded, type Series, series } from '../statistics.ts';
import type { Context, Suite } from '../suite.ts';

const hourMs = 3_600_000;
/** The bounds of a verb. */
const bounds = {
  /** How much longer a reservation may take at the largest size than at `referenceSize`. */
  cost: 1.3,
  /** The longest that one transaction may hold the sale's row. */
  heldMs: 50,
  /** How much longer purchases of another sale may take meanwhile. */
  purchases: 1.5,
};
const referenceSize = 10_000;
const usualSizes = { quick: [1_000, 10_000], full: [1_000, 10_000, 100_000, 1_000_000] };

/** So many purchases a second are made in the other sale. */
const purchasesPerSecond = 20;
/** With fewer, the slowest of a hundred says nothing. */
const purchasesForP99 = 200;
/** For how long purchases are made with nothing else to do, to compare with. */
const quietSeconds = { quick: 10, full: 30 };
/** How long a process may take to start, and a verb for each row and in all. */
const startLimitMs = 180_000;
const rowLimitMs = 20;
/** Node keeps so much of a function's memory for other things than its heap. */
const besidesHeapMib = 128;

const tables = [
  ...['reservations', 'waitlist', 'sale_jobs', 'ledger', 'outbox', 'sales', 'purchases', 'purchase_items', 'refunds'],
  ...['cancellations', 'due_reminders', 'notifications', 'reconciliations'],
];

/** What one verb has shown at one size. */
interface Result extends Omit<ScaleFigures, 'told'> {
  readonly size: number;
  readonly perSecond: number;
  /** Of purchases in the other sale meanwhile; null if they were too few. */
  readonly purchasesP99Ms: number | null;
  readonly purchases: number;
}

export const scale: Suite = {
  name: 'scale',
  title: 'Scale',
  quickSeconds: 60,
  async run(context) {
    const { environment, quick, report } = context;
    const sizes = context.sizes ?? (quick ? usualSizes.quick : usualSizes.full);
    const chosen = Object.entries(verbs).filter(([name]) => context.verbs?.includes(name) ?? true);
    if (chosen.length === 0)
      throw new Error(`there is none of these verbs; there are ${Object.keys(verbs).join(', ')}`);
    const declared = new Map((await readDeclared()).functions.map(({ key, memoryMb }) => [key, memoryMb]));
    await empty(environment);
    const quietMs = await purchasesAlone(environment, quick ? quietSeconds.quick : quietSeconds.full);
    report(`  purchases alone: p99 ${rounded(quietMs)} ms`);
    const measures: Measure[] = [];
    const all: Series[] = [];
    const details: Record<string, unknown> = { purchasesAloneP99Ms: rounded(quietMs) };
    for (const [name, verb] of chosen) {
      const memoryMb = declared.get(verb.function);
      if (memoryMb === undefined) throw new Error(`serverless.yml declares no function ${verb.function}`);
      const results: Result[] = [];
      for (const size of sizes) {
        const result = await measure(context, name, verb, size, memoryMb);
        results.push(result);
        report(
          lineOf(
            name,
            verb,
            result,
            results.find((one) => one.size === referenceSize),
          ),
        );
      }
      details[name] = { function: verb.function, memoryMb, unit: verb.unit, bySize: results.map(shortened) };
      all.push(
        series(
          `scale ${name}`,
          results.map(({ perSecond }) => perSecond),
          { title: `${name}, by size`, unit: verb.unit, settings: sizes.join(', ') },
        ),
      );
      measures.push(...measuresOf(name, verb, results, memoryMb, quietMs));
    }
    const notes = [
      `scale: sizes ${sizes.join(', ')}; one process for each verb, ${purchasesPerSecond} purchases a second in another sale.`,
    ];
    return { measures, series: all, notes, details };
  },
};

function lineOf(name: string, { unit }: Verb, one: Result, reference: Result | undefined): string {
  const { size, perSecond, heldMs, heldMedianMs, peakMib, firstMs, lastMs, purchasesP99Ms, more } = one;
  const told = lastMs > 0 ? `, first event after ${rounded(firstMs)} ms and last after ${rounded(lastMs)}` : '';
  const other = purchasesP99Ms === null ? '' : `, purchases p99 ${rounded(purchasesP99Ms)} ms`;
  const cost = reference && reference !== one ? `, cost a row ${rounded(reference.perSecond / perSecond)}×` : '';
  const said = Object.entries(more).map(([what, value]) => `, ${what} ${rounded(value)}`);
  return (
    `  ${name}, ${size.toLocaleString('en-US')}: ${rounded(perSecond)} ${unit}${cost}, ` +
    `sale held ${rounded(heldMs)} ms (median ${rounded(heldMedianMs)}), peak ${rounded(peakMib)} MiB${told}${other}${said.join('')}`
  );
}

function shortened(result: Result): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(result).map(([name, value]) => [name, typeof value === 'number' ? rounded(value) : value]),
  );
}

function measuresOf(
  name: string,
  { unit }: Verb,
  results: readonly Result[],
  memoryMb: number,
  quietMs: number,
): Measure[] {
  const measures: Measure[] = [];
  const add = (what: string, ours: number, against: number, ratio: number, must: number, about: [string, string]) => {
    const [measuredIn, note] = about;
    measures.push({
      name: `scale-${what}-${name.replaceAll(/[^a-z]+/gi, '-').toLowerCase()}`,
      ours: rounded(ours),
      against: rounded(against),
      ratio: rounded(ratio),
      must: rounded(must),
      aim: Math.max(1, must),
      holds: ratio >= must,
      unit: measuredIn,
      range: [rounded(ratio), rounded(ratio)],
      rounds: 1,
      note,
    });
  };
  const reference = results.find(({ size }) => size === referenceSize);
  const largest = results.at(-1);
  if (reference && largest && largest.size > referenceSize) {
    const about = `at ${largest.size} against ${referenceSize}`;
    add('cost', largest.perSecond, reference.perSecond, largest.perSecond / reference.perSecond, 1 / bounds.cost, [
      unit,
      about,
    ]);
  }
  const longest = Math.max(...results.map(({ heldMs }) => heldMs));
  if (longest > 0) {
    const about = 'the longest that one transaction held the sale, at any size';
    add('held', longest, bounds.heldMs, bounds.heldMs / longest, 1, ['ms', about]);
  }
  const peak = Math.max(...results.map(({ peakMib }) => peakMib));
  add('memory', peak, memoryMb, memoryMb / peak, 1, ['MiB', 'the peak of its process, against what the function has']);
  const meanwhile = results.flatMap(({ purchasesP99Ms }) => purchasesP99Ms ?? []).at(-1);
  if (meanwhile !== undefined) {
    const about = 'purchases in another sale at the largest size, p99, against none of it';
    add('purchases', meanwhile, quietMs, quietMs / meanwhile, 1 / bounds.purchases, ['ms', about]);
  }
  return measures;
}

async function measure(
  { environment }: Context,
  name: string,
  verb: Verb,
  size: number,
  memoryMb: number,
): Promise<Result> {
  const db = openDb(environment.mysqlUrl);
  const redis = openRedis(environment.redisUrl);
  try {
    await redisReady(redis);
    const nowMs = Date.now();
    const saleId = await givenLongSale(db, verb.crowd(size), verb.terms(nowMs), nowMs);
    await prepareVerb(verb, db, redis, saleId, nowMs);
    const told = await sumsOf(environment, saleId);
    const buyers = await startBuyers(environment, size);
    const child = startChild(environment, {
      file: './scale-process.ts',
      args: [JSON.stringify({ name, saleId, size })],
      name: `scale-${name.replaceAll(/\W+/g, '-')}-${size}`,
      nodeOptions: [`--max-old-space-size=${memoryMb - besidesHeapMib}`],
    });
    try {
      await child.next(({ ready }) => ready, startLimitMs);
      buyers.start();
      child.send({ start: true });
      const limitMs = startLimitMs + rowLimitMs * size;
      const figures = await child.next(({ figures }) => figures as ScaleFigures | undefined, limitMs);
      const latenciesMs = await buyers.end();
      const { told: counted, ...rest } = figures;
      const tells = verb.tells ?? 0;
      if (
        tells > 0 &&
        (counted.count !== tells * size || counted.high !== tells * told.high || counted.low !== tells * told.low)
      ) {
        throw new NotExact(`${name} of ${size}: told ${counted.count} times, not ${tells * size}, or not everybody`);
      }
      await check(environment, name, verb, size, saleId);
      const handled = verb.handles?.(size) ?? size;
      const purchasesP99Ms = latenciesMs.length < purchasesForP99 ? null : percentile(latenciesMs, 0.99);
      const perSecond = (handled * 1_000) / rest.tookMs;
      return { size, perSecond, purchases: latenciesMs.length, purchasesP99Ms, ...rest };
    } finally {
      await child.stop();
      await buyers.stop();
    }
  } finally {
    await db.close();
    redis.disconnect();
    await empty(environment);
  }
}

async function check(
  { pool }: BenchEnvironment,
  name: string,
  { check: expected }: Verb,
  size: number,
  saleId: SaleId,
): Promise<void> {
  const [sql, wanted] = expected?.(size) ?? [];
  if (sql === undefined) return;
  const [rows] = await pool.query(sql.replaceAll(':sale', '?'), [toBytes(saleId)]);
  const found = Number((rows as { count: unknown }[])[0]?.count);
  if (found !== wanted) throw new NotExact(`${name} of ${size}: ${sql} is ${found}, not ${wanted}`);
}

/** The sums of the ids of a sale's reservations, as the process counts those whom it tells. */
async function sumsOf({ pool }: BenchEnvironment, saleId: SaleId): Promise<{ high: number; low: number }> {
  const part = (from: number) => `SUM(CONV(HEX(SUBSTRING(id, ${from}, 3)), 16, 10))`;
  const [rows] = await pool.query(
    `SELECT ${part(11)} AS high, ${part(14)} AS low FROM reservations WHERE sale_id = ?`,
    [toBytes(saleId)],
  );
  const [sums] = rows as { high: unknown; low: unknown }[];
  return { high: Number(sums?.high), low: Number(sums?.low) };
}

async function empty({ pool, redis }: BenchEnvironment): Promise<void> {
  for (const table of tables) await pool.query(`TRUNCATE TABLE ${table}`);
  await redis.flushdb();
}

interface Buyers {
  start(): void;
  /** Ends buying; how long each purchase took, milliseconds. */
  end(): Promise<number[]>;
  stop(): Promise<void>;
}

/** Enough for a verb that takes five milliseconds a row. */
const customersOfOther = (size: number): number => Math.min(40_000, 1_000 + size);

async function startBuyers(environment: BenchEnvironment, size: number): Promise<Buyers> {
  const db = openDb(environment.mysqlUrl);
  const nowMs = Date.now();
  const terms = {
    purchaseOpensAtMs: nowMs - hourMs,
    purchaseClosesAtMs: nowMs + 9 * hourMs,
    phase: 'purchasing',
  } as const;
  const saleId = await givenLongSale(db, { holding: customersOfOther(size) }, terms, nowMs).finally(() => db.close());
  const child = startChild(environment, {
    file: './scale-buyers.ts',
    args: [JSON.stringify({ saleId, perSecond: purchasesPerSecond })],
    name: 'scale-buyers',
  });
  await child.next(({ ready }) => ready, startLimitMs);
  return {
    start: () => child.send({ start: true }),
    end: () => {
      const answer = child.next(({ latenciesMs }) => latenciesMs as number[] | undefined, startLimitMs);
      child.send({ start: false });
      return answer;
    },
    stop: () => child.stop(),
  };
}

/** The p99 of purchases with nothing else to do, milliseconds. */
async function purchasesAlone(environment: BenchEnvironment, seconds: number): Promise<number> {
  const buyers = await startBuyers(environment, referenceSize);
  try {
    buyers.start();
    await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
    return percentile(await buyers.end(), 0.99);
  } finally {
    await buyers.stop();
    await empty(environment);
  }
}
