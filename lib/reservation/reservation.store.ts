/**
 * The store of reservations: the only code that writes `reservations` and `waitlist`.
 *
 * Every statement that moves a reservation repeats in its WHERE the states from which the move is legal, and throws if
 * fewer rows moved than were read, so of several concurrent moves only one succeeds (invariant I3). Locks are taken in one
 * order everywhere, to avoid deadlocks: sales by id, then purchases, then reservations.
 */
import type { MirroredReservation } from '#mirror/claims.ts';
import type { Code } from '#platform/kernel/errors.ts';
import {
  type ApiKeyId,
  type CustomerId,
  fromBytes,
  type PurchaseId,
  type ReservationId,
  type SaleId,
  toBytes,
} from '#platform/kernel/ids.ts';
import { insertRows, type Value } from '#platform/mysql/insert-rows.ts';
import { isDuplicateKey, type Sql, type Tx } from '#platform/mysql/mysql.ts';
import type { SaleRow } from '#sale/sale.store.ts';
import { deadlineAtMs, shownDeadlineMs, toSaleTime } from '#sale/sale-clock.ts';
import { type ReservationState, reservationStates, statesBefore, statesCounting } from '#state/reservation-state.ts';
import { idsOfSale } from './reservation-id.ts';

/** A reservation's row. */
export interface ReservationRow extends MirroredReservation {
  /** Code of the refusal, or why it was released; null otherwise. */
  readonly reason: string | null;
  /** Until when its units can be bought, in the sale's own time (`sale-clock.ts`); null if only the close ends it. */
  readonly deadlineMs: number | null;
  /** The purchase that is paying for it, or has. */
  readonly purchaseId: PurchaseId | null;
  readonly acceptedAtMs: number;
  readonly decidedAtMs: number;
  /** The reservation that it was split from at first; null for a requested one. */
  readonly partOf: ReservationId | null;
  /** What was requested, if it has been reduced since; otherwise null. */
  readonly askedQuantity: number | null;
  readonly askedAtLeast: number | null;
}

/** A row that is as it was requested. */
export const asRequested = { partOf: null, askedQuantity: null, askedAtLeast: null } as const;

/** The first row of a reservation. */
export interface DecidedReservation extends ReservationRow {
  readonly state: 'allocated' | 'waitlisted' | 'rejected' | 'cancelled';
  readonly reason: Code | null;
  /** How many reservations the customer had in this sale before it. */
  readonly nth: number;
  /** The API key that asked for it; undefined if its customer did. */
  readonly keyId?: ApiKeyId | undefined;
}

/** What a customer has in a sale. */
export interface Holding {
  /** Units that count against the cap: set aside, bought, or waited for. */
  readonly units: number;
  /** The number of reservations in any state, without parts: the next one gets this number. */
  readonly reservations: number;
}

/** What customers have, by sale and then by customer; a missing customer has nothing. */
export type Holdings = ReadonlyMap<SaleId, ReadonlyMap<CustomerId, Holding>>;

/** A reservation on the waitlist. */
export type Waiting = Omit<MirroredReservation, 'state' | 'units'>;

/** Units offered to a reservation on the waitlist. */
export interface Offer {
  readonly waiting: Waiting;
  readonly units: number;
  /** Until when they can be bought, by the wall clock; the customer is told this. */
  readonly deadlineMs: number;
  /** The same in the sale's own time, not cut short by the close; this is stored. */
  readonly storedDeadlineMs: number;
}

/** Thrown when a reservation of a batch, or another one of its customers, was decided elsewhere in the meantime. */
export class AlreadyDecided extends Error {
  readonly what: 'reservation' | 'customer';

  constructor(what: 'reservation' | 'customer', cause?: unknown) {
    super(`a ${what} of this batch was decided elsewhere`, { cause });
    this.name = 'AlreadyDecided';
    this.what = what;
  }
}

/** Thrown when fewer rows moved than were read: the transaction is rolled back, and the next attempt reads again. */
export class MovedElsewhere extends Error {
  constructor(wanted: number, moved: number) {
    super(`${wanted - moved} of ${wanted} reservations had moved already`);
    this.name = 'MovedElsewhere';
  }
}

const reservationColumns = `id, sale_id AS saleId, customer_id AS customerId, ticket, quantity,
  at_least AS atLeast, state, units, reason, deadline_ms AS deadlineMs, purchase_id AS purchaseId, version,
  accepted_at_ms AS acceptedAtMs, decided_at_ms AS decidedAtMs, part_of AS partOf, asked_quantity AS askedQuantity,
  asked_at_least AS askedAtLeast`;

/** What must hold for a reservation to end, as SQL, beside its state. */
export const endGuards = {
  /** No purchase is paying for it: capture and expiry compete for its row. */
  notBeingPaid: 'purchase_id IS NULL',
};

/** What must hold for a reservation to be bound to a purchase, as SQL. */
export const bindGuards = {
  allocated: "state = 'allocated'",
  /** One purchase at a time pays for it. */
  free: 'purchase_id IS NULL',
};

/** A row as the driver gives it: ids are bytes. */
interface StoredReservation
  extends Omit<ReservationRow, 'reservationId' | 'saleId' | 'customerId' | 'purchaseId' | 'partOf'> {
  readonly id: Buffer;
  readonly saleId: Buffer;
  readonly customerId: Buffer;
  readonly purchaseId: Buffer | null;
  readonly partOf: Buffer | null;
}

function toReservation({ id, saleId, customerId, purchaseId, partOf, ...row }: StoredReservation): ReservationRow {
  return {
    ...row,
    reservationId: fromBytes(id),
    saleId: fromBytes(saleId),
    customerId: fromBytes(customerId),
    purchaseId: purchaseId === null ? null : fromBytes(purchaseId),
    partOf: partOf === null ? null : fromBytes(partOf),
  };
}

