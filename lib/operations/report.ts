/**
 * How a sale went so far, for the operator who watches it or reports on it: curves over its time, why requests were turned
 * down, who was served in the order of arrival, and the money. It only reads.
 *
 * A report comes in parts, whose sums are the report of the whole sale. Invariant: a part reads what belongs to at most
 * `reservationsPerPart` reservations, for a sale of any size, so no statement comes near its time limit. A sale's
 * reservations and movements lie together by their ids, so a part is one range of those keys. The ids are hashes: the first
 * part is a fair sample of the sale, and says for all how long a step is and where the tenths of the line end; what the
 * cursor takes along.
 */
import * as z from 'zod';
import { nextPage, PageQuery, readCursor } from '#platform/handlers/pagination.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { fromBytes, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { Id, Time } from '#platform/kernel/shapes.ts';
import type { Sql } from '#platform/mysql/mysql.ts';
import { type RefundCount, type RefundCounts, toRefundCounts } from '#purchase/refund.store.ts';
import { idsOfSale } from '#reservation/reservation-id.ts';
import type { MovementKind } from '#sale/ledger.table.ts';
import { refundStates } from '#state/purchase-state.ts';
import type { ReservationState } from '#state/reservation-state.ts';
import { endOfWindow } from './look-up.store.ts';

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
    points: z
      .array(Point)
      .describe('As many, and of the same times, in each part; what lies outside is in the first or last one'),
    turnedDown: z.record(z.string(), z.int()).describe('How many requests were turned down when decided, by reason'),
    turns: z
      .array(Turn)
      .describe('At most ten, the earliest requests first. In a sale of many parts they are about equal, not exactly'),
    granted: z.int().describe('Reservations that operators served out of turn'),
    money: z.object({
      currency: z.string(),
      purchases: z.int().describe('Those that were paid, whatever was given back of them since'),
      paidMinor: z.int().describe('What they ordered of this sale'),
      refunds: z.record(z.enum(refundStates), z.object({ refunds: z.int(), amountMinor: z.int() })),
    }),
    nextCursor: z.string().nullable().describe('Where the next part begins; null on the last one'),
  })
  .meta({ id: 'SaleReport' });
export type SaleReport = z.infer<typeof SaleReport>;

/** Which part of a report is asked for. */
export const ReportQuery = z.strictObject({ cursor: PageQuery.shape.cursor });
export type ReportQuery = z.output<typeof ReportQuery>;

type Reads = Pick<Sql, 'rows'>;

/** What belongs to how many reservations a part reads at most. */
export const reservationsPerPart = 20_000;

const mostPoints = 120;
const tenths = 10;
/** Lengths that people think in, in seconds. */
const steps = [1, 2, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 7_200, 21_600, 86_400, 604_800];

/** What all parts have in common. */
interface Scale {
  readonly beginMs: number;
  readonly stepMs: number;
  /** How many points there are. */
  readonly length: number;
  /** The last ticket of each tenth of the line but the last. */
  readonly cuts: readonly number[];
}

/** A range of the ids of a sale. */
interface Range {
  readonly saleId: SaleId;
  readonly after: Buffer;
  readonly last: Buffer;
}

/** The id after which a part begins, and the scale. */
const Position = z.tuple(
  [
    Id,
    z.int().min(0),
    z.int().min(1),
    z
      .int()
      .min(0)
      .max(mostPoints + 1),
  ],
  z.int().min(0),
);

