/**
 * Writes a sale with any number of reservations straight into the databases, and measures transactions on it: how many rows
 * they change, how large their statements are, and how long they lock the sale.
 */
import { claimsKey, customerField, reservationField } from '#mirror/claims.ts';
import { writeMirror } from '#mirror/mirror.ts';
import type { CustomerId, PurchaseId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { newId, toBytes } from '#platform/kernel/ids.ts';
import type { Db, Sql, Tx } from '#platform/mysql/mysql.ts';
import { keys } from '#platform/redis/keys.ts';
import type { RedisClient } from '#platform/redis/redis.ts';
import { type ReservationRow, readPage } from '#reservation/reservation.store.ts';
import { deriveReservationId } from '#reservation/reservation-id.ts';
import { readSales } from '#sale/sale.store.ts';
import { newSaleId, saleTag } from '#sale/sale-id.ts';
import { untilAnswered } from './unhurried.ts';

/** How many reservations of each kind. */
export interface Crowd {
  readonly holding: number;
  readonly waiting?: number;
  /** Each by a purchase of its own, which is captured. */
  readonly bought?: number;
  /** Decided long ago and over. */
  readonly rejected?: number;
}

/** The sale's times, by the clock of the caller. */
export interface LongSaleTerms {
  readonly purchaseOpensAtMs: number;
  readonly purchaseClosesAtMs: number;
  readonly phase: 'reserving' | 'reserved' | 'purchasing';
  /** When every holder's own time to pay ends; none unless given. */
  readonly deadlineMs?: number;
}

const rowsPerStatement = 2_000;
const priceMinor = 1_000;

/** Writes a sale with this crowd, each with one unit. The crowd was decided an hour before `nowMs`. */
export async function givenLongSale(db: Sql, crowd: Crowd, terms: LongSaleTerms, nowMs: number): Promise<SaleId> {
  const { holding, waiting = 0, bought = 0, rejected = 0 } = crowd;
  const allotment = Math.max(1, holding + bought);
  const saleId = newSaleId(allotment + waiting, nowMs);
  const { phase, purchaseOpensAtMs, purchaseClosesAtMs, deadlineMs } = terms;
  const decidedAtMs = nowMs - 3_600_000;
  await db.change('INSERT INTO sales SET ?', [
    {
      id: toBytes(saleId),
      product_id: toBytes(newId(nowMs)),
      name: 'A long sale',
      mode: 'fifo',
      status: 'active',
      phase,
      price_minor: priceMinor,
      currency: 'EUR',
      cap_per_customer: 10,
      waitlist_size: waiting,
      offer_life_ms: 600_000,
      reserve_opens_at_ms: nowMs - 7_200_000,
      reserve_closes_at_ms: nowMs - 1_800_000,
      purchase_opens_at_ms: purchaseOpensAtMs,
      purchase_closes_at_ms: purchaseClosesAtMs,
      allotment,
      available: allotment - holding - bought,
      allocated: holding,
      sold: bought,
      waitlisted: waiting,
      epoch: 1,
      version: 1,
      fence: 0,
      created_at_ms: decidedAtMs,
    },
  ]);
  const kinds = [
    ['allocated', holding],
    ['waitlisted', waiting],
    ['purchased', bought],
    ['rejected', rejected],
  ] as const;
  let ticket = decidedAtMs * 1_000;
  for (const [state, count] of kinds) {
    for (let start = 0; start < count; start += rowsPerStatement) {
      const rows = Array.from({ length: Math.min(rowsPerStatement, count - start) }, () => {
        const customerId: CustomerId = newId(nowMs);
        const reservationId: ReservationId = deriveReservationId(saleId, customerId, 'key');
        const purchaseId: PurchaseId | null = state === 'purchased' ? newId(nowMs) : null;
        return { customerId, reservationId, purchaseId, ticket: ++ticket };
      });
      const units = state === 'allocated' || state === 'purchased' ? 1 : 0;
      const ends = state === 'allocated' ? (deadlineMs ?? null) : null;
      await db.change(
        `INSERT INTO reservations (id, sale_id, customer_id, nth, ticket, quantity, at_least, state, units, deadline_ms,
           version, accepted_at_ms, decided_at_ms, purchase_id) VALUES ?`,
        [
          rows.map((row) => [
            toBytes(row.reservationId),
            toBytes(saleId),
            toBytes(row.customerId),
            0,
            row.ticket,
            1,
            1,
            state,
            units,
            ends,
            1,
            Math.floor(row.ticket / 1_000),
            decidedAtMs,
            row.purchaseId && toBytes(row.purchaseId),
          ]),
        ],
      );
      if (state === 'purchased') await buy(db, saleId, rows, decidedAtMs);
      if (state !== 'waitlisted' && ends === null) continue;
      await db.change('INSERT INTO waitlist (sale_id, ticket, reservation_id, deadline_ms, at_least) VALUES ?', [
        rows.map((row) => [toBytes(saleId), row.ticket, toBytes(row.reservationId), ends, 1]),
      ]);
    }
  }
  return saleId;
}

interface Bought {
  readonly customerId: CustomerId;
  readonly reservationId: ReservationId;
  readonly purchaseId: PurchaseId | null;
}

async function buy(db: Sql, saleId: SaleId, rows: readonly Bought[], atMs: number): Promise<void> {
  const fingerprint = '0'.repeat(64);
  await db.change(
    `INSERT INTO purchases (id, customer_id, state, amount_minor, currency, fingerprint, charge_id, attempts,
       captured_minor, captured_currency, version, created_at_ms, updated_at_ms) VALUES ?`,
    [
      rows.map(({ purchaseId, customerId }) => [
        ...[toBytes(purchaseId as PurchaseId), toBytes(customerId), 'captured', priceMinor, 'EUR', fingerprint],
        ...[`charge-${purchaseId}`, 1, priceMinor, 'EUR', 2, atMs, atMs],
      ]),
    ],
  );
  await db.change('INSERT INTO purchase_items (purchase_id, reservation_id, sale_id, units, price_minor) VALUES ?', [
    rows.map(({ purchaseId, reservationId }) => [
      ...[toBytes(purchaseId as PurchaseId), toBytes(reservationId), toBytes(saleId), 1, priceMinor],
    ]),
  ]);
}

/** Reads all reservations of a sale, a page at a time, in the order of their ids. */
export async function* pagesOf(sql: Sql, saleId: SaleId, rowsPerPage: number): AsyncGenerator<ReservationRow[]> {
  for (let after: ReservationId | undefined; ; ) {
    const page = await readPage(sql, saleId, after, rowsPerPage);
    if (page.length > 0) yield page;
    after = page.at(-1)?.reservationId;
    if (page.length < rowsPerPage) return;
  }
}

/** Brings a sale and all of its reservations into the mirror, as if each had passed the gate in the order of tickets. */
export async function mirrorLongSale(db: Sql, redis: RedisClient, saleId: SaleId): Promise<void> {
  const sale = (await readSales(db, [saleId])).get(saleId);
  if (!sale) throw new Error('there is no such sale');
  await untilAnswered(() => writeMirror({ redis }, [sale], [], [sale]));
  const firstTicket = (
    await db.rows<{ first: number }>('SELECT MIN(ticket) AS first FROM reservations WHERE sale_id = ?', [
      toBytes(saleId),
    ])
  )[0]?.first;
  for await (const page of pagesOf(db, saleId, 500)) {
    const claims: string[][] = [];
    for (const { reservationId, customerId, quantity, ticket } of page) {
      const place = ticket - Number(firstTicket) + 1;
      const admitted = `o:0:0:${quantity}::${ticket.toString(16)}:${place}`;
      const bucket = claimsKey(saleTag(saleId), customerId);
      const fields = [reservationField(reservationId, customerId), admitted, customerField(customerId), `${quantity}`];
      claims.push(['hset', bucket, ...fields]);
    }
    await untilAnswered(async () => {
      for (const [error] of (await redis.pipeline(claims).exec()) ?? []) if (error) throw error;
      await writeMirror({ redis }, [sale], page);
    });
  }
  // The gate did not count them: nothing is left to be decided, and their places are given.
  const [{ last } = { last: 0 }] = await db.rows<{ last: number }>(
    'SELECT MAX(ticket) AS last FROM reservations WHERE sale_id = ?',
    [toBytes(saleId)],
  );
  await redis.hset(keys.sale(saleTag(saleId)), 'pendingOver', 0, 'line', Number(last) - Number(firstTicket) + 1);
}

/** The maxima over the transactions. */
export interface Extremes {
  transactions: number;
  /** The most rows that one of them has changed. */
  rows: number;
  /** The most rows that one statement has read. */
  read: number;
  /** The largest statement, bytes. */
  statementBytes: number;
  /** The longest time for which one of them locked a sale, milliseconds. */
  heldMs: number;
  /** For how long each of them locked a sale that did. */
  readonly held: number[];
}

/** A database that measures its transactions. */
export function observed(db: Db): { db: Db; extremes: Extremes } {
  const extremes: Extremes = { transactions: 0, rows: 0, read: 0, statementBytes: 0, heldMs: 0, held: [] };
  const observing = (sql: Sql, note: (text: string, changed: number) => void): Sql => ({
    async rows<R>(text: string, values?: unknown[]) {
      const rows = await sql.rows<R>(text, values);
      extremes.read = Math.max(extremes.read, rows.length);
      note(text, 0);
      return rows;
    },
    async change(text, values) {
      extremes.statementBytes = Math.max(extremes.statementBytes, text.length + bytesOf(values ?? []));
      const changed = await sql.change(text, values);
      note(text, changed);
      return changed;
    },
  });
  const outside = observing(db, () => undefined);
  return {
    extremes,
    db: {
      ...outside,
      close: db.close,
      snapshot: db.snapshot,
      async transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
        let heldSinceMs: number | undefined;
        let rows = 0;
        const result = await db.transaction((tx) => {
          heldSinceMs = undefined;
          rows = 0;
          const note = (text: string, changed: number) => {
            rows += changed;
            if (/FROM sales .*FOR UPDATE|UPDATE sales|JOIN sales/s.test(text)) heldSinceMs ??= performance.now();
          };
          return work({ ...observing(tx, note), inTransaction: true });
        });
        extremes.transactions += 1;
        extremes.rows = Math.max(extremes.rows, rows);
        if (heldSinceMs !== undefined) {
          const heldMs = performance.now() - heldSinceMs;
          extremes.heldMs = Math.max(extremes.heldMs, heldMs);
          extremes.held.push(heldMs);
        }
        return result;
      },
    },
  };
}

/** About how many bytes the driver writes for values: two digits for each byte of an id. */
function bytesOf(value: unknown): number {
  if (Buffer.isBuffer(value)) return 2 * value.length + 4;
  if (Array.isArray(value)) return value.reduce((sum: number, one) => sum + bytesOf(one) + 2, 0);
  return String(value).length + 2;
}
