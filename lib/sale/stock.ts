/**
 * Stock: the only code that writes the four stock columns of `sales`.
 *
 * Invariant I1 (no oversell): every change is one conditional UPDATE whose WHERE repeats what must hold afterwards, and
 * the table's CHECK constraints say it once more. A move that does not fit changes nothing and throws `StockConflict`.
 * Callers are the allocate worker, cancellation, expiry, offers, purchases and the operator's adjustment.
 */
import type { StockLevel } from '#events/catalogue.ts';
import { fromBytes, repeatedLiterals, toBytes, toLiteral } from '#platform/kernel/ids.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import type { MovementKind } from './ledger.table.ts';

/** How a sale's counters change, each by a signed number of units (`waitlisted`: of reservations). */
export interface StockMove {
  readonly saleId: string;
  readonly available?: number;
  readonly allocated?: number;
  readonly sold?: number;
  readonly allotment?: number;
  readonly waitlisted?: number;
}

/** What else must hold for a move to be made, beyond no counter falling below zero. */
export interface StockGuard {
  /** The fences of the caller's locks, by sale; a row that saw a higher one refuses. Absent where the row itself is held. */
  readonly fences?: ReadonlyMap<string, number>;
  /** The epoch the caller read; a restore in between refuses. */
  readonly epochs?: ReadonlyMap<string, number>;
}

/** One line of the ledger. */
export interface Movement {
  readonly subjectId: string;
  readonly kind: MovementKind;
  readonly saleId: string;
  readonly units: number;
}

/** Thrown when a move does not fit the stock as it is now, or came too late. The transaction must be rolled back. */
export class StockConflict extends Error {
  constructor(wanted: number, made: number) {
    super(`${wanted - made} of ${wanted} stock moves were refused`);
    this.name = 'StockConflict';
  }
}

/** A sale's row as the decisions about stock need it. */
export interface SaleRow extends StockLevel {
  readonly status: 'active' | 'paused' | 'cancelled';
  readonly phase: 'scheduled' | 'reserving' | 'reserved' | 'purchasing' | 'closed';
  readonly capPerCustomer: number;
  readonly waitlistSize: number;
  readonly offerLifeMs: number;
  readonly reserveOpensAtMs: number;
  readonly reserveClosesAtMs: number;
  readonly purchaseOpensAtMs: number;
  readonly purchaseClosesAtMs: number;
  readonly remindedAtMs: number | null;
  readonly priceMinor: number;
  readonly currency: string;
}

const stockColumns = 'id, epoch, version, allotment, available, allocated, sold, waitlisted';
const saleColumns = `${stockColumns}, status, phase, cap_per_customer AS capPerCustomer, waitlist_size AS waitlistSize,
  offer_life_ms AS offerLifeMs, reserve_opens_at_ms AS reserveOpensAtMs, reserve_closes_at_ms AS reserveClosesAtMs,
  purchase_opens_at_ms AS purchaseOpensAtMs, purchase_closes_at_ms AS purchaseClosesAtMs,
  reminded_at_ms AS remindedAtMs, price_minor AS priceMinor, currency`;

/** Reads sales without locking them: good for a guess that the guarded write will check. */
export async function readSales(sql: Sql, saleIds: string[]): Promise<Map<string, SaleRow>> {
  return selectSales(sql, saleIds, '');
}

/** Reads sales and holds their rows until the transaction ends, always in the order of their ids. */
export async function lockSales(tx: Tx, saleIds: string[]): Promise<Map<string, SaleRow>> {
  return selectSales(tx, saleIds, 'FOR UPDATE');
}

async function selectSales(sql: Sql, saleIds: string[], suffix: string): Promise<Map<string, SaleRow>> {
  if (saleIds.length === 0) return new Map();
  const rows = await sql.rows<Omit<SaleRow, 'saleId'> & { id: Buffer }>(
    `SELECT ${saleColumns} FROM sales WHERE id IN (?) ORDER BY id ${suffix}`,
    [saleIds.map(toBytes)],
  );
  return new Map(
    rows.map(({ id, ...row }) => {
      const saleId = fromBytes(id);
      return [saleId, { saleId, ...row }];
    }),
  );
}