// Reading

/** Those of the reservations that have been decided, by id. */
export async function readReservations(
  sql: Sql,
  reservationIds: ReservationId[],
): Promise<Map<ReservationId, ReservationRow>> {
  if (reservationIds.length === 0) return new Map();
  const rows = await sql.rows<StoredReservation>(
    `SELECT ${reservationColumns} FROM reservations FORCE INDEX (PRIMARY) WHERE id IN (?)`,
    [reservationIds.map(toBytes)],
  );
  return new Map(rows.map((row) => [fromBytes(row.id), toReservation(row)]));
}

/** A reservation with what its owner sees beside the row. */
export interface OwnReservation extends ReservationRow {
  /** Until when its units can be bought, as it is shown (`shownDeadlineMs`); null if its sale is unknown. */
  readonly endsAtMs: number | null;
}

const ownReservation = `SELECT r.id, r.sale_id AS saleId, r.customer_id AS customerId, r.ticket, r.quantity,
  r.at_least AS atLeast, r.state, r.units, r.reason, r.deadline_ms AS deadlineMs,
  r.purchase_id AS purchaseId, r.version, r.accepted_at_ms AS acceptedAtMs, r.decided_at_ms AS decidedAtMs,
  r.part_of AS partOf, r.asked_quantity AS askedQuantity, r.asked_at_least AS askedAtLeast,
  s.clock_offset_ms AS clockOffsetMs, s.purchase_closes_at_ms AS purchaseClosesAtMs, s.status AS saleStatus,
  s.paused_at_ms AS pausedAtMs
  FROM reservations r LEFT JOIN sales s ON s.id = r.sale_id`;

interface StoredOwn extends StoredReservation {
  readonly clockOffsetMs: number | null;
  readonly purchaseClosesAtMs: number | null;
  readonly saleStatus: SaleRow['status'] | null;
  readonly pausedAtMs: number | null;
}

function toOwn(stored: StoredOwn, nowMs: number): OwnReservation {
  const { clockOffsetMs, purchaseClosesAtMs, saleStatus, pausedAtMs, ...row } = stored;
  const isKnown = clockOffsetMs !== null && purchaseClosesAtMs !== null && saleStatus !== null;
  const endsAtMs = isKnown
    ? shownDeadlineMs({ clockOffsetMs, purchaseClosesAtMs, status: saleStatus, pausedAtMs }, row.deadlineMs, nowMs)
    : null;
  return { ...toReservation(row), endsAtMs };
}

/** A reservation of this customer, as it is shown now. */
export async function readOwnReservation(
  sql: Sql,
  reservationId: ReservationId,
  customerId: CustomerId,
  nowMs: number,
): Promise<OwnReservation | undefined> {
  const [row] = await sql.rows<StoredOwn>(`${ownReservation} WHERE r.id = ? AND r.customer_id = ?`, [
    toBytes(reservationId),
    toBytes(customerId),
  ]);
  return row && toOwn(row, nowMs);
}

/**
 * Reservations of this customer after the position `after`, the latest ticket first, as they are shown now.
 */
export async function listOwnReservations(
  sql: Sql,
  customerId: CustomerId,
  after: readonly [ticket: number, reservationId: ReservationId] | undefined,
  limit: number,
  nowMs: number,
): Promise<OwnReservation[]> {
  const rows = await sql.rows<StoredOwn>(
    `${ownReservation} WHERE r.customer_id = ? ${after ? 'AND (r.ticket, r.id) < (?, ?)' : ''}
     ORDER BY r.ticket DESC, r.id DESC LIMIT ?`,
    [toBytes(customerId), ...(after ? [after[0], toBytes(after[1])] : []), limit],
  );
  return rows.map((row) => toOwn(row, nowMs));
}

/** Up to which place those who wait are counted: a question must not cost the more, the longer the line is. */
export const placesCounted = 1_000;

/** The place on the waitlist of a reservation that waits, from 1; null beyond `placesCounted`. */
export async function countPlace(
  sql: Sql,
  { saleId, ticket }: Pick<ReservationRow, 'saleId' | 'ticket'>,
): Promise<number | null> {
  const [row] = await sql.rows<{ earlier: number }>(
    `SELECT COUNT(*) AS earlier FROM
       (SELECT 1 FROM waitlist WHERE sale_id = ? AND deadline_ms IS NULL AND ticket < ? LIMIT ?) AS line`,
    [toBytes(saleId), ticket, placesCounted],
  );
  const earlier = Number(row?.earlier);
  return earlier < placesCounted ? earlier + 1 : null;
}

/**
 * What customers have, per sale. The index is named because the optimizer would scan a table of a hundred thousand rows
 * rather than look up five hundred customers, which takes ten times as long.
 */
export async function readHoldings(sql: Sql, saleIds: SaleId[], customerIds: CustomerId[]): Promise<Holdings> {
  if (customerIds.length === 0 || saleIds.length === 0) return new Map();
  const rows = await sql.rows<{ saleId: Buffer; customerId: Buffer; units: string; latest: number }>(
    `SELECT sale_id AS saleId, customer_id AS customerId, MAX(nth) AS latest,
       SUM(IF(state IN (?), units, IF(state IN (?), quantity, 0))) AS units
     FROM reservations FORCE INDEX (reservations_nth)
     WHERE customer_id IN (?) AND sale_id IN (?)
     GROUP BY sale_id, customer_id`,
    [statesCounting('units'), statesCounting('quantity'), customerIds.map(toBytes), saleIds.map(toBytes)],
  );
  const holdings = new Map<SaleId, Map<CustomerId, Holding>>();
  for (const { saleId, customerId, units, latest } of rows) {
    const ofSale = holdings.get(fromBytes(saleId)) ?? new Map<CustomerId, Holding>();
    holdings.set(fromBytes(saleId), ofSale);
    ofSale.set(fromBytes(customerId), { units: Number(units), reservations: Number(latest) + 1 });
  }
  return holdings;
}

