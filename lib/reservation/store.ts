/**
 * The reservations of MySQL, as the allocate worker needs them: a fixed number of statements, however many messages and
 * sales a batch holds.
 */
import type { StockLevel } from '#events/catalogue.ts';
import { type RecordedEvent, recordEvents } from '#events/outbox.ts';
import { fromBytes, repeatedLiterals, toBytes, toLiteral } from '#platform/kernel/ids.ts';
import { type Db, isDuplicateKey, type Sql, type Tx } from '#platform/mysql/mysql.ts';
import type { Movement, SaleRow, StockGuard, StockMove } from '#sale/stock.ts';
import { lockSales, moveStock, readSales, readStock, recordMovements } from '#sale/stock.ts';
import { holdingStates, type ReservationState, waitingStates } from '#state/reservation-state.ts';
import type { Decision, Holding, Holdings } from './decide.ts';

/** A reservation's row. */
export interface ReservationRow {
  readonly reservationId: string;
  readonly saleId: string;
  readonly customerId: string;
  readonly ticket: number;
  readonly quantity: number;
  readonly atLeast: number;
  readonly state: ReservationState;
  readonly units: number;
  readonly reason: string | null;
  readonly deadlineMs: number | null;
  readonly purchaseId: string | null;
  readonly version: number;
  readonly acceptedAtMs: number;
  readonly decidedAtMs: number;
}

/** Thrown when somebody else has written what was not looked for, or since it was. */
export class AlreadyDecided extends Error {
  /** What there was: a reservation of the batch, or another reservation of one of its customers. */
  readonly what: 'reservation' | 'customer';

  constructor(what: 'reservation' | 'customer', cause: unknown) {
    super(`for a ${what} of this batch something was decided elsewhere`, { cause });
    this.name = 'AlreadyDecided';
    this.what = what;
  }
}

/** What the allocate worker does inside one transaction. */
export interface AllocationTx {
  /** The sales of a batch; with `hold`, nobody else can change their stock before this transaction ends. */
  sales(saleIds: string[], hold: boolean): Promise<Map<string, SaleRow>>;
  /** Those of the reservations that are decided already. */
  decided(reservationIds: string[]): Promise<Map<string, ReservationRow>>;
  /** What customers have in sales; those who have nothing there are left out. */
  held(saleIds: string[], customerIds: string[]): Promise<Holdings>;
  /** Writes decisions, with their waitlist places. Throws `AlreadyDecided` if one of them, or its number, is taken. */
  insert(decisions: Decision[]): Promise<void>;
  recordMovements(movements: Movement[], nowMs: number): Promise<void>;
  recordEvents(events: RecordedEvent[], nowMs: number): Promise<void>;
  /** Throws `StockConflict` if a move does not fit. */
  moveStock(moves: StockMove[], guard: StockGuard): Promise<StockLevel[]>;
  stock(saleIds: string[]): Promise<Map<string, StockLevel>>;
}

export interface AllocationStore {
  /** Runs `work` in one transaction; committed when it returns, undone when it throws. */
  transaction<T>(work: (tx: AllocationTx) => Promise<T>): Promise<T>;
}

/** The store over MySQL. */
export function allocationStore(db: Db): AllocationStore {
  return { transaction: (work) => db.transaction((tx) => work(allocationTx(tx))) };
}

/** The same verbs inside a transaction that somebody else has opened. */
export function allocationTx(tx: Tx): AllocationTx {
  return {
    sales: (saleIds, hold) => (hold ? lockSales(tx, saleIds) : readSales(tx, saleIds)),
    decided: (reservationIds) => readReservations(tx, reservationIds),
    held: (saleIds, customerIds) => readHeld(tx, saleIds, customerIds),
    insert: (decisions) => insertDecisions(tx, decisions),
    recordMovements: (movements, nowMs) => recordMovements(tx, movements, nowMs),
    recordEvents: (events, nowMs) => recordEvents(tx, events, nowMs),
    moveStock: (moves, guard) => moveStock(tx, moves, guard),
    stock: (saleIds) => readStock(tx, saleIds),
  };
}

export const reservationColumns = `id, sale_id AS saleId, customer_id AS customerId, ticket, quantity,
  at_least AS atLeast, state, units, reason, deadline_ms AS deadlineMs, purchase_id AS purchaseId, version,
  accepted_at_ms AS acceptedAtMs, decided_at_ms AS decidedAtMs`;