/** What must hold for a move `m` of the sale `s` to be made, as SQL (invariant I1). */
export const moveGuards = {
  available: 's.available + m.available >= 0',
  allocated: 's.allocated + m.allocated >= 0',
  sold: 's.sold + m.sold >= 0',
  waitlisted: 's.waitlisted + m.waitlisted BETWEEN 0 AND s.waitlist_size',
  /** No later holder of the lock has written; zero is a move without a lock. */
  fence: '(m.fence = 0 OR s.fence <= m.fence)',
  /** MySQL has not been restored since the sale was read; minus one is a move that read none. */
  epoch: '(m.epoch = -1 OR s.epoch = m.epoch)',
};

/**
 * Makes stock moves, all or none, in one statement however many sales there are. Returns the stock after them, in the
 * order of the moves. Throws `StockConflict` if any was refused.
 */
export async function moveStock(tx: Tx, moves: StockMove[], guard: StockGuard = {}): Promise<StockLevel[]> {
  if (moves.length === 0) return [];
  const sorted = [...moves].sort((a, b) => (a.saleId < b.saleId ? -1 : 1));
  const row =
    'SELECT ? AS id, ? AS allotment, ? AS available, ? AS allocated, ? AS sold, ? AS waitlisted, ? AS epoch, ? AS fence';
  const values = sorted.flatMap((move) => [
    toBytes(move.saleId),
    move.allotment ?? 0,
    move.available ?? 0,
    move.allocated ?? 0,
    move.sold ?? 0,
    move.waitlisted ?? 0,
    guard.epochs?.get(move.saleId) ?? -1,
    guard.fences?.get(move.saleId) ?? 0,
  ]);
  const made = await tx.change(
    // The moves first, each with its row by key: an optimizer that began with a small table would hold all of its rows.
    `UPDATE (${sorted.map(() => row).join(' UNION ALL ')}) m STRAIGHT_JOIN sales s ON s.id = m.id
     SET s.allotment = s.allotment + m.allotment, s.available = s.available + m.available,
         s.allocated = s.allocated + m.allocated, s.sold = s.sold + m.sold,
         s.waitlisted = s.waitlisted + m.waitlisted,
         s.version = s.version + 1, s.fence = GREATEST(s.fence, m.fence)
     WHERE ${Object.values(moveGuards).join(' AND ')}`,
    values,
  );
  if (made !== sorted.length) throw new StockConflict(sorted.length, made);
  const levels = await readStock(
    tx,
    sorted.map((move) => move.saleId),
  );
  return moves.flatMap((move) => levels.get(move.saleId) ?? []);
}

/** The stock of sales as this connection sees it. */
export async function readStock(sql: Sql, saleIds: string[]): Promise<Map<string, StockLevel>> {
  if (saleIds.length === 0) return new Map();
  const rows = await sql.rows<Omit<StockLevel, 'saleId'> & { id: Buffer }>(
    `SELECT ${stockColumns} FROM sales WHERE id IN (?)`,
    [saleIds.map(toBytes)],
  );
  return new Map(
    rows.map(({ id, ...level }) => {
      const saleId = fromBytes(id);
      return [saleId, { saleId, ...level }];
    }),
  );
}

/** Appends movements to the ledger in one statement. A movement that is there already is an error: it happened once. */
export async function recordMovements(tx: Tx, movements: Movement[], nowMs: number): Promise<void> {
  if (movements.length > 0) await insertMovements(tx, movements, nowMs);
}

/** Not async, so that its rows live no longer than it takes to write them out. */
function insertMovements(tx: Tx, movements: Movement[], nowMs: number): Promise<number> {
  const saleLiteral = repeatedLiterals();
  const rows = movements.map((movement) => [
    toLiteral(movement.subjectId),
    movement.kind,
    saleLiteral(movement.saleId),
    movement.units,
    nowMs,
  ]);
  return tx.change('INSERT INTO ledger (subject_id, kind, sale_id, units, at_ms) VALUES ?', [rows]);
}
