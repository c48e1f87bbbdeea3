/**
 * Scale: the long jobs of one sale at 1,000 to 1,000,000 reservations. Runs only if asked for: it takes long.
 *
 * Each job runs as its messages make it run, one at a time, in this process; queue and bus take no time. A run that told or
 * ended somebody twice, or left somebody out, is not exact.
 */
import { BusEvent } from '#events/catalog.ts';
import { adjustStock } from '#launch/adjust-stock.ts';
import { AdvanceTrigger, advance } from '#launch/advance.ts';
import { type Deps, openDeps } from '#platform/environment/deps.ts';
import { newId, type SaleId } from '#platform/kernel/ids.ts';
import { openDb } from '#platform/mysql/mysql.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { NotExact } from '../environment.ts';
import { givenLongSale, observed } from '../long-sale.ts';
import { type Measure, rounded, type Series, series } from '../statistics.ts';
import type { Context, Suite } from '../suite.ts';

const hourMs = 3_600_000;
const mib = 1_048_576;
/** How much longer a reservation may take at the largest size than at 10,000. */
const costAtMost = 1.3;
/** The longest that one transaction may hold the sale's row. */
const heldAtMostMs = 50;

interface Figures {
  readonly perSecond: number;
  readonly firstMs: number;
  readonly heldMs: number;
  readonly statementBytes: number;
  readonly eventBytes: number;
  readonly residentMib: number;
}

const jobs = {
  opening: (size: number, nowMs: number) => ({
    crowd: { holding: size },
    terms: { purchaseOpensAtMs: nowMs - 1, purchaseClosesAtMs: nowMs + 5 * hourMs, phase: 'reserved' as const },
    begin: (deps: Deps, saleId: SaleId) => trigger(deps, { saleId }),
  }),
  closing: (size: number, nowMs: number) => ({
    crowd: { holding: Math.ceil(size / 2), waiting: Math.floor(size / 2) },
    terms: { purchaseOpensAtMs: nowMs - hourMs, purchaseClosesAtMs: nowMs - 1, phase: 'purchasing' as const },
    begin: (deps: Deps, saleId: SaleId) => trigger(deps, { saleId }),
  }),
  'stock for a long line': (size: number, nowMs: number) => ({
    crowd: { holding: 0, waiting: size },
    terms: { purchaseOpensAtMs: nowMs - hourMs, purchaseClosesAtMs: nowMs + 5 * hourMs, phase: 'purchasing' as const },
    begin: async (deps: Deps, saleId: SaleId) => void (await adjustStock(deps, saleId, size)),
  }),
  'expiry at once': (size: number, nowMs: number) => ({
    crowd: { holding: size },
    terms: {
      ...{ purchaseOpensAtMs: nowMs - hourMs, purchaseClosesAtMs: nowMs + 5 * hourMs, phase: 'purchasing' as const },
      deadlineMs: nowMs - 1,
    },
    begin: (deps: Deps, saleId: SaleId) => trigger(deps, { saleId }),
  }),
};

export const scale: Suite = {
  name: 'scale',
  title: 'Scale',
  quickSeconds: 60,
  async run(context) {
    const sizes = context.quick ? [1_000, 10_000] : [1_000, 10_000, 100_000, 1_000_000];
    const measures: Measure[] = [];
    const all: Series[] = [];
    const details: Record<string, unknown> = {};
    for (const [name, job] of Object.entries(jobs)) {
      const figures: Figures[] = [];
      for (const size of sizes) {
        const found = await measure(context, name, size, job);
        figures.push(found);
        context.report(
          `  ${name}, ${size.toLocaleString('en-US')}: ${rounded(found.perSecond)} a second, first after ${rounded(found.firstMs)} ms, ` +
            `sale held at most ${rounded(found.heldMs)} ms, ${rounded(found.residentMib)} MiB`,
        );
      }
      details[name] = Object.fromEntries(sizes.map((size, index) => [size, figures[index]]));
      const about = { title: `${name}, by size`, settings: sizes.join(', ') };
      const rates = series(
        `scale ${name}`,
        figures.map(({ perSecond }) => perSecond),
        { ...about, unit: 'reservations/s' },
      );
      all.push(rates);
      measures.push(costOf(name, rates.values[sizes.indexOf(10_000)], rates.values.at(-1)), heldOf(name, figures));
    }
    return { measures, series: all, notes: ['scale: one process, and nothing else on the databases.'], details };
  },
};