/** A part of how a sale went so far. */
export async function readReport(
  { db }: { readonly db: Reads },
  saleId: SaleId,
  { cursor }: ReportQuery,
): Promise<SaleReport | Refusal> {
  // A cursor belongs to the sale as well: ids of another one lie elsewhere.
  const cursorName = `report of ${saleId}`;
  const position = readCursor(cursorName, cursor, Position);
  if (isRefusal(position)) return position;
  const [sale] = await db.rows<{ currency: string }>('SELECT currency FROM sales WHERE id = ?', [toBytes(saleId)]);
  if (!sale) return refuse('not_found', 'There is no such sale.');
  const ids = idsOfSale(saleId);
  const place = position && { id: toBytes(position[0]), purchaseId: undefined };
  const end = await endOfWindow(db, 'reservations', saleId, place, reservationsPerPart);
  const range = { saleId, after: place?.id ?? ids.after, last: end?.id ?? ids.last };
  const scale = position ? scaleOf(position) : await findScale(db, range);
  const [points, turns, turnedDown, granted, paid, refunds] = await Promise.all([
    readPoints(db, range, scale),
    readTurns(db, range, scale),
    countTurnedDown(db, range),
    countGranted(db, range),
    readPaid(db, range),
    countRefunds(db, range),
  ]);
  const { beginMs, stepMs, length, cuts } = scale;
  const next = end && [fromBytes(end.id), beginMs, stepMs, length, ...cuts];
  return {
    ...{ stepSeconds: stepMs / 1_000, points, turnedDown, turns, granted },
    money: { currency: sale.currency, ...paid, refunds },
    nextCursor: nextPage(cursorName, [], next).nextCursor,
  };
}

function scaleOf([, beginMs, stepMs, length, ...cuts]: z.output<typeof Position>): Scale {
  return { beginMs, stepMs, length, cuts };
}

/** The scale that fits a sale of which this is the first part. */
async function findScale(db: Reads, range: Range): Promise<Scale> {
  const [span, cuts] = await Promise.all([readSpan(db, range), readCuts(db, range)]);
  const stepMs = stepFor(span) * 1_000;
  if (!span) return { beginMs: 0, stepMs, length: 0, cuts };
  const beginMs = Math.floor(span.firstMs / stepMs) * stepMs;
  return { beginMs, stepMs, length: Math.floor((span.lastMs - beginMs) / stepMs) + 1, cuts };
}

interface Span {
  readonly firstMs: number;
  readonly lastMs: number;
}