/** Whether anybody has ever reserved in a sale, whatever became of it. */
export async function hasReservations(sql: Sql, saleId: SaleId): Promise<boolean> {
  const { after, last } = idsOfSale(saleId);
  const rows = await sql.rows('SELECT 1 FROM reservations WHERE id > ? AND id <= ? AND sale_id = ? LIMIT 1', [
    after,
    last,
    toBytes(saleId),
  ]);
  return rows.length > 0;
}

/** How many reservations of a sale are in each state. */
export async function countByState(sql: Sql, saleId: SaleId): Promise<Record<ReservationState, number>> {
  const { after, last } = idsOfSale(saleId);
  const rows = await sql.rows<{ state: ReservationState; count: number }>(
    'SELECT state, COUNT(*) AS count FROM reservations WHERE id > ? AND id <= ? AND sale_id = ? GROUP BY state',
    [after, last, toBytes(saleId)],
  );
  const counts = new Map(rows.map((row) => [row.state, Number(row.count)]));
  return Object.fromEntries(reservationStates.map((state) => [state, counts.get(state) ?? 0])) as Record<
    ReservationState,
    number
  >;
}

/** How many reservations of a sale a move of its times concerns. */
export interface Concerned {
  /** Those that hold units which are not bought yet. */
  readonly holding: number;
  /** Those of them that have a deadline of their own. */
  readonly offered: number;
  readonly waiting: number;
  /** Those that hold units and would have less time than before. */
  readonly shortened: number;
}

/** Counts whom a move of the sale's times from `before` to `after` concerns. Reads the whole sale once. */
export async function countConcerned(
  sql: Sql,
  saleId: SaleId,
  before: Pick<SaleRow, 'clockOffsetMs' | 'purchaseClosesAtMs'>,
  after: Pick<SaleRow, 'clockOffsetMs' | 'purchaseClosesAtMs'>,
): Promise<Concerned> {
  const { after: first, last } = idsOfSale(saleId);
  const ends = 'IF(deadline_ms IS NULL OR deadline_ms + ? > ?, ?, deadline_ms + ?)';
  const endOf = ({ clockOffsetMs, purchaseClosesAtMs }: typeof before) => [
    clockOffsetMs,
    purchaseClosesAtMs,
    purchaseClosesAtMs,
    clockOffsetMs,
  ];
  const rows = await sql.rows<{ state: ReservationState; count: number; offered: number; shortened: number }>(
    `SELECT state, COUNT(*) AS count, SUM(IF(deadline_ms IS NULL, 0, 1)) AS offered,
       SUM(IF(${ends} < ${ends}, 1, 0)) AS shortened
     FROM reservations WHERE id > ? AND id <= ? AND sale_id = ? AND state IN ('allocated', 'waitlisted') GROUP BY state`,
    [...endOf(after), ...endOf(before), first, last, toBytes(saleId)],
  );
  const [held, waiting] = (['allocated', 'waitlisted'] as const).map((state) =>
    rows.find((row) => row.state === state),
  );
  return {
    holding: Number(held?.count ?? 0),
    offered: Number(held?.offered ?? 0),
    waiting: Number(waiting?.count ?? 0),
    shortened: Number(held?.shortened ?? 0),
  };
}

/**
 * Reservations of a sale in any state, in the order of their ids, starting after `afterId`. It reads no other rows, so its
 * cost does not depend on the size of the sale.
 */
export async function readPage(
  sql: Sql,
  saleId: SaleId,
  afterId: ReservationId | undefined,
  limit: number,
): Promise<ReservationRow[]> {
  const { after, last } = idsOfSale(saleId);
  const rows = await sql.rows<StoredReservation>(
    `SELECT ${reservationColumns} FROM reservations WHERE id > ? AND id <= ? AND sale_id = ? ORDER BY id LIMIT ?`,
    [afterId === undefined ? after : toBytes(afterId), last, toBytes(saleId), limit],
  );
  return rows.map(toReservation);
}

/** How many ends of offers are read at a time, and within what time of the last of them others count as ending with it. */
const endsPerRead = 100;
const endsTogetherMs = 1_000;

/**
 * When offers of a sale end by the wall clock, from one time to another, both included. Of very many, only some: each end
 * that is left out has a time here less than a second after it. The number of reads is bounded by that of the seconds.
 */
export async function readOfferDeadlines(
  sql: Sql,
  sale: Pick<SaleRow, 'saleId' | 'clockOffsetMs' | 'purchaseClosesAtMs'>,
  fromMs: number,
  toMs: number,
): Promise<number[]> {
  const lastMs = toSaleTime(sale, toMs);
  const endsMs: number[] = [];
  for (let nextMs = toSaleTime(sale, fromMs); nextMs <= lastMs; ) {
    const rows = await sql.rows<{ deadlineMs: number }>(
      `SELECT DISTINCT deadline_ms AS deadlineMs FROM waitlist WHERE sale_id = ? AND deadline_ms >= ? AND deadline_ms <= ?
       ORDER BY deadline_ms LIMIT ${endsPerRead}`,
      [toBytes(sale.saleId), nextMs, lastMs],
    );
    endsMs.push(...rows.map(({ deadlineMs }) => deadlineMs));
    const reachedMs = rows.at(-1)?.deadlineMs;
    if (reachedMs === undefined || rows.length < endsPerRead) break;
    nextMs = reachedMs + endsTogetherMs;
    endsMs.push(Math.min(nextMs - 1, lastMs));
  }
  return endsMs.map((endMs) => deadlineAtMs(sale, endMs));
}

