/**
 * Read: live stock of a sale over HTTP while the stock changes, beside a bare server that answers with the same bytes;
 * how old what readers see is; and what customers are told of reservations that have been decided, each of their own.
 *
 * An answer is stale by the time that has passed since a newer version was committed. The writer notes when each version
 * was committed, and mirrors it as a worker does.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { writeMirror } from '#mirror/mirror.ts';
import { type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { openDb } from '#platform/mysql/mysql.ts';
import { openRedis, redisReady } from '#platform/redis/redis.ts';
import { openTokens } from '#platform/security/access-token.ts';
import type { BenchEnvironment } from '../environment.ts';
import { type Host, startHost, startLoadGenerator } from '../http-hosts.ts';
import { givenLongSale, mirrorLongSale, pagesOf } from '../long-sale.ts';
import { compare, percentile, rounded, type Series, series } from '../statistics.ts';
import { type Entry, inRounds, notesOf, type Suite } from '../suite.ts';
import { allotmentOf, planFor } from '../workload.ts';

const connections = 64;
/** Stock changes this often, about as often as batches of a busy sale commit. */
const writeEveryMs = 25;
/** One reader looks at versions this often, beside the load. */
const lookEveryMs = 10;
const mustStaleMs = 250;
/** So many customers ask for their statuses; their tokens fit into what a host remembers of verified ones. */
const customersAsking = 4_000;
const hourMs = 3_600_000;

export const read: Suite = {
  name: 'read',
  title: 'Live stock',
  quickSeconds: 10,
  async run(context) {
    const { environment, quick } = context;
    const plan = planFor('hot', 50_000);
    const [saleId] = plan.saleIds;
    if (saleId === undefined) throw new Error('the plan has no sale');
    await environment.prepare(plan, { mirror: 'holdfast', stock: 'counters' });
    const generator = await startLoadGenerator(environment);
    const thin = await startHost(environment, 'thin', ['coalesced']);
    const answer = await fetch(`http://127.0.0.1:${thin.port}/sales/${saleId}`);
    const bare = await startHost(environment, 'bare', [await answer.text()]);
    const statuses = await givenStatuses(environment);
    const writer = await startWriter(environment, saleId, allotmentOf(plan));
    const ages: number[] = [];
    try {
      const rates = new Map<string, number>();
      const processorUs: Record<string, number> = {};
      const load = async (name: string, host: Host, asked?: Statuses): Promise<number> => {
        const cpuBeforeMs = host.cpuMs();
        const amount = Math.ceil((rates.get(name) ?? 3_000) * (quick ? 1.5 : 6));
        const result = await generator.send({
          port: host.port,
          connections,
          amount,
          method: 'GET',
          path: `/sales/${saleId}`,
          label: '',
          ...asked,
        });
        const answered = result.statuses['200'] ?? 0;
        if (answered !== amount) throw new Error(`${name}: ${answered} of ${amount} reads were answered with 200`);
        processorUs[name] = Math.round(((host.cpuMs() - cpuBeforeMs) * 1000) / answered);
        const perSecond = (answered / result.elapsedMs) * 1000;
        rates.set(name, perSecond);
        return perSecond;
      };
      // Both are looked at, so that what looking takes of the processors is taken from both.
      const watched = async (name: string, host: Host, asked?: Statuses): Promise<number> => {
        const watch = watchAges(`http://127.0.0.1:${host.port}/sales/${saleId}`, writer);
        const perSecond = await load(name, host, asked);
        const seen = await watch.stop();
        if (name === 'live') ages.push(...seen);
        return perSecond;
      };
      const entries: Entry[] = [
        { name: 'live', run: () => watched('live', thin) },
        { name: 'status', run: () => watched('status', thin, statuses) },
        { name: 'bare', run: () => watched('bare', bare) },
      ];
      for (const { run } of entries) await run(0);
      ages.length = 0;
      const rounds = await inRounds(context, quick ? 2 : 5, entries);
      const of = (name: string, title: string): Series =>
        series(`read ${name}`, rounds.values.get(name) ?? [], {
          title,
          unit: 'reads/s',
          settings: `${connections} connections`,
        });
      const live = of('live', 'GET /sales/{saleId}, thin host');
      const against = of('bare', 'Bare node:http, same bytes');
      const status = of('status', 'GET /reservations/{reservationId}, decided, thin host');
      const p99 = percentile(ages, 0.99);
      context.report(`  processor time of the host for each read, µs: ${JSON.stringify(processorUs)}`);
      return {
        measures: [
          compare(live, against, { name: 'read-live-stock-vs-bare-http', must: 0.8, aim: 0.9 }),
          compare(status, live, { name: 'read-status-vs-live-stock', must: 0.8, aim: 0.9 }),
          {
            name: 'read-staleness-p99',
            ours: rounded(p99),
            against: mustStaleMs,
            ratio: rounded(mustStaleMs / p99),
            must: 1,
            aim: 1,
            holds: p99 <= mustStaleMs,
            unit: 'ms',
            range: [rounded(mustStaleMs / p99), rounded(mustStaleMs / p99)],
            rounds: live.values.length,
            note: `of ${ages.length} answers under load`,
          },
        ],
        series: [live, status, against],
        notes: notesOf('read', rounds),
        details: {
          processorUs,
          staleMs: Object.fromEntries([0.5, 0.9, 0.99, 0.999].map((share) => [share, percentile(ages, share)])),
        },
      };
    } finally {
      await writer.stop();
      await thin.stop();
      await bare.stop();
      await generator.stop();
    }
  },
};

