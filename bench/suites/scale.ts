/**
 * Scale: every verb of a large sale at 1,000 to 1,000,000 reservations. Runs only if asked for: it takes long.
 *
 * A verb runs in a process of its own, as its function, with one message at a time; meanwhile customers buy in another sale,
 * in another process. A run that told, ended or refunded somebody twice, or left somebody out, is not exact.
 */
import { constants, cpus, setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { readDeclared } from '#local/serverless-config.ts';
import { type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { openRedis, redisReady } from '#platform/redis/redis.ts';
import { bundle, bundled } from '../bundle.ts';
import { type Child, startChild } from '../child.ts';
import { watchDisk } from '../disk.ts';
import { type BenchEnvironment, NotExact } from '../environment.ts';
import { givenLongSale } from '../long-sale.ts';
import { cpuMsOf } from '../processor-time.ts';
import type { Bought } from '../scale-buyers.ts';
import type { ScaleFigures, ScaleStart, ScaleTask } from '../scale-process.ts';
import { lineOf, referenceSize, type ShownSize, type ShownVerb, shownBy } from '../scale-report.ts';
import { prepareVerb, type Verb, verbs } from '../scale-verbs.ts';
import { heapOptions } from '../settings.ts';
import { percentile, rounded } from '../statistics.ts';
import type { Context, Suite } from '../suite.ts';
import { openUnhurried } from '../unhurried.ts';

const hourMs = 3_600_000;
const usualSizes = { quick: [1_000, 10_000], full: [1_000, 10_000, 100_000, 1_000_000] };

const processName = 'scale-process';
/** So many purchases a second are made in the other sale. */
const purchasesPerSecond = 20;
/** With fewer, the slowest of a hundred says nothing. */
const purchasesForP99 = 200;
/** For how long purchases are made with nothing else to do, to compare with. */
const quietSeconds = { quick: 10, full: 40 };
/** How long a process may take to start, and a verb for each row and in all. */
const startLimitMs = 180_000;
const rowLimitMs = 20;

const tables = [
  ...['reservations', 'waitlist', 'sale_jobs', 'ledger', 'outbox', 'sales', 'purchases', 'purchase_items', 'refunds'],
  ...['cancellations', 'due_reminders', 'notifications', 'reconciliations', 'customers'],
];

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
    const memoryOf = (key: string): number => {
      const memoryMb = declared.get(key);
      if (memoryMb === undefined) throw new Error(`serverless.yml declares no function ${key}`);
      return memoryMb;
    };
    await bundle(processName, `bench/${processName}.ts`);
    await empty(environment);
    const alone = await purchasesAlone(environment, quick ? quietSeconds.quick : quietSeconds.full);
    report(`  purchases alone: p99 ${rounded(alone.p99Ms)} ms, ${rounded(alone.serverCpuMs)} ms of the databases each`);
    const verbsShown: Record<string, ShownVerb> = {};
    const notes = [
      `scale: one process for each verb (for the rush two), ${purchasesPerSecond} purchases a second in another sale; cost is processor time.`,
    ];
    const shown = () => ({ ...shownBy(verbsShown), notes, details: verbsShown });
    // What is small comes first, so that a run that is stopped has shown something of every verb.
    for (const size of sizes) {
      for (const [name, verb] of chosen) {
        const memoryMb = verb.memoryMib ?? memoryOf(verb.function);
        const result = await measure(context, name, verb, {
          size,
          memoryMb,
          payMb: memoryOf('pay'),
          aloneCpuMs: alone.serverCpuMs,
        }).catch((error: Error) => {
          if (error instanceof NotExact) throw error;
          const [what] = error.message.split('\n');
          notes.push(`${name} at ${size} was not finished: ${what}`);
          report(`  ${notes.at(-1)}`);
        });
        if (!result) continue;
        const { function: carriedOutBy, unit, within = {} } = verb;
        const bySize = [...(verbsShown[name]?.bySize ?? []), result];
        verbsShown[name] = { function: carriedOutBy, memoryMb, unit, within, bySize };
        report(lineOf(name, unit, result));
        await context.keep?.(shown());
      }
    }
    return shown();
  },
};