/** How many sales are looked for in one statement, and how many rows it finds at most. */
const salesPerLook = 100;
const deadlinesPerLook = 1_000;

/**
 * Those of these sales in which somebody's deadline is not after `untilMs`, in the sale's own time. Among sales with very many
 * such deadlines it may name one that has none; it leaves out none that has one.
 */
export async function findSalesWithDeadlines(
  sql: Sql,
  sales: readonly { readonly saleId: SaleId; readonly untilMs: number }[],
): Promise<Set<SaleId>> {
  const found = new Set<SaleId>();
  for (let start = 0; start < sales.length; start += salesPerLook) {
    const some = sales.slice(start, start + salesPerLook);
    // Those who wait have no deadline, and come first in the index.
    const ofSale = '(sale_id = ? AND deadline_ms >= 0 AND deadline_ms <= ?)';
    const rows = await sql.rows<{ saleId: Buffer }>(
      `SELECT sale_id AS saleId FROM waitlist WHERE ${some.map(() => ofSale).join(' OR ')} LIMIT ?`,
      [...some.flatMap(({ saleId, untilMs }) => [toBytes(saleId), untilMs]), deadlinesPerLook],
    );
    const isCut = rows.length === deadlinesPerLook;
    const named: SaleId[] = isCut ? some.map(({ saleId }) => saleId) : rows.map(({ saleId }) => fromBytes(saleId));
    for (const saleId of named) found.add(saleId);
  }
  return found;
}

/** A position among the deadlines of a sale, in their order. */
export interface DuePlace extends Pick<Waiting, 'atLeast' | 'ticket' | 'reservationId'> {
  /** In the sale's own time. */
  readonly deadlineMs: number;
}

/** A holder of units with a deadline. */
export interface Due extends DuePlace, Pick<ReservationRow, 'customerId' | 'units' | 'version'> {}

/** The largest value of an INT column. */
const largestInt = 2_147_483_647;

/** The position after all reservations with this deadline, in the sale's own time. */
export function endOfDeadline(deadlineMs: number): DuePlace {
  const reservationId: ReservationId = fromBytes(Buffer.alloc(16, 0xff));
  return { deadlineMs, atLeast: largestInt, ticket: Number.MAX_SAFE_INTEGER, reservationId };
}

/** Holders with a deadline of their own and no purchase under way, after a position and up to a deadline, in order. */
export async function readDue(
  tx: Tx,
  saleId: SaleId,
  { deadlineMs, atLeast, ticket, reservationId }: DuePlace,
  untilMs: number,
  limit: number,
): Promise<Due[]> {
  const rows = await tx.rows<Omit<Due, 'reservationId' | 'customerId'> & { id: Buffer; customerId: Buffer }>(
    `SELECT r.id, r.customer_id AS customerId, r.units, r.version, w.deadline_ms AS deadlineMs, w.at_least AS atLeast,
       w.ticket
     FROM waitlist w JOIN reservations r ON r.id = w.reservation_id
     WHERE w.sale_id = ? AND w.deadline_ms <= ?
       AND (w.deadline_ms > ? OR (w.deadline_ms = ? AND w.at_least > ?)
         OR (w.deadline_ms = ? AND w.at_least = ? AND w.ticket > ?)
         OR (w.deadline_ms = ? AND w.at_least = ? AND w.ticket = ? AND w.reservation_id > ?))
       AND r.state = 'allocated' AND r.purchase_id IS NULL
     ORDER BY w.deadline_ms, w.at_least, w.ticket, w.reservation_id LIMIT ?`,
    [
      ...[toBytes(saleId), untilMs, deadlineMs, deadlineMs, atLeast, deadlineMs, atLeast, ticket],
      ...[deadlineMs, atLeast, ticket, toBytes(reservationId), limit],
    ],
  );
  return rows.map(({ id, customerId, ...row }) => ({
    ...row,
    reservationId: fromBytes(id),
    customerId: fromBytes(customerId),
  }));
}

/**
 * Reservations whose offer, or time to pay, ended by `nowMs` and that no purchase is paying for, the earliest end first.
 * Read before the sale is locked, since it must skip those that are being paid for, however many they are.
 */
export async function readEndedOffers(
  sql: Sql,
  sale: Pick<SaleRow, 'saleId' | 'clockOffsetMs'>,
  nowMs: number,
  limit: number,
): Promise<ReservationId[]> {
  const rows = await sql.rows<{ id: Buffer }>(
    `SELECT r.id FROM waitlist w FORCE INDEX (waitlist_line) STRAIGHT_JOIN reservations r ON r.id = w.reservation_id
     WHERE w.sale_id = ? AND w.deadline_ms <= ? AND r.state = 'allocated' AND ${endGuards.notBeingPaid}
     ORDER BY w.deadline_ms, w.at_least, w.ticket, w.reservation_id LIMIT ?`,
    [toBytes(sale.saleId), toSaleTime(sale, nowMs), limit],
  );
  return rows.map(({ id }) => fromBytes(id));
}

// Locking rows until the transaction ends

/**
 * Those of the reservations that have been decided, by id. Waits for transactions that have inserted one of them and are not
 * committed yet, and then includes it. The allocate worker locks them before the sale, against the order above: a transaction
 * that ends one of them at this moment may deadlock with it, and the transaction that the server picks is repeated.
 */
export async function lockDecided(
  tx: Tx,
  reservationIds: readonly ReservationId[],
): Promise<Map<ReservationId, ReservationRow>> {
  if (reservationIds.length === 0) return new Map();
  const rows = await tx.rows<StoredReservation>(
    `SELECT ${reservationColumns} FROM reservations FORCE INDEX (PRIMARY) WHERE id IN (?) ORDER BY id FOR UPDATE`,
    [reservationIds.map(toBytes)],
  );
  return new Map(rows.map((row) => [fromBytes(row.id), toReservation(row)]));
}