/** From the first request to the latest thing that happened. */
async function readSpan(db: Reads, { saleId, after, last }: Range): Promise<Span | undefined> {
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

/** Where the tenths of the line end. A part that was split off is not a request of its own. */
async function readCuts(db: Reads, { saleId, after, last }: Range): Promise<number[]> {
  const rows = await db.rows<{ cut: number }>(
    `SELECT MAX(ticket) AS cut FROM (
       SELECT ticket, NTILE(${tenths}) OVER (ORDER BY ticket, id) AS tenth FROM reservations
       WHERE id > ? AND id <= ? AND sale_id = ? AND part_of IS NULL) r
     GROUP BY tenth ORDER BY tenth`,
    [after, last, toBytes(saleId)],
  );
  return [...new Set(rows.slice(0, -1).map(({ cut }) => Number(cut)))];
}

async function readPoints(db: Reads, { saleId, after, last }: Range, scale: Scale): Promise<Point[]> {
  const { beginMs, stepMs, length } = scale;
  const values = [beginMs, stepMs, after, last, toBytes(saleId)];
  const [requested, decided, moved] = await Promise.all([
    db.rows<{ step: number; count: number }>(
      `SELECT FLOOR((accepted_at_ms - ?) / ?) AS step, COUNT(*) AS count FROM reservations
       WHERE id > ? AND id <= ? AND sale_id = ? AND part_of IS NULL GROUP BY step`,
      values,
    ),
    db.rows<{ step: number; count: number }>(
      `SELECT FLOOR((decided_at_ms - ?) / ?) AS step, COUNT(*) AS count FROM reservations
       WHERE id > ? AND id <= ? AND sale_id = ? AND part_of IS NULL GROUP BY step`,
      values,
    ),
    db.rows<{ step: number; kind: MovementKind; units: number }>(
      `SELECT FLOOR((at_ms - ?) / ?) AS step, kind, SUM(units) AS units FROM ledger
       WHERE subject_id > ? AND subject_id <= ? AND sale_id = ? AND kind <> 'ADJUST' GROUP BY step, kind`,
      values,
    ),
  ]);
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

/** What became of each tenth of the requests. */
async function readTurns(db: Reads, { saleId, after, last }: Range, { cuts }: Scale): Promise<Turn[]> {
  const bounds = [...cuts.map((cut) => cut + 1), Number.MAX_SAFE_INTEGER];
  const rows = await db.rows<{ turn: number; state: ReservationState; held: number; count: number }>(
    `SELECT INTERVAL(ticket, ${bounds.map(() => '?').join(', ')}) AS turn, state, units > 0 AS held, COUNT(*) AS count
     FROM reservations WHERE id > ? AND id <= ? AND sale_id = ? AND part_of IS NULL GROUP BY turn, state, held`,
    [...bounds, after, last, toBytes(saleId)],
  );
  if (rows.length === 0) return [];
  const turns = bounds.map((): Turn => ({ requests: 0, served: 0, waiting: 0, turnedDown: 0, left: 0 }));
  for (const { turn: at, state, held, count } of rows) {
    const turn = turns[Number(at)];
    if (!turn) continue;
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

async function countTurnedDown(db: Reads, { saleId, after, last }: Range): Promise<Record<string, number>> {
  const rows = await db.rows<{ reason: string | null; count: number }>(
    `SELECT reason, COUNT(*) AS count FROM reservations WHERE id > ? AND id <= ? AND sale_id = ? AND state = 'rejected'
     GROUP BY reason`,
    [after, last, toBytes(saleId)],
  );
  return Object.fromEntries(rows.map(({ reason, count }) => [reason ?? 'unknown', Number(count)]));
}

async function countGranted(db: Reads, { saleId, after, last }: Range): Promise<number> {
  const [row] = await db.rows<{ count: number }>(
    'SELECT COUNT(*) AS count FROM grants WHERE reservation_id > ? AND reservation_id <= ? AND sale_id = ?',
    [after, last, toBytes(saleId)],
  );
  return Number(row?.count ?? 0);
}

/**
 * What was paid of this sale: by the reservations that name their purchase. A purchase of several of them counts with the
 * first, which may be in another part.
 */
async function readPaid(db: Reads, { saleId, after, last }: Range): Promise<{ purchases: number; paidMinor: number }> {
  const [row] = await db.rows<{ purchases: number | null; paidMinor: number | null }>(
    `SELECT SUM(NOT EXISTS (
         SELECT 1 FROM purchase_items o JOIN reservations b ON b.id = o.reservation_id AND b.purchase_id = o.purchase_id
         WHERE o.purchase_id = p.id AND o.sale_id = r.sale_id AND o.reservation_id < r.id)) AS purchases,
       SUM(i.units * i.price_minor) AS paidMinor
     FROM reservations r
     JOIN purchase_items i ON i.reservation_id = r.id AND i.purchase_id = r.purchase_id
     JOIN purchases p ON p.id = i.purchase_id
     WHERE r.id > ? AND r.id <= ? AND r.sale_id = ? AND p.captured_minor IS NOT NULL AND p.state <> 'disputed'`,
    [after, last, toBytes(saleId)],
  );
  return { purchases: Number(row?.purchases ?? 0), paidMinor: Number(row?.paidMinor ?? 0) };
}

/**
 * The refunds of the purchases whose first item of this sale is in the range, as `countRefundsOfSale` counts those of a whole
 * sale.
 */
async function countRefunds(db: Reads, { saleId, after, last }: Range): Promise<RefundCounts> {
  const rows = await db.rows<RefundCount>(
    `SELECT f.state, COUNT(*) AS refunds, SUM(f.amount_minor) AS amountMinor
     FROM purchase_items i FORCE INDEX (purchase_items_reservation)
     JOIN refunds f ON f.purchase_id = i.purchase_id
     JOIN purchases p ON p.id = i.purchase_id
     WHERE i.reservation_id > ? AND i.reservation_id <= ? AND i.sale_id = ?
       AND (f.sale_id = i.sale_id OR (f.sale_id IS NULL AND f.state IN ('pending', 'failed')))
       AND NOT (f.state = 'failed' AND p.state = 'refunded')
       AND NOT EXISTS (SELECT 1 FROM purchase_items o
         WHERE o.purchase_id = i.purchase_id AND o.sale_id = i.sale_id AND o.reservation_id < i.reservation_id)
     GROUP BY f.state`,
    [after, last, toBytes(saleId)],
  );
  return toRefundCounts(rows);
}