async function measure(
  { environment, quick }: Context,
  name: string,
  verb: Verb,
  { size, memoryMb, payMb, aloneCpuMs }: { size: number; memoryMb: number; payMb: number; aloneCpuMs: number },
): Promise<ShownSize> {
  const db = openUnhurried(environment.mysqlUrl);
  const redis = openRedis(environment.redisUrl);
  try {
    await redisReady(redis);
    const nowMs = Date.now();
    const sales = verb.sales?.(size) ?? 1;
    const saleIds: SaleId[] = [];
    while (saleIds.length < sales) {
      saleIds.push(await givenLongSale(db, verb.crowd(size / sales), verb.terms(nowMs), nowMs));
    }
    await prepareVerb(verb, db, redis, saleIds, nowMs);
    const told = await sumsOf(environment, saleIds);
    const buyers = await startBuyers(environment, size);
    const start = (role: Pick<ScaleTask, 'isPayer'>, megabytes: number): Child =>
      startChild(environment, {
        file: bundled(processName),
        args: [JSON.stringify({ name, size, servers: serversOf(environment), ...role } satisfies ScaleTask)],
        name: `scale-${name.replaceAll(/\W+/g, '-')}-${size}${role.isPayer ? '-pay' : ''}`,
        nodeOptions: heapOptions(megabytes),
      });
    const child = start({}, memoryMb);
    const payer = verb.paysApart ? start({ isPayer: true }, payMb) : undefined;
    try {
      for (const one of [child, payer]) {
        await one?.next(({ ready }) => ready, startLimitMs);
        // A function has processors of its own: it takes none from the databases, nor from those who buy.
        if (one?.pid !== undefined) setPriority(one.pid, constants.priority.PRIORITY_BELOW_NORMAL);
      }
      const quiet = await buyers.alone(quick ? quietSeconds.quick : quietSeconds.full);
      const disk = await watchDisk(environment.stack.dir);
      buyers.start();
      const figures = await figuresOf(child, payer, saleIds, startLimitMs + rowLimitMs * size).catch(
        async (error: Error) => {
          await disk.stop();
          throw error;
        },
      );
      const diskMs = await disk.stop();
      const { latenciesMs, failed: purchasesFailed } = await buyers.end();
      // The machine's speed drifts, so purchases are compared with those before and those after.
      if (latenciesMs.length >= purchasesForP99) {
        quiet.push(...(await buyers.alone(quick ? quietSeconds.quick : quietSeconds.full)));
      }
      const quietMs = percentile(quiet, 0.99);
      const { told: counted, cpuMs, serverCpuMs, ...rest } = figures;
      const tells = verb.tells ?? 0;
      if (
        tells > 0 &&
        (counted.count !== tells * size || counted.high !== tells * told.high || counted.low !== tells * told.low)
      ) {
        throw new NotExact(`${name} of ${size}: told ${counted.count} times, not ${tells * size}, or not everybody`);
      }
      await check(environment, name, verb, size, saleIds);
      const handled = verb.handles?.(size) ?? size;
      const purchasesP99Ms = latenciesMs.length < purchasesForP99 ? null : percentile(latenciesMs, 0.99);
      const perSecond = (handled * 1_000) / rest.tookMs;
      // The databases worked for the other sale's purchases as well.
      const ownCpuMs = cpuMs + serverCpuMs - aloneCpuMs * purchasesPerSecond * (rest.tookMs / 1_000);
      const cpuUsPerRow = (ownCpuMs * 1_000) / handled;
      const others = { purchases: latenciesMs.length, purchasesFailed, purchasesP99Ms, purchasesAloneP99Ms: quietMs };
      const figuresKept = { size, perSecond, cpuUsPerRow, diskMs, ...others, ...rest };
      return { ...roundedIn(figuresKept), at: new Date().toISOString(), processor: cpus()[0]?.model ?? '' };
    } finally {
      await child.stop();
      await payer?.stop();
      await buyers.stop();
    }
  } finally {
    await db.close();
    redis.disconnect();
    await empty(environment);
  }
}

/** Starts the processes of a verb, passes what one of them gives to the other, and adds up what both needed. */
async function figuresOf(
  child: Child,
  payer: Child | undefined,
  saleIds: readonly SaleId[],
  limitMs: number,
): Promise<ScaleFigures> {
  const answered = (one: Child) => one.next(({ figures }) => figures as ScaleFigures | undefined, limitMs);
  const all = [answered(child).finally(() => payer?.send({ end: true }))];
  if (payer) {
    all.push(answered(payer));
    child.listen(({ pay }) => pay && payer.send({ pay }));
    payer.listen(({ paid }) => paid && child.send({ paid }));
  }
  for (const one of [child, payer]) one?.send({ saleIds } satisfies ScaleStart);
  const [figures, paying] = await Promise.all(all);
  if (!figures) throw new Error('the process of the verb said nothing');
  return paying ? together(figures, paying) : figures;
}