/** Reservations in the order of their ids; with an owner, only this customer's. */
export async function lockReservations(
  tx: Tx,
  reservationIds: readonly ReservationId[],
  customerId?: CustomerId,
): Promise<ReservationRow[]> {
  if (reservationIds.length === 0) return [];
  const owner = customerId === undefined ? [] : [toBytes(customerId)];
  return lock(tx, `id IN (?) ${owner.length > 0 ? 'AND customer_id = ?' : ''} ORDER BY id`, [
    reservationIds.map(toBytes),
    ...owner,
  ]);
}

/** Those of the reservations that hold units or wait, and that no purchase is paying for, in the order of their ids. */
export function lockOpen(tx: Tx, reservationIds: readonly ReservationId[]): Promise<ReservationRow[]> {
  return lock(tx, `id IN (?) AND state IN (?) AND ${endGuards.notBeingPaid} ORDER BY id`, [
    reservationIds.map(toBytes),
    ['allocated', 'waitlisted'],
  ]);
}

/** Those of the reservations whose offer, or time to pay, ended by `nowMs` and that no purchase is paying for. */
export async function lockEndedOffers(
  tx: Tx,
  sale: Pick<SaleRow, 'clockOffsetMs'>,
  nowMs: number,
  reservationIds: readonly ReservationId[],
): Promise<ReservationRow[]> {
  if (reservationIds.length === 0) return [];
  return lock(tx, `id IN (?) AND deadline_ms <= ? AND state = 'allocated' AND ${endGuards.notBeingPaid} ORDER BY id`, [
    reservationIds.map(toBytes),
    toSaleTime(sale, nowMs),
  ]);
}

async function lock(tx: Tx, where: string, values: unknown[]): Promise<ReservationRow[]> {
  const rows = await tx.rows<StoredReservation>(
    `SELECT ${reservationColumns} FROM reservations WHERE ${where} FOR UPDATE`,
    values,
  );
  return rows.map(toReservation);
}

/** A part of the line. */
export interface PartOfLine {
  /** Those who would take so many units, or fewer. */
  readonly atLeastUpTo: number;
  /** Those after this position. */
  readonly behind: Pick<Waiting, 'ticket' | 'reservationId'> | undefined;
}

/** Those who wait in a part of the line, in ticket order. The sale must be locked. */
export async function readWaiting(
  sql: Pick<Sql, 'rows'>,
  saleId: SaleId,
  limit: number,
  part: PartOfLine,
): Promise<Waiting[]> {
  // The waitlist's own column may be too low; it only avoids reading the other rows.
  return selectWaiting(sql, saleId, 'waitlist_order', { sql: 'w.at_least <= ?', value: part.atLeastUpTo }, limit, part);
}

/** Of more different minimums than that, each is not looked up by itself. */
const mostMinimums = 32;

/**
 * Those whom so few units can serve in turn, in ticket order, without going over those who need more, however many wait before
 * them. Of one minimum, no more are read than the units could serve, since each takes that many, nor more than `limit`: if not all
 * of these are served, too little is left for the rest. So nobody else is among the first `limit` that are served. Undefined
 * if they are not found like that: there are too many minimums, or the waitlist's own column is too low. The sale must be locked.
 */
export async function readFitting(
  sql: Pick<Sql, 'rows'>,
  saleId: SaleId,
  units: number,
  limit: number,
  behind: PartOfLine['behind'],
): Promise<Waiting[] | undefined> {
  const waiting: Waiting[] = [];
  let minimum = await nextMinimum(sql, saleId, 0, units);
  for (let count = 0; minimum !== undefined; count++) {
    if (count === mostMinimums) return undefined;
    const only = { sql: 'w.at_least = ?', value: minimum };
    const most = Math.min(Math.floor(units / minimum), limit);
    const rows = await selectWaiting(sql, saleId, 'waitlist_line', only, most, { atLeastUpTo: units, behind });
    if (rows.some((row) => row.atLeast !== minimum)) return undefined;
    waiting.push(...rows);
    minimum = await nextMinimum(sql, saleId, minimum, units);
  }
  return waiting.sort(byPlace);
}

/** The order of the line. */
export function byPlace(
  one: Pick<Waiting, 'ticket' | 'reservationId'>,
  other: Pick<Waiting, 'ticket' | 'reservationId'>,
): number {
  return one.ticket - other.ticket || (one.reservationId < other.reservationId ? -1 : 1);
}

/** The lowest minimum of those who wait that is above one and not above the other; undefined if there is none. */
async function nextMinimum(
  sql: Pick<Sql, 'rows'>,
  saleId: SaleId,
  above: number,
  upTo: number,
): Promise<number | undefined> {
  const [row] = await sql.rows<{ atLeast: number }>(
    `SELECT w.at_least AS atLeast FROM waitlist w FORCE INDEX (waitlist_line)
     WHERE w.sale_id = ? AND w.deadline_ms IS NULL AND w.at_least > ? AND w.at_least <= ?
     ORDER BY w.at_least LIMIT 1`,
    [toBytes(saleId), above, upTo],
  );
  return row?.atLeast;
}

