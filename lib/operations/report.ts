/**
 * How a sale went so far, for the operator who watches it or reports on it: curves over its time, why requests were turned
 * down, who was served in the order of arrival, and the money.
 *
 * Its reservations and movements lie together by their ids, so each statement is one pass over one range of a key; how
 * many points a curve has does not grow with the sale. It only reads.
 */
import * as z from 'zod';
import type { Needs } from '#platform/environment/deps.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { Time } from '#platform/kernel/shapes.ts';
import type { Sql } from '#platform/mysql/mysql.ts';
import { countRefundsOfSale } from '#purchase/refund.store.ts';
import { idsOfSale } from '#reservation/reservation-id.ts';
import type { MovementKind } from '#sale/ledger.table.ts';
import { readSales } from '#sale/sale.store.ts';
import { refundStates } from '#state/purchase-state.ts';
import type { ReservationState } from '#state/reservation-state.ts';

/** What happened in one step of the sale's time. */
const Point = z.object({
  at: Time.describe('When the step begins'),
  requested: z.int().describe('Requests accepted'),
  decided: z.int().describe('Requests decided: served, on the waitlist, or turned down'),
  allocated: z.int().describe('Units set aside'),
  sold: z.int().describe('Units sold'),
  released: z.int().describe('Units that came back'),
});
type Point = z.infer<typeof Point>;

/** A tenth of the requests, in the order of arrival. */
const Turn = z.object({
  requests: z.int(),
  served: z.int().describe('Units were set aside for them at some time, or they are sold'),
  waiting: z.int(),
  turnedDown: z.int(),
  left: z.int().describe('Left the line, or were not taken in time'),
});
type Turn = z.infer<typeof Turn>;

export const SaleReport = z
  .object({
    stepSeconds: z.int(),
    points: z.array(Point),
    turnedDown: z.record(z.string(), z.int()).describe('How many requests were turned down when decided, by reason'),
    turns: z.array(Turn).describe('At most ten, the earliest requests first'),
    granted: z.int().describe('Reservations that operators served out of turn'),
    money: z.object({
      currency: z.string(),
      purchases: z.int().describe('Those that were paid, whatever was given back of them since'),
      paidMinor: z.int().describe('What they ordered of this sale'),
      refunds: z.record(z.enum(refundStates), z.object({ refunds: z.int(), amountMinor: z.int() })),
    }),
  })
  .meta({ id: 'SaleReport' });
export type SaleReport = z.infer<typeof SaleReport>;

type Reads = Pick<Sql, 'rows'>;

const mostPoints = 120;
const tenths = 10;
/** Lengths that people think in, in seconds. */
const steps = [1, 2, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 7_200, 21_600, 86_400, 604_800];

/** How a sale went so far. Undefined if there is no such sale. */
export async function readReport({ db }: Needs<'db'>, saleId: SaleId): Promise<SaleReport | undefined> {
  const sale = (await readSales(db, [saleId])).get(saleId);
  if (!sale) return undefined;
  const [times, turns, turnedDown, granted, paid, refunds] = await Promise.all([
    readSpan(db, saleId),
    readTurns(db, saleId),
    countTurnedDown(db, saleId),
    countGranted(db, saleId),
    readPaid(db, saleId),
    countRefundsOfSale(db, saleId),
  ]);
  const stepSeconds = stepFor(times);
  return {
    stepSeconds,
    points: times ? await readPoints(db, saleId, times, stepSeconds * 1_000) : [],
    turnedDown,
    turns,
    granted,
    money: { currency: sale.currency, ...paid, refunds },
  };
}

interface Span {
  readonly firstMs: number;
  readonly lastMs: number;
}

/** From the first request to the latest thing that happened. */
async function readSpan(db: Reads, saleId: SaleId): Promise<Span | undefined> {
  const { after, last } = idsOfSale(saleId);
  const sale = toBytes(saleId);
  const [span] = await db.rows<{ firstMs: number | null; lastMs: number | null; movedMs: number | null }>(
    `SELECT MIN(accepted_at_ms) AS firstMs, MAX(accepted_at_ms) AS lastMs,
       (SELECT MAX(at_ms) FROM ledger WHERE subject_id > ? AND subject_id <= ? AND sale_id = ? AND kind <> 'ADJUST') AS movedMs
     FROM reservations WHERE id > ? AND id <= ? AND sale_id = ?`,
    [after, last, sale, after, last, sale],
  );
  if (!span || span.firstMs === null) return undefined;
  return { firstMs: Number(span.firstMs), lastMs: Math.max(Number(span.lastMs), Number(span.movedMs ?? 0)) };
}

function stepFor(span: Span | undefined): number {
  const seconds = span ? (span.lastMs - span.firstMs) / 1_000 : 0;
  return steps.find((step) => seconds / step < mostPoints) ?? Math.ceil(seconds / mostPoints);
}