/** A row as the driver gives it: ids are bytes. */
export interface StoredReservation
  extends Omit<ReservationRow, 'reservationId' | 'saleId' | 'customerId' | 'purchaseId'> {
  readonly id: Buffer;
  readonly saleId: Buffer;
  readonly customerId: Buffer;
  readonly purchaseId: Buffer | null;
}

/** Turns a stored row into the one that code works with. */
export function toReservation({ id, saleId, customerId, purchaseId, ...row }: StoredReservation): ReservationRow {
  return {
    ...row,
    reservationId: fromBytes(id),
    saleId: fromBytes(saleId),
    customerId: fromBytes(customerId),
    purchaseId: purchaseId === null ? null : fromBytes(purchaseId),
  };
}

/** Reads reservations by id. */
export async function readReservations(sql: Sql, reservationIds: string[]): Promise<Map<string, ReservationRow>> {
  if (reservationIds.length === 0) return new Map();
  const rows = await sql.rows<StoredReservation>(
    `SELECT ${reservationColumns} FROM reservations FORCE INDEX (PRIMARY) WHERE id IN (?)`,
    [reservationIds.map(toBytes)],
  );
  return new Map(rows.map((row) => [fromBytes(row.id), toReservation(row)]));
}

/**
 * What customers have, per sale. The index is named because the optimizer would rather read a table of a hundred thousand
 * rows than look up five hundred customers, which costs ten times as much.
 */
async function readHeld(tx: Tx, saleIds: string[], customerIds: string[]): Promise<Holdings> {
  if (customerIds.length === 0 || saleIds.length === 0) return new Map();
  const rows = await tx.rows<{ saleId: Buffer; customerId: Buffer; units: string; reservations: number }>(
    `SELECT sale_id AS saleId, customer_id AS customerId, COUNT(*) AS reservations,
       SUM(IF(state IN (?), units, IF(state IN (?), quantity, 0))) AS units
     FROM reservations FORCE INDEX (reservations_nth)
     WHERE customer_id IN (?) AND sale_id IN (?)
     GROUP BY sale_id, customer_id`,
    [holdingStates, waitingStates, customerIds.map(toLiteral), saleIds.map(toLiteral)],
  );
  const held = new Map<string, Map<string, Holding>>();
  for (const { saleId, customerId, units, reservations } of rows) {
    const ofSale = held.get(fromBytes(saleId)) ?? new Map<string, Holding>();
    held.set(fromBytes(saleId), ofSale);
    ofSale.set(fromBytes(customerId), { units: Number(units), reservations: Number(reservations) });
  }
  return held;
}

/** Writes decisions, with their waitlist places. Throws `AlreadyDecided` if one of them, or its number, is taken. */
export async function insertDecisions(tx: Tx, decisions: Decision[]): Promise<void> {
  if (decisions.length === 0) return;
  try {
    await insertReservations(tx, decisions);
  } catch (error) {
    if (isDuplicateKey(error, 'reservations_nth')) throw new AlreadyDecided('customer', error);
    if (isDuplicateKey(error)) throw new AlreadyDecided('reservation', error);
    throw error;
  }
  const waiting = decisions.filter((decision) => decision.state === 'waitlisted');
  if (waiting.length === 0) return;
  await tx.change('INSERT INTO waitlist (sale_id, ticket, reservation_id) VALUES ?', [
    waiting.map(({ saleId, ticket, reservationId }) => [toLiteral(saleId), ticket, toLiteral(reservationId)]),
  ]);
}

/** Not async, so that its rows live no longer than it takes to write them out. */
function insertReservations(tx: Tx, decisions: Decision[]): Promise<number> {
  const saleLiteral = repeatedLiterals();
  const rows = decisions.map((decision) => [
    toLiteral(decision.reservationId),
    saleLiteral(decision.saleId),
    toLiteral(decision.customerId),
    decision.nth,
    decision.ticket,
    decision.quantity,
    decision.atLeast,
    decision.state,
    decision.units,
    decision.reason,
    decision.version,
    decision.acceptedAtMs,
    decision.decidedAtMs,
  ]);
  return tx.change(
    `INSERT INTO reservations (id, sale_id, customer_id, nth, ticket, quantity, at_least, state, units, reason,
       version, accepted_at_ms, decided_at_ms) VALUES ?`,
    [rows],
  );
}