async function selectWaiting(
  sql: Pick<Sql, 'rows'>,
  saleId: SaleId,
  index: 'waitlist_order' | 'waitlist_line',
  minimum: { readonly sql: string; readonly value: number },
  limit: number,
  { atLeastUpTo, behind }: PartOfLine,
): Promise<Waiting[]> {
  const later = behind ? 'AND w.ticket >= ? AND (w.ticket > ? OR w.reservation_id > ?)' : '';
  const laterThan = behind ? [behind.ticket, behind.ticket, toBytes(behind.reservationId)] : [];
  const rows = await sql.rows<
    Omit<Waiting, 'reservationId' | 'customerId' | 'saleId'> & { id: Buffer; customerId: Buffer }
  >(
    `SELECT r.id, r.customer_id AS customerId, r.ticket, r.quantity, r.at_least AS atLeast, r.reason, r.version,
       r.accepted_at_ms AS acceptedAtMs, r.decided_at_ms AS decidedAtMs
     FROM waitlist w FORCE INDEX (${index}) STRAIGHT_JOIN reservations r ON r.id = w.reservation_id
     WHERE w.sale_id = ? AND w.deadline_ms IS NULL AND ${minimum.sql}
       AND r.state = 'waitlisted' AND r.at_least <= ? ${later}
     ORDER BY w.ticket, w.reservation_id LIMIT ?`,
    [toBytes(saleId), minimum.value, atLeastUpTo, ...laterThan, limit],
  );
  return rows.map(({ id, customerId, ...row }) => ({
    ...row,
    saleId,
    reservationId: fromBytes(id),
    customerId: fromBytes(customerId),
  }));
}

/** A waiter, with their place. */
export interface Placed extends Pick<ReservationRow, 'reservationId' | 'customerId' | 'ticket' | 'units' | 'version'> {
  readonly decidedAtMs: number;
  /** Their place on the waitlist, from 1, as their owner reads it. */
  readonly position: number;
}

/**
 * Those who wait behind a place in the line, in ticket order, with their positions. `ahead` is how many wait up to that place, if
 * that is known: to count them costs as much as the line is long.
 */
export async function readPlaces(
  sql: Sql,
  saleId: SaleId,
  { ticket, reservationId }: Pick<Waiting, 'ticket' | 'reservationId'>,
  limit: number,
  ahead?: number,
): Promise<Placed[]> {
  const rows = await sql.rows<
    Omit<Placed, 'reservationId' | 'customerId' | 'position'> & { id: Buffer; owner: Buffer }
  >(
    `SELECT r.id, r.customer_id AS owner, r.ticket, r.units, r.version, r.decided_at_ms AS decidedAtMs
     FROM waitlist w FORCE INDEX (waitlist_order) STRAIGHT_JOIN reservations r ON r.id = w.reservation_id
     WHERE w.sale_id = ? AND w.deadline_ms IS NULL AND r.state = 'waitlisted'
       AND w.ticket >= ? AND (w.ticket > ? OR w.reservation_id > ?)
     ORDER BY w.ticket, w.reservation_id LIMIT ?`,
    [toBytes(saleId), ticket, ticket, toBytes(reservationId), limit],
  );
  const [first] = rows;
  if (!first) return [];
  // Those with the same ticket share a place.
  const before = ahead !== undefined && first.ticket > ticket ? ahead : await countBefore(sql, saleId, first.ticket);
  let position = 0;
  return rows.map(({ id, owner, ...row }, index) => {
    if (row.ticket !== rows[index - 1]?.ticket) position = before + index + 1;
    return { ...row, position, reservationId: fromBytes(id), customerId: fromBytes(owner) };
  });
}

/** Whether so many wait before a ticket that to count them would hold a locked sale for long. */
export async function isFarBack(sql: Pick<Sql, 'rows'>, saleId: SaleId, ticket: number): Promise<boolean> {
  const before = await sql.rows<{ ticket: number }>(
    `SELECT w.ticket FROM waitlist w FORCE INDEX (waitlist_order)
     WHERE w.sale_id = ? AND w.deadline_ms IS NULL AND w.ticket < ? LIMIT ?`,
    [toBytes(saleId), ticket, placesCounted],
  );
  return before.length === placesCounted;
}

async function countBefore(sql: Sql, saleId: SaleId, ticket: number): Promise<number> {
  const [row] = await sql.rows<{ count: number }>(
    'SELECT COUNT(*) AS count FROM waitlist w WHERE w.sale_id = ? AND w.deadline_ms IS NULL AND w.ticket < ?',
    [toBytes(saleId), ticket],
  );
  return Number(row?.count);
}

/** Those who wait before a place in the line, the last of them first; without a reservation, before a ticket. */
export async function readLineFromEnd(
  sql: Sql,
  saleId: SaleId,
  { ticket, reservationId }: { readonly ticket: number; readonly reservationId: ReservationId | null },
  limit: number,
): Promise<Pick<ReservationRow, 'reservationId' | 'customerId' | 'ticket'>[]> {
  const rows = await sql.rows<{ id: Buffer; owner: Buffer; ticket: number }>(
    `SELECT r.id, r.customer_id AS owner, r.ticket
     FROM waitlist w FORCE INDEX (waitlist_order) STRAIGHT_JOIN reservations r ON r.id = w.reservation_id
     WHERE w.sale_id = ? AND w.deadline_ms IS NULL AND r.state = 'waitlisted'
       AND w.ticket <= ? AND (w.ticket < ? OR w.reservation_id < ?)
     ORDER BY w.ticket DESC, w.reservation_id DESC LIMIT ?`,
    [toBytes(saleId), ticket, ticket, reservationId === null ? Buffer.alloc(0) : toBytes(reservationId), limit],
  );
  return rows.map(({ id, owner, ...row }) => ({ ...row, reservationId: fromBytes(id), customerId: fromBytes(owner) }));
}