function costOf(name: string, small = Number.NaN, large = Number.NaN): Measure {
  const ratio = rounded(large / small);
  return {
    name: `scale-cost-${name.replaceAll(' ', '-')}`,
    ours: rounded(large),
    against: rounded(small),
    ratio,
    must: rounded(1 / costAtMost),
    aim: 1,
    holds: large / small >= 1 / costAtMost,
    unit: 'reservations/s',
    range: [ratio, ratio],
    rounds: 1,
    note: 'the largest size against 10,000',
  };
}

function heldOf(name: string, figures: readonly Figures[]): Measure {
  const longest = Math.max(...figures.map(({ heldMs }) => heldMs));
  const ratio = rounded(heldAtMostMs / longest);
  return {
    name: `scale-held-${name.replaceAll(' ', '-')}`,
    ours: rounded(longest),
    against: heldAtMostMs,
    ratio,
    must: 1,
    aim: 2,
    holds: longest <= heldAtMostMs,
    unit: 'ms',
    range: [ratio, ratio],
    rounds: 1,
    note: 'the longest that one transaction held the sale, at any size',
  };
}

/** Runs one job to its end, on a sale of its own. */
async function measure(
  { environment }: Context,
  name: string,
  size: number,
  job: (typeof jobs)[keyof typeof jobs],
): Promise<Figures> {
  const { registry } = environment.stack;
  const observing = observed(openDb(environment.mysqlUrl));
  const reached = new Map<string, number>();
  const pending: unknown[] = [];
  let eventBytes = 0;
  let startedMs = 0;
  let firstMs = Number.NaN;
  const deps = openDeps(registry, {
    db: observing.db,
    queue: () => ({
      url: '',
      send: async ({ body, delaySeconds }) => void (delaySeconds || pending.push(body)),
      sendAll: async (messages) =>
        void pending.push(...messages.flatMap((one) => (one.delaySeconds ? [] : [one.body]))),
    }),
    bus: {
      publish: async (events) => {
        if (Number.isNaN(firstMs)) firstMs = performance.now() - startedMs;
        for (const { detailType, detail } of events) {
          eventBytes = Math.max(eventBytes, Buffer.byteLength(detail));
          const event = BusEvent.parse({ 'detail-type': detailType, detail: JSON.parse(detail) });
          for (const id of reachedBy(event)) reached.set(id, (reached.get(id) ?? 0) + 1);
        }
        return events.map(() => true);
      },
    },
  });
  try {
    await redisReady(deps.redis);
    const nowMs = deps.clock();
    const { crowd, terms, begin } = job(size, nowMs);
    const saleId = await givenLongSale(observing.db, crowd, terms, nowMs);
    Object.assign(observing.extremes, { heldMs: 0, statementBytes: 0 });
    let resident = 0;
    startedMs = performance.now();
    await begin(deps, saleId);
    for (let message = pending.shift(); message !== undefined; message = pending.shift()) {
      await trigger(deps, message);
      resident = Math.max(resident, process.memoryUsage.rss());
    }
    const tookMs = performance.now() - startedMs;
    const twice = [...reached.values()].filter((times) => times > 1).length;
    if (reached.size !== size || twice > 0) {
      throw new NotExact(`${name} of ${size} reached ${reached.size}, ${twice} of them more than once`);
    }
    const { heldMs, statementBytes } = observing.extremes;
    const perSecond = (size * 1_000) / tookMs;
    for (const table of ['reservations', 'waitlist', 'sale_jobs', 'ledger', 'outbox', 'sales']) {
      await environment.pool.query(`TRUNCATE TABLE ${table}`);
    }
    return { perSecond, firstMs, heldMs, statementBytes, eventBytes, residentMib: resident / mib };
  } finally {
    await deps.close();
  }
}

function reachedBy(event: BusEvent): string[] {
  if (event['detail-type'] === 'reservations.reminded') {
    return event.detail.recipients.map(({ reservationId }) => reservationId);
  }
  return event['detail-type'] === 'reservations.changed'
    ? event.detail.changes.map(({ reservationId }) => reservationId)
    : [];
}

async function trigger(deps: Deps, message: unknown): Promise<void> {
  const delivered = {
    messageId: newId(),
    sentAtMs: deps.clock(),
    deliveries: 1,
    message: AdvanceTrigger.parse(message),
  };
  const failed = [...(await advance(deps, [delivered], deps.clock() + 9_000))];
  if (failed.length > 0) throw new Error(`the function has failed on ${JSON.stringify(message)}`);
}
