/**
 * The round of the minute's rule over many sales, on real MySQL, Redis and SQS: what it passes over has nothing to do, and
 * costs no more than its row.
 */
import { givenLongSale } from '#bench/long-sale.ts';
import { randomFrom } from '#bench/workload.ts';
import { advanceSale } from '#launch/advance-sale.ts';
import { boundaryHorizonMs } from '#launch/boundaries.ts';
import { advanceAll, findDue, salesPerPage } from '#launch/round.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { findSalesWithDeadlines, readOfferDeadlines } from '#reservation/reservation.store.ts';
import { phaseAt } from '#sale/phase.ts';
import { readSales, readUnfinishedSales, type SaleRow } from '#sale/sale.store.ts';
import { withDeps } from '../support/deps.ts';
import { type KeptEvents, keepingEvents } from '../support/long-jobs.ts';
import { rowsReadBy } from '../support/rows-read.ts';
import { openBed } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

const minuteMs = 60_000;
const hourMs = 3_600_000;
const nowMs = Date.now();
const soonMs = () => nowMs + 9_000;

/** The window of a sale in which nothing happens soon. */
const open = {
  purchaseOpensAtMs: nowMs - hourMs,
  purchaseClosesAtMs: nowMs + 9 * hourMs,
  phase: 'purchasing',
} as const;

let bed: TestBed;
let opened: Deps;
let deps: Deps;
let kept: KeptEvents;
/** How many messages were sent to the queue `advance`. */
let sent = 0;

beforeAll(async () => {
  bed = await testBed();
  opened = await openBed(bed);
  const queue: Deps['queue'] = (name) => {
    const real = opened.queue(name);
    return {
      ...real,
      send: (message) => {
        sent++;
        return real.send(message);
      },
      sendAll: (messages) => {
        sent += messages.length;
        return real.sendAll(messages);
      },
    };
  };
  ({ deps, kept } = keepingEvents(withDeps(opened, { clock: () => nowMs }), { queue }));
});

beforeEach(() => opened.db.change('DELETE FROM sales'));

afterAll(async () => {
  await opened?.close();
  await bed?.close();
});

async function saleOf(saleId: SaleId): Promise<SaleRow> {
  const sale = (await readSales(opened.db, [saleId])).get(saleId);
  if (!sale) throw new Error('the sale is gone');
  return sale;
}

async function mayBeDueNow(saleId: SaleId): Promise<boolean> {
  return (await findDue(deps, [await saleOf(saleId)])).has(saleId);
}

/** A quiet sale, with these columns of its row and a holder with a deadline. */
async function given(columns: Record<string, unknown>, deadlineMs?: number): Promise<SaleId> {
  const deadline = deadlineMs === undefined ? {} : { deadlineMs };
  const saleId = await givenLongSale(opened.db, { holding: 1, waiting: 1 }, { ...open, ...deadline }, nowMs);
  await opened.db.change('UPDATE sales SET ? WHERE id = ?', [{ name: 'A sale', ...columns }, toBytes(saleId)]);
  return saleId;
}

test.each<[string, Record<string, unknown>, number | undefined]>([
  ['is not told yet to be public', { publish_told: 0 }, undefined],
  [
    'is a paused one that is not told yet to be public',
    { publish_told: 0, status: 'paused', paused_at_ms: nowMs },
    undefined,
  ],
  ['has told all of shorter times', { ends_wait: 1 }, undefined],
  ['is in a phase that is not stored', { phase: 'reserved' }, undefined],
  ['will be public soon', { public_from_ms: nowMs + boundaryHorizonMs, publish_told: 0 }, undefined],
  ['closes soon', { purchase_closes_at_ms: nowMs + boundaryHorizonMs, reminded_at_ms: 1 }, undefined],
  ['has holders to remind of its close', { purchase_closes_at_ms: nowMs + 10 * minuteMs }, undefined],
  ['is over and has holders', { purchase_closes_at_ms: nowMs, phase: 'closed' }, undefined],
  ['was called off and has holders', { status: 'cancelled' }, undefined],
  ['has units for those who wait', { available: 1, allotment: 2 }, undefined],
  ['has an offer that is over', {}, nowMs - 1],
  ['has an offer that ends soon', {}, nowMs + boundaryHorizonMs],
  ['has an offer that ends soon by its own clock', { clock_offset_ms: -hourMs }, nowMs + hourMs],
  ['has a holder to remind', { pay_within_ms: 5 * hourMs, offer_life_ms: 5 * hourMs }, nowMs + hourMs],
])('a sale that %s may be due', async (_, columns, deadlineMs) => {
  expect(await mayBeDueNow(await given({}))).toBe(false);
  expect(await mayBeDueNow(await given(columns, deadlineMs))).toBe(true);
});