/** Whether there is a waiter whom so many units can serve (invariant I11). The sale must be locked. */
export async function canServeLine(sql: Pick<Sql, 'rows'>, saleId: SaleId, units: number): Promise<boolean> {
  const rows = await sql.rows<{ id: Buffer }>(
    `SELECT r.id FROM waitlist w FORCE INDEX (waitlist_line) STRAIGHT_JOIN reservations r ON r.id = w.reservation_id
     WHERE w.sale_id = ? AND w.deadline_ms IS NULL AND r.state = 'waitlisted' AND w.at_least <= ? AND r.at_least <= ?
     LIMIT 1`,
    [toBytes(saleId), units, units],
  );
  return rows.length > 0;
}

// Writing

/**
 * Writes decisions, and waitlist rows for those that wait or have a deadline of their own. Throws `AlreadyDecided` if a
 * reservation, or its number, is taken.
 * The columns that are null in most batches are left out there.
 */
export async function insertDecided(tx: Tx, decisions: readonly DecidedReservation[]): Promise<void> {
  if (decisions.length === 0) return;
  const plain = decisions.every(({ reason, deadlineMs }) => reason === null && deadlineMs === null);
  const byCustomers = decisions.every(({ keyId }) => keyId === undefined);
  const rows = decisions.map((decision) => {
    const values = valuesOf(decision);
    if (!plain) values.push(decision.reason, decision.deadlineMs);
    if (!byCustomers) values.push(decision.keyId === undefined ? null : toBytes(decision.keyId));
    return values;
  });
  const { ids, others } = decidedColumns;
  const more = [...(plain ? [] : ['reason', 'deadline_ms']), ...(byCustomers ? [] : ['key_id'])];
  try {
    await insertRows(tx, 'INSERT INTO reservations', { ids, others: [...others, ...more] }, rows);
  } catch (error) {
    if (isDuplicateKey(error, 'reservations_nth')) throw new AlreadyDecided('customer', error);
    if (isDuplicateKey(error)) throw new AlreadyDecided('reservation', error);
    throw error;
  }
  await insertPlaces(
    tx,
    decisions.filter(({ state, deadlineMs }) => state === 'waitlisted' || deadlineMs !== null),
  );
}

async function insertPlaces(tx: Tx, places: readonly ReservationRow[]): Promise<void> {
  if (places.length === 0) return;
  await tx.change('INSERT INTO waitlist (sale_id, ticket, reservation_id, at_least, deadline_ms) VALUES ?', [
    places.map((one) => [toBytes(one.saleId), one.ticket, toBytes(one.reservationId), one.atLeast, one.deadlineMs]),
  ]);
}

/** The columns whose values `valuesOf` returns, in its order. */
const decidedColumns = {
  ids: ['id', 'sale_id', 'customer_id'],
  others: ['nth', 'ticket', 'quantity', 'at_least', 'state', 'units', 'version', 'accepted_at_ms', 'decided_at_ms'],
};

function valuesOf(decision: ReservationRow & Pick<DecidedReservation, 'nth'>): Value[] {
  return [
    decision.reservationId,
    decision.saleId,
    decision.customerId,
    decision.nth,
    decision.ticket,
    decision.quantity,
    decision.atLeast,
    decision.state,
    decision.units,
    decision.version,
    decision.acceptedAtMs,
    decision.decidedAtMs,
  ];
}

/** Ends reservations and takes them off the waitlist. They must be locked, and no purchase may be paying for them. */
export async function endReservations(
  tx: Tx,
  rows: readonly ReservationRow[],
  to: 'cancelled' | 'expired',
  reason: string | null,
): Promise<void> {
  if (rows.length === 0) return;
  const ids = rows.map((row) => toBytes(row.reservationId));
  const moved = await tx.change(
    `UPDATE reservations FORCE INDEX (PRIMARY) SET state = ?, reason = ?, version = version + 1
     WHERE id IN (?) AND state IN (?) AND ${endGuards.notBeingPaid}`,
    [to, reason, ids, statesBefore(to)],
  );
  if (moved !== rows.length) throw new MovedElsewhere(rows.length, moved);
  await leaveWaitlist(tx, rows);
}

/** A reservation that becomes smaller: its row before and after. */
export interface Shrinking {
  readonly before: ReservationRow;
  readonly after: ReservationRow;
}

/**
 * Writes the smaller quantity, minimum and units of a locked reservation, and raises its version. Throws `MovedElsewhere` if
 * it is no longer as it was read.
 */
export async function shrinkReservation(tx: Tx, { before, after }: Shrinking): Promise<void> {
  const payer = before.purchaseId === null ? [] : [toBytes(before.purchaseId)];
  const moved = await tx.change(
    `UPDATE reservations SET quantity = ?, at_least = ?, units = ?, asked_quantity = ?, asked_at_least = ?,
       version = version + 1
     WHERE id = ? AND state = ? AND version = ? AND ${payer.length > 0 ? 'purchase_id = ?' : endGuards.notBeingPaid}`,
    [
      ...[after.quantity, after.atLeast, after.units, after.askedQuantity, after.askedAtLeast],
      ...[toBytes(before.reservationId), before.state, before.version, ...payer],
    ],
  );
  if (moved !== 1) throw new MovedElsewhere(1, moved);
  if (before.state !== 'waitlisted') return;
  await tx.change('UPDATE waitlist SET at_least = ? WHERE sale_id = ? AND ticket = ? AND reservation_id = ?', [
    after.atLeast,
    ...[toBytes(before.saleId), before.ticket, toBytes(before.reservationId)],
  ]);
}

/**
 * Writes a part that was split off a reservation, with a waitlist row if it has a deadline. The sale must be locked: parts
 * of one customer are numbered one after the other.
 */
