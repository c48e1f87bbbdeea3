/**
 * The report of a sale with many reservations, on real MySQL: what a part reads does not depend on how many there are, and the
 * parts add up to what is there. For more than the default:
 *
 *   HOLDFAST_SCALE=1000000 npm test -- test/scale/report
 */
import { givenLongSale } from '#bench/long-sale.ts';
import { readReport, reservationsPerPart, type SaleReport } from '#operations/report.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import { type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { withPart } from '#web/console/report-sum.ts';
import { rowsReadBy } from '../support/rows-read.ts';
import { openBed } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

const count = Number(process.env.HOLDFAST_SCALE ?? 100_000);
const timeoutMs = 120_000 + 3 * count;
const rejected = 1_000;
const bought = Math.floor(count / 4);
const holding = count - rejected - bought;

let bed: TestBed;
let deps: Deps;
let saleId: SaleId;

beforeAll(async () => {
  bed = await testBed({ queues: false });
  deps = await openBed(bed);
  const nowMs = Date.now();
  const times = { purchaseOpensAtMs: nowMs - 1_000, purchaseClosesAtMs: nowMs + 3_600_000 };
  saleId = await givenLongSale(deps.db, { holding, bought, rejected }, { ...times, phase: 'purchasing' }, nowMs);
  const sale = toBytes(saleId);
  // What was given back: each tenth purchase. Two purchases become one of two reservations, which lie anywhere.
  await deps.db.change(
    `INSERT INTO refunds (purchase_id, refund_key, sale_id, amount_minor, state, reason, releases, refusals, created_at_ms, updated_at_ms)
     SELECT purchase_id, 'sale', sale_id, 10, 'refunded', 'sale_cancelled', '*', 0, 1, 1 FROM reservations
     WHERE sale_id = ? AND state = 'purchased' AND MOD(ticket, 10) = 0`,
    [sale],
  );
  const bound = await deps.db.rows<{ id: Buffer; purchaseId: Buffer }>(
    "SELECT id, purchase_id AS purchaseId FROM reservations WHERE sale_id = ? AND state = 'purchased' ORDER BY ticket DESC LIMIT 2",
    [sale],
  );
  const [one, other] = bound;
  if (!one || !other) throw new Error('nobody has bought');
  await deps.db.change('UPDATE reservations SET purchase_id = ? WHERE id = ?', [one.purchaseId, other.id]);
  await deps.db.change('UPDATE purchase_items SET purchase_id = ? WHERE purchase_id = ?', [
    one.purchaseId,
    other.purchaseId,
  ]);
}, timeoutMs);

afterAll(async () => {
  await deps?.close();
  await bed?.close();
});

test(
  `a report of ${count} comes in parts that read as much as they tell of, and add up`,
  async () => {
    let whole: SaleReport | undefined;
    let parts = 0;
    let read = 0;
    do {
      read = Math.max(
        read,
        await rowsReadBy(deps.db, async (db) => {
          const part = await readReport({ db }, saleId, { cursor: whole?.nextCursor ?? undefined });
          if (isRefusal(part)) throw new Error(part.detail);
          whole = whole ? withPart(whole, part) : part;
        }),
      );
      parts += 1;
    } while (whole?.nextCursor);
    expect(parts).toBe(Math.floor(count / reservationsPerPart) + 1);
    // Some passes over its reservations and movements, and the purchases of those that were bought.
    expect(read).toBeLessThan(30 * reservationsPerPart);
    const sumOf = (name: 'requested' | 'decided') => whole?.points.reduce((sum, point) => sum + point[name], 0);
    expect([sumOf('requested'), sumOf('decided')]).toEqual([count, count]);
    expect(whole).toMatchObject({
      turnedDown: { unknown: rejected },
      money: {
        ...{ purchases: bought - 1, paidMinor: bought * 1_000 },
        refunds: { refunded: { refunds: Math.floor(bought / 10), amountMinor: 10 * Math.floor(bought / 10) } },
      },
    });
    // Nobody was served after one who was turned down; the tenths are of about the same size.
    const turns = whole?.turns ?? [];
    expect(turns).toHaveLength(10);
    expect(turns.reduce((sum, { requests }) => sum + requests, 0)).toBe(count);
    for (const { requests } of turns) expect(Math.abs(requests - count / 10)).toBeLessThan(0.02 * count);
    expect(turns.slice(0, 9).every(({ requests, served }) => served === requests)).toBe(true);
    expect(turns[9]).toMatchObject({ turnedDown: rejected });
  },
  timeoutMs,
);