async function readPoints(db: Reads, saleId: SaleId, { firstMs, lastMs }: Span, stepMs: number): Promise<Point[]> {
  const beginMs = Math.floor(firstMs / stepMs) * stepMs;
  const { after, last } = idsOfSale(saleId);
  const range = [beginMs, stepMs, after, last, toBytes(saleId)];
  const [requested, decided, moved] = await Promise.all([
    db.rows<{ step: number; count: number }>(
      `SELECT FLOOR((accepted_at_ms - ?) / ?) AS step, COUNT(*) AS count FROM reservations
       WHERE id > ? AND id <= ? AND sale_id = ? AND part_of IS NULL GROUP BY step`,
      range,
    ),
    db.rows<{ step: number; count: number }>(
      `SELECT FLOOR((decided_at_ms - ?) / ?) AS step, COUNT(*) AS count FROM reservations
       WHERE id > ? AND id <= ? AND sale_id = ? AND part_of IS NULL GROUP BY step`,
      range,
    ),
    db.rows<{ step: number; kind: MovementKind; units: number }>(
      `SELECT FLOOR((at_ms - ?) / ?) AS step, kind, SUM(units) AS units FROM ledger
       WHERE subject_id > ? AND subject_id <= ? AND sale_id = ? AND kind <> 'ADJUST' GROUP BY step, kind`,
      range,
    ),
  ]);
  const length = Math.floor((lastMs - beginMs) / stepMs) + 1;
  const points = Array.from({ length }, (_, step) => ({
    ...{ at: toIso(beginMs + step * stepMs), requested: 0, decided: 0, allocated: 0, sold: 0, released: 0 },
  }));
  const name = { ALLOCATE: 'allocated', SELL: 'sold', RELEASE: 'released' } as const;
  // What lies outside is of a clock that was set: it belongs to the end that is nearer.
  const pointAt = (step: number) => points[Math.min(length - 1, Math.max(0, Number(step)))];
  for (const { step, count } of requested) add(pointAt(step), 'requested', count);
  for (const { step, count } of decided) add(pointAt(step), 'decided', count);
  for (const { step, kind, units } of moved) if (kind !== 'ADJUST') add(pointAt(step), name[kind], units);
  return points;
}

function add(point: Point | undefined, name: Exclude<keyof Point, 'at'>, count: number): void {
  if (point) point[name] += Number(count);
}

/** What became of each tenth of the requests. A part that was split off is not a request of its own. */
async function readTurns(db: Reads, saleId: SaleId): Promise<Turn[]> {
  const { after, last } = idsOfSale(saleId);
  const rows = await db.rows<{ tenth: number; state: ReservationState; held: number; count: number }>(
    `SELECT tenth, state, held, COUNT(*) AS count FROM (
       SELECT state, units > 0 AS held, NTILE(${tenths}) OVER (ORDER BY ticket, id) AS tenth FROM reservations
       WHERE id > ? AND id <= ? AND sale_id = ? AND part_of IS NULL) r
     GROUP BY tenth, state, held`,
    [after, last, toBytes(saleId)],
  );
  const turns: Turn[] = [];
  for (const { tenth, state, held, count } of rows) {
    const turn = turns[tenth - 1] ?? { requests: 0, served: 0, waiting: 0, turnedDown: 0, left: 0 };
    turns[tenth - 1] = turn;
    turn.requests += Number(count);
    turn[becameOf(state, Number(held) === 1)] += Number(count);
  }
  return turns;
}

function becameOf(state: ReservationState, held: boolean): Exclude<keyof Turn, 'requests'> {
  if (state === 'rejected') return 'turnedDown';
  if (state === 'requested' || state === 'waitlisted') return 'waiting';
  return held ? 'served' : 'left';
}

async function countTurnedDown(db: Reads, saleId: SaleId): Promise<Record<string, number>> {
  const { after, last } = idsOfSale(saleId);
  const rows = await db.rows<{ reason: string | null; count: number }>(
    `SELECT reason, COUNT(*) AS count FROM reservations WHERE id > ? AND id <= ? AND sale_id = ? AND state = 'rejected'
     GROUP BY reason`,
    [after, last, toBytes(saleId)],
  );
  return Object.fromEntries(rows.map(({ reason, count }) => [reason ?? 'unknown', Number(count)]));
}

async function countGranted(db: Reads, saleId: SaleId): Promise<number> {
  const { after, last } = idsOfSale(saleId);
  const [row] = await db.rows<{ count: number }>(
    'SELECT COUNT(*) AS count FROM grants WHERE reservation_id > ? AND reservation_id <= ? AND sale_id = ?',
    [after, last, toBytes(saleId)],
  );
  return Number(row?.count ?? 0);
}

/** What was paid of this sale: by the reservations that name their purchase. */
async function readPaid(db: Reads, saleId: SaleId): Promise<{ purchases: number; paidMinor: number }> {
  const { after, last } = idsOfSale(saleId);
  const [row] = await db.rows<{ purchases: number; paidMinor: number | null }>(
    `SELECT COUNT(DISTINCT p.id) AS purchases, SUM(i.units * i.price_minor) AS paidMinor
     FROM reservations r
     JOIN purchase_items i ON i.reservation_id = r.id AND i.purchase_id = r.purchase_id
     JOIN purchases p ON p.id = i.purchase_id
     WHERE r.id > ? AND r.id <= ? AND r.sale_id = ? AND p.captured_minor IS NOT NULL AND p.state <> 'disputed'`,
    [after, last, toBytes(saleId)],
  );
  return { purchases: Number(row?.purchases ?? 0), paidMinor: Number(row?.paidMinor ?? 0) };
}