/** The figures of a verb, and of the pay worker that paid all the while. Databases and time are those of the first already. */
function together(figures: ScaleFigures, paying: ScaleFigures): ScaleFigures {
  const most = (of: (one: ScaleFigures) => number): number => Math.max(of(figures), of(paying));
  const sum = (of: (one: ScaleFigures) => number): number => of(figures) + of(paying);
  return {
    ...figures,
    cpuMs: sum(({ cpuMs }) => cpuMs),
    waitedShare: most(({ waitedShare }) => waitedShare),
    firstMs: paying.firstMs,
    lastMs: paying.lastMs,
    heldMs: most(({ heldMs }) => heldMs),
    heldMedianMs: paying.heldMedianMs,
    statementBytes: most(({ statementBytes }) => statementBytes),
    eventBytes: most(({ eventBytes }) => eventBytes),
    peakMib: most(({ peakMib }) => peakMib),
    redelivered: sum(({ redelivered }) => redelivered),
  };
}

async function check(
  { pool }: BenchEnvironment,
  name: string,
  { check: expected }: Verb,
  size: number,
  saleIds: readonly SaleId[],
): Promise<void> {
  const [sql, wanted] = expected?.(size) ?? [];
  if (sql === undefined) return;
  const [rows] = await pool.query(sql.replaceAll('= :sale', 'IN (?)'), [saleIds.map(toBytes)]);
  const found = Number((rows as { count: unknown }[])[0]?.count);
  if (found !== wanted) throw new NotExact(`${name} of ${size}: ${sql} is ${found}, not ${wanted}`);
}

/** The sums of the ids of the sales' reservations, as the process counts those whom it tells. */
async function sumsOf({ pool }: BenchEnvironment, saleIds: readonly SaleId[]): Promise<{ high: number; low: number }> {
  const part = (from: number) => `SUM(CONV(HEX(SUBSTRING(id, ${from}, 3)), 16, 10))`;
  const [rows] = await pool.query(
    `SELECT ${part(11)} AS high, ${part(14)} AS low FROM reservations WHERE sale_id IN (?)`,
    [saleIds.map(toBytes)],
  );
  const [sums] = rows as { high: unknown; low: unknown }[];
  return { high: Number(sums?.high), low: Number(sums?.low) };
}

async function empty({ pool, redis }: BenchEnvironment): Promise<void> {
  for (const table of tables) await pool.query(`TRUNCATE TABLE ${table}`);
  await redis.flushdb();
}

interface Buyers {
  /** How long purchases took for so many seconds, with nothing else to do, milliseconds. */
  alone(seconds: number): Promise<number[]>;
  start(): void;
  /** Ends buying; how long each purchase took, milliseconds, and how many failed. */
  end(): Promise<Bought>;
  stop(): Promise<void>;
}

/** Enough for a verb that takes five milliseconds a row. */
const customersOfOther = (size: number): number => Math.min(40_000, 2_000 + size);

async function startBuyers(environment: BenchEnvironment, size: number): Promise<Buyers> {
  const db = openUnhurried(environment.mysqlUrl);
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
  const start = () => child.send({ start: true });
  const end = () => {
    const answer = child.next(({ bought }) => bought as Bought | undefined, startLimitMs);
    child.send({ start: false });
    return answer;
  };
  return {
    start,
    end,
    alone: async (seconds) => {
      start();
      await sleep(seconds * 1_000);
      return (await end()).latenciesMs;
    },
    stop: () => child.stop(),
  };
}

/** What purchases with nothing else to do show: their p99, and what each takes of the databases' processors, milliseconds. */
async function purchasesAlone(
  environment: BenchEnvironment,
  seconds: number,
): Promise<{ p99Ms: number; serverCpuMs: number }> {
  const buyers = await startBuyers(environment, referenceSize);
  const cpuMs = () => serversOf(environment).reduce((sum, pid) => sum + cpuMsOf(pid), 0);
  try {
    const beforeMs = cpuMs();
    buyers.start();
    await sleep(seconds * 1_000);
    const { latenciesMs } = await buyers.end();
    return { p99Ms: percentile(latenciesMs, 0.99), serverCpuMs: (cpuMs() - beforeMs) / latenciesMs.length };
  } finally {
    await buyers.stop();
    await empty(environment);
  }
}

/** The processes of the databases. */
function serversOf({ stack }: BenchEnvironment): number[] {
  return ['mysql', 'redis'].flatMap((name) => stack.processes.get(name)?.pid ?? []);
}

/** The same figures, rounded. */
function roundedIn<Figures extends object>(figures: Figures): Figures {
  const entries = Object.entries(figures).map(([name, value]) => [
    name,
    typeof value === 'number' ? rounded(value) : value,
  ]);
  return Object.fromEntries(entries) as Figures;
}