/** Who asks for which status. */
interface Statuses {
  readonly tokens: readonly string[];
  readonly paths: readonly string[];
}

/** A sale that opens in an hour, all of whose reservations have been decided: half hold units, the others wait. */
async function givenStatuses(environment: BenchEnvironment): Promise<Statuses> {
  const db = openDb(environment.mysqlUrl);
  const redis = openRedis(environment.redisUrl);
  try {
    await redisReady(redis);
    const nowMs = Date.now();
    const saleId = await givenLongSale(
      db,
      { holding: customersAsking / 2, waiting: customersAsking / 2 },
      { purchaseOpensAtMs: nowMs + hourMs, purchaseClosesAtMs: nowMs + 2 * hourMs, phase: 'reserved' },
      nowMs,
    );
    await mirrorLongSale(db, redis, saleId);
    const { issue } = await openTokens(environment.stack.registry['secret/token-signing-key'] ?? '', () => nowMs);
    const asking: { token: string; path: string }[] = [];
    for await (const page of pagesOf(db, saleId, 1_000)) {
      for (const { customerId, reservationId } of page) {
        asking.push({ token: await issue({ customerId, role: 'customer' }), path: `/reservations/${reservationId}` });
      }
    }
    return { tokens: asking.map(({ token }) => token), paths: asking.map(({ path }) => path) };
  } finally {
    await db.close();
    redis.disconnect();
  }
}

interface Writer {
  /** How long a version had been outdated at a time, milliseconds; 0 if it was the newest. */
  ageOf(version: number, atMs: number): number;
  stop(): Promise<void>;
}

/** Changes the sale's stock again and again, and mirrors each change after its commit. */
async function startWriter(environment: BenchEnvironment, saleId: SaleId, allotment: number): Promise<Writer> {
  const redis = openRedis(environment.redisUrl);
  await redisReady(redis);
  const committedAtMs = new Map<number, number>();
  let running = true;
  const work = (async () => {
    for (let version = 2; running; version++) {
      const allocated = version % 1_000;
      await environment.pool.query('UPDATE sales SET available = ?, allocated = ?, version = ? WHERE id = ?', [
        allotment - allocated,
        allocated,
        version,
        toBytes(saleId),
      ]);
      committedAtMs.set(version, Date.now());
      const level = {
        saleId,
        epoch: 1,
        version,
        allotment,
        available: allotment - allocated,
        allocated,
        sold: 0,
        waitlisted: 0,
      };
      await writeMirror({ redis }, [level], []);
      await sleep(writeEveryMs);
    }
  })();
  return {
    ageOf: (version, atMs) => Math.max(0, atMs - (committedAtMs.get(version + 1) ?? atMs)),
    async stop() {
      running = false;
      await work;
      redis.disconnect();
    },
  };
}

/** Looks at the sale while the load runs; the age counts at the moment the answer arrives. */
function watchAges(url: string, writer: Writer): { stop(): Promise<number[]> } {
  const ages: number[] = [];
  let running = true;
  const work = (async () => {
    while (running) {
      const answer = (await (await fetch(url)).json()) as { stock: { version: number } };
      ages.push(writer.ageOf(answer.stock.version, Date.now()));
      await sleep(lookEveryMs);
    }
  })();
  return {
    async stop() {
      running = false;
      await work;
      return ages;
    },
  };
}
