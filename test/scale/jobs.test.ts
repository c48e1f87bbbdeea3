/**
 * The long jobs of a sale at many reservations, on real MySQL, Redis and SQS: every holder is told or ended once, in
 * transactions, statements and events whose size does not depend on how many there are. For more than the default:
 *
 *   HOLDFAST_SCALE=1000000 npm test -- test/scale
 */
import { type Extremes, givenLongSale, observed } from '#bench/long-sale.ts';
import { adjustStock } from '#launch/adjust-stock.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { carryMessages, type KeptEvents, keepingEvents, trigger } from '../support/long-jobs.ts';
import { openBed } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

const count = Number(process.env.HOLDFAST_SCALE ?? 100_000);
const timeoutMs = 120_000 + 3 * count;
const hourMs = 3_600_000;

/** The most rows that one transaction changes: reservations, waitlist rows, movements and events. */
const rowsAtMost = 3_000;
/** A sixteenth of the server's default packet. */
const statementBytesAtMost = 1_048_576;
const eventBytesAtMost = 262_144;

let bed: TestBed;
let opened: Deps;
let deps: Deps;
let kept: KeptEvents;
let extremes: Extremes;

beforeAll(async () => {
  bed = await testBed();
  opened = await openBed(bed);
});

beforeEach(() => {
  const observing = observed(opened.db);
  extremes = observing.extremes;
  ({ deps, kept } = keepingEvents(opened, { db: observing.db }));
});

afterEach(() => {
  expect(extremes.rows).toBeLessThanOrEqual(rowsAtMost);
  expect(extremes.read).toBeLessThanOrEqual(1_000);
  expect(extremes.statementBytes).toBeLessThan(statementBytesAtMost);
  expect(kept.largest).toBeLessThan(eventBytesAtMost);
});

afterAll(async () => {
  await opened?.close();
  await bed?.close();
});

async function stockOf(saleId: SaleId) {
  const [stock] = await opened.db.rows<Record<string, number>>(
    'SELECT available, allocated, sold, waitlisted FROM sales WHERE id = ?',
    [toBytes(saleId)],
  );
  return { ...stock };
}

test(
  `${count} holders are told of the opening`,
  async () => {
    const nowMs = Date.now();
    const times = { purchaseOpensAtMs: nowMs - 1_000, purchaseClosesAtMs: nowMs + hourMs };
    const saleId = await givenLongSale(
      opened.db,
      { holding: count, rejected: 1_000 },
      { ...times, phase: 'reserved' },
      nowMs,
    );
    await trigger(deps, { saleId });
    await carryMessages(deps, kept);
    expect(kept.count('purchase-opened')).toEqual({ told: count, repeated: 0 });
  },
  timeoutMs,
);

test(
  `a sale of ${count} holders and a tenth of waiters is closed`,
  async () => {
    const nowMs = Date.now();
    const waiting = Math.floor(count / 10);
    const times = { purchaseOpensAtMs: nowMs - hourMs, purchaseClosesAtMs: nowMs - 1_000 };
    const crowd = { holding: count, waiting, bought: 1_000 };
    const saleId = await givenLongSale(opened.db, crowd, { ...times, phase: 'purchasing' }, nowMs);
    await trigger(deps, { saleId });
    await carryMessages(deps, kept);
    expect(kept.count('expired')).toEqual({ told: count + waiting, repeated: 0 });
    expect(await stockOf(saleId)).toEqual({ available: count, allocated: 0, sold: 1_000, waitlisted: 0 });
  },
  timeoutMs,
);

test(
  `${count} who wait are served when as many units are added`,
  async () => {
    const nowMs = Date.now();
    const times = { purchaseOpensAtMs: nowMs - hourMs, purchaseClosesAtMs: nowMs + hourMs };
    const crowd = { holding: 1_000, waiting: count };
    const saleId = await givenLongSale(opened.db, crowd, { ...times, phase: 'purchasing' }, nowMs);
    await adjustStock(deps, saleId, count);
    await carryMessages(deps, kept);
    expect(kept.count('allocated')).toEqual({ told: count, repeated: 0 });
    expect(await stockOf(saleId)).toEqual({ available: 0, allocated: count + 1_000, sold: 0, waitlisted: 0 });
  },
  timeoutMs,
);

test(
  `${count} allocations whose time to pay ends at once expire`,
  async () => {
    const nowMs = Date.now();
    const times = { purchaseOpensAtMs: nowMs - hourMs, purchaseClosesAtMs: nowMs + hourMs, deadlineMs: nowMs - 1 };
    const saleId = await givenLongSale(opened.db, { holding: count }, { ...times, phase: 'purchasing' }, nowMs);
    await trigger(deps, { saleId });
    await carryMessages(deps, kept);
    expect(kept.count('expired')).toEqual({ told: count, repeated: 0 });
    expect(await stockOf(saleId)).toEqual({ available: count, allocated: 0, sold: 0, waitlisted: 0 });
  },
  timeoutMs,
);