test('advancing a sale that cannot be due changes nothing and sends nothing', async () => {
  const random = randomFrom(1);
  const oneOf = <T>(...all: readonly T[]): T => all[Math.floor(random() * all.length)] as T;
  const time = () => nowMs + oneOf(-3 * hourMs, -minuteMs, -1, 0, minuteMs, 10 * minuteMs, 2 * hourMs, 9 * hourMs);
  let passedOver = 0;
  for (let round = 0; round < 1_200; round++) {
    const [opensMs, closesMs] = [time(), time()].sort((a, b) => a - b) as [number, number];
    const purchasing = { purchaseOpensAtMs: opensMs, purchaseClosesAtMs: closesMs + 1 };
    const times = { ...purchasing, reserveOpensAtMs: opensMs - hourMs, reserveClosesAtMs: opensMs };
    const crowd = { holding: oneOf(0, 1, 1, 1), waiting: oneOf(0, 1) };
    const deadline = oneOf({}, { deadlineMs: nowMs + oneOf(-1, 5, 10, 30, 90) * minuteMs });
    const saleId = await givenLongSale(opened.db, crowd, { ...open, ...deadline }, nowMs);
    const status = oneOf('active', 'active', 'active', 'active', 'paused', 'cancelled');
    await opened.db.change('UPDATE sales SET ? WHERE id = ?', [
      {
        ...{ purchase_opens_at_ms: times.purchaseOpensAtMs, purchase_closes_at_ms: times.purchaseClosesAtMs },
        ...{ reserve_opens_at_ms: times.reserveOpensAtMs, reserve_closes_at_ms: times.reserveClosesAtMs },
        ...{ status, paused_at_ms: status === 'paused' ? time() : null },
        ...{ phase: oneOf(...Array(5).fill(phaseAt(times, nowMs)), 'reserving') },
        ...{
          reminded_at_ms: oneOf(null, 1),
          ends_wait: oneOf(0, 0, 0, 0, 0, 1),
          clock_offset_ms: oneOf(0, hourMs, -hourMs),
        },
        ...{ pay_within_ms: oneOf(null, 5 * hourMs), offer_life_ms: 5 * hourMs, offer_cutoff_ms: oneOf(0, hourMs) },
        ...{ public_from_ms: oneOf(0, 0, time()), publish_told: oneOf(0, 1, 1, 1, 1) },
      },
      toBytes(saleId),
    ]);
    if (await mayBeDueNow(saleId)) continue;
    passedOver++;
    const before = [await saleOf(saleId), kept.told.size, sent];
    await advanceSale(deps, saleId, soonMs(), 'everything');
    expect([await saleOf(saleId), kept.told.size, sent]).toEqual(before);
  }
  expect(passedOver).toBeGreaterThan(200);
}, 120_000);

describe('sales with deadlines', () => {
  const sale = (deadlineMs: number, holding = 400) =>
    givenLongSale(opened.db, { holding, waiting: 400 }, { ...open, deadlineMs }, nowMs);
  const until = (saleIds: readonly SaleId[]) => saleIds.map((saleId) => ({ saleId, untilMs: nowMs }));

  test('are found without going over those of others', async () => {
    const far: SaleId[] = [];
    for (let one = 0; one < 20; one++) far.push(await sale(nowMs + 1));
    const near = await sale(nowMs, 1);
    expect(await findSalesWithDeadlines(opened.db, until([...far, near]))).toEqual(new Set([near]));
    const read = await rowsReadBy(opened.db, (sql) => findSalesWithDeadlines(sql as Deps['db'], until([...far, near])));
    expect(read).toBeLessThan(100);
  }, 60_000);

  test('are all named where there are too many deadlines to look at', async () => {
    const [quiet, busy] = [await sale(nowMs + 1, 1), await sale(nowMs, 3_000)];
    expect(await findSalesWithDeadlines(opened.db, until([quiet, busy]))).toEqual(new Set([quiet, busy]));
    const read = await rowsReadBy(opened.db, (sql) => findSalesWithDeadlines(sql as Deps['db'], until([quiet, busy])));
    expect(read).toBeLessThan(1_100);
  }, 60_000);
});

test.each([
  ['five a second', 200, 600],
  ['a hundred a second', 10, 3_000],
])(
  'the end of every offer has a boundary within the second after it: %s',
  async (_rate, apartMs, holding) => {
    const saleId = await givenLongSale(opened.db, { holding }, { ...open, deadlineMs: nowMs }, nowMs);
    const bytes = toBytes(saleId);
    const [first] = await opened.db.rows<{ ticket: number }>(
      'SELECT MIN(ticket) AS ticket FROM waitlist WHERE sale_id = ?',
      [bytes],
    );
    await opened.db.change('UPDATE waitlist SET deadline_ms = ? + ? * (ticket - ?) WHERE sale_id = ?', [
      nowMs,
      apartMs,
      first?.ticket,
      bytes,
    ]);
    const ends = await opened.db.rows<{ endMs: number }>(
      'SELECT deadline_ms AS endMs FROM waitlist WHERE sale_id = ? AND deadline_ms BETWEEN ? AND ?',
      [toBytes(saleId), nowMs, nowMs + boundaryHorizonMs],
    );
    expect(ends.length).toBeGreaterThan(500);
    const read = await readOfferDeadlines(opened.db, await saleOf(saleId), nowMs, nowMs + boundaryHorizonMs);
    const late = ends.filter(({ endMs }) => !read.some((atMs) => atMs >= endMs && atMs < endMs + 1_000));
    expect(late).toEqual([]);
    expect(Math.max(...read)).toBeLessThanOrEqual(nowMs + boundaryHorizonMs);
  },
  60_000,
);

test('a round goes over more sales than a page has, and advances those behind', async () => {
  const quiet = await given({});
  const [row] = await opened.db.rows<Record<string, unknown>>('SELECT * FROM sales WHERE id = ?', [toBytes(quiet)]);
  const columns = Object.keys(row ?? {});
  const copies = Array.from({ length: salesPerPage }, (_, copy) => {
    const id = Buffer.from(toBytes(quiet));
    id.writeUInt32BE(copy, 12);
    return columns.map((column) => (column === 'id' ? id : row?.[column]));
  });
  await opened.db.change(`INSERT INTO sales (${columns.join(', ')}) VALUES ?`, [copies]);
  const last = await given({ phase: 'reserved', purchase_closes_at_ms: nowMs + 10 * hourMs });
  expect(await readUnfinishedSales(opened.db, 2 * salesPerPage)).toHaveLength(salesPerPage + 2);
  await advanceAll(deps, soonMs());
  expect(await saleOf(last)).toMatchObject({ phase: 'purchasing' });
});