export async function insertPart(tx: Tx, part: ReservationRow): Promise<void> {
  const [row] = await tx.rows<{ lowest: number }>(
    'SELECT MIN(nth) AS lowest FROM reservations WHERE customer_id = ? AND sale_id = ?',
    [toBytes(part.customerId), toBytes(part.saleId)],
  );
  const nth = Math.min(Number(row?.lowest ?? 0), 0) - 1;
  const owner = [part.purchaseId, part.partOf].map((id) => id && toBytes(id));
  const { ids, others } = decidedColumns;
  const columns = { ids, others: [...others, 'reason', 'deadline_ms', 'purchase_id', 'part_of'] };
  const values = [...valuesOf({ ...part, nth }), part.reason, part.deadlineMs, ...owner];
  await insertRows(tx, 'INSERT INTO reservations', columns, [values]);
  if (part.deadlineMs !== null) await insertPlaces(tx, [part]);
}

/** Turns waitlisted reservations into allocated ones with a deadline. */
export async function makeOffers(tx: Tx, offers: readonly Offer[]): Promise<void> {
  if (offers.length === 0) return;
  const row = 'SELECT ? AS id, ? AS units, ? AS deadline_ms';
  const values = offers.flatMap(({ waiting, units, storedDeadlineMs }) => [
    toBytes(waiting.reservationId),
    units,
    storedDeadlineMs,
  ]);
  const moved = await tx.change(
    `UPDATE (${offers.map(() => row).join(' UNION ALL ')}) o STRAIGHT_JOIN reservations r ON r.id = o.id
     SET r.state = 'allocated', r.units = o.units, r.deadline_ms = o.deadline_ms, r.version = r.version + 1
     WHERE r.state = 'waitlisted'`,
    values,
  );
  if (moved !== offers.length) throw new MovedElsewhere(offers.length, moved);
  const [first] = offers;
  const places = placesOf(offers.map(({ waiting }) => waiting));
  await tx.change(`UPDATE ${places.rows} p STRAIGHT_JOIN waitlist w ON ${places.same} SET w.deadline_ms = ?`, [
    ...places.values,
    first?.storedDeadlineMs,
  ]);
}

/** Binds a customer's reservations to the purchase that pays for them. Throws unless all are allocated and free. */
export async function bindToPurchase(
  tx: Tx,
  purchaseId: PurchaseId,
  reservationIds: readonly ReservationId[],
  customerId: CustomerId,
): Promise<void> {
  const bound = await tx.change(
    `UPDATE reservations SET purchase_id = ?
     WHERE id IN (?) AND customer_id = ? AND ${Object.values(bindGuards).join(' AND ')}`,
    [toBytes(purchaseId), reservationIds.map(toBytes), toBytes(customerId)],
  );
  if (bound !== reservationIds.length) throw new MovedElsewhere(reservationIds.length, bound);
}

/** Unbinds allocated reservations from these purchases; they can be bought again until their deadline. */
export function unbindFromPurchases(tx: Tx, rows: readonly ReservationRow[], purchaseIds: PurchaseId[]): Promise<void> {
  return moveOfPurchases(tx, 'purchase_id = NULL', 'allocated', rows, purchaseIds);
}

/** Allocated reservations of these purchases become bought, and leave the waitlist if they were offers. */
export async function markPurchased(tx: Tx, rows: readonly ReservationRow[], purchaseIds: PurchaseId[]): Promise<void> {
  await moveOfPurchases(tx, `state = 'purchased', version = version + 1`, 'allocated', rows, purchaseIds);
  await leaveWaitlist(
    tx,
    rows.filter((row) => row.deadlineMs !== null),
  );
}

/** Bought reservations of these purchases become refunded. */
export function markRefunded(tx: Tx, rows: readonly ReservationRow[], purchaseIds: PurchaseId[]): Promise<void> {
  return moveOfPurchases(tx, `state = 'refunded', version = version + 1`, 'purchased', rows, purchaseIds);
}

async function moveOfPurchases(
  tx: Tx,
  assignments: string,
  from: 'allocated' | 'purchased',
  rows: readonly ReservationRow[],
  purchaseIds: PurchaseId[],
): Promise<void> {
  if (rows.length === 0) return;
  const moved = await tx.change(
    `UPDATE reservations SET ${assignments} WHERE id IN (?) AND purchase_id IN (?) AND state = ?`,
    [rows.map((row) => toBytes(row.reservationId)), purchaseIds.map(toBytes), from],
  );
  if (moved !== rows.length) throw new MovedElsewhere(rows.length, moved);
}

/** Removes reservations from the waitlist, whether they waited or had a deadline of their own. */
async function leaveWaitlist(tx: Tx, rows: readonly ReservationRow[]): Promise<void> {
  const placed = rows.filter(({ state, deadlineMs }) => state === 'waitlisted' || deadlineMs !== null);
  if (placed.length === 0) return;
  const places = placesOf(placed);
  await tx.change(`DELETE w FROM ${places.rows} p STRAIGHT_JOIN waitlist w ON ${places.same}`, places.values);
}

/**
 * Names waitlist rows by their key, as rows to be joined. `(a, b, c) IN (…)` with a single row makes MariaDB scan the table,
 * and a scan waits for every row that another transaction has locked: unrelated sales could deadlock. With hundreds of
 * conditions joined by OR the optimizer takes longer than the rest of the transaction.
 */
function placesOf(rows: readonly Pick<ReservationRow, 'saleId' | 'ticket' | 'reservationId'>[]) {
  const row = 'SELECT ? AS sale_id, ? AS ticket, ? AS reservation_id';
  return {
    rows: `(${rows.map(() => row).join(' UNION ALL ')})`,
    same: 'w.sale_id = p.sale_id AND w.ticket = p.ticket AND w.reservation_id = p.reservation_id',
    values: rows.flatMap((one) => [toBytes(one.saleId), one.ticket, toBytes(one.reservationId)]),
  };
}
