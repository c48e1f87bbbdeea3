/**
 * The store of sales: the only code that writes `sales`, its terms and its stock.
 *
 * Invariant I1 (no oversell): every stock move is a conditional UPDATE whose WHERE repeats what must hold afterwards, and
 * the table's CHECK constraints enforce it again. A move that does not fit changes nothing and throws `StockConflict`.
 * Every write raises the row's version. Stock is moved by the allocate worker, cancellation, expiry, offers, purchases
 * and the operator's adjustment; terms are changed by `lib/launch`.
 */
import { fromBytes, type ProductId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import type { ProviderName } from '#platform/payments/provider-names.ts';
import type { SalePhase, SaleTimes } from './phase.ts';
import type { StockLevel } from './sale.shapes.ts';
import type { capHolders, saleStatuses } from './sale.table.ts';

export type SaleStatus = (typeof saleStatuses)[number];
export type CapHolder = (typeof capHolders)[number];

/** How a sale's counters change, each by a signed number of units (`waitlisted`: of reservations). */
export interface StockMove {
  readonly saleId: SaleId;
  readonly available?: number;
  readonly allocated?: number;
  readonly sold?: number;
  readonly allotment?: number;
  readonly waitlisted?: number;
}

/** Further conditions of a move, beyond no counter falling below zero. */
export interface StockGuard {
  /** The fencing tokens of the caller's locks, by sale; a row that saw a higher one refuses. Absent if the row is held. */
  readonly fencingTokens?: ReadonlyMap<SaleId, number>;
  /** The epoch the caller read; a restore in between refuses. */
  readonly epochs?: ReadonlyMap<SaleId, number>;
  /** Whether there may be no waiters: waiters come first, and only with the row held is it known what they wait for. */
  readonly nobodyWaits?: boolean;
  /** The terms that the caller decided by; a pause or a move in between refuses, since it has been announced already. */
  readonly terms?: ReadonlyMap<SaleId, TermsTold>;
}

/** The terms of a sale that holders and waiters are told of when they change. */
export type TermsTold = Pick<SaleRow, 'status' | 'purchaseOpensAtMs' | 'purchaseClosesAtMs' | 'clockOffsetMs'>;

/** Thrown when a move does not fit the current stock, or its fencing token or epoch is outdated. Roll back. */
export class StockConflict extends Error {
  constructor(wanted: number, made: number) {
    super(`${wanted - made} of ${wanted} stock moves were refused`);
    this.name = 'StockConflict';
  }
}

/** A sale's row. */
export interface SaleRow extends StockLevel, SaleTimes {
  readonly productId: ProductId;
  readonly name: string;
  /** Set by operators. */
  readonly status: SaleStatus;
  /** The last phase whose side effects were carried out; what a customer may do never depends on it. */
  readonly phase: SalePhase;
  readonly remindedAtMs: number | null;
  readonly priceMinor: number;
  readonly currency: string;
  readonly capPerCustomer: number;
  /** Whom the cap counts by. */
  readonly capPer: CapHolder;
  readonly requiresContact: boolean;
  /** Who charges what is bought in it; null for the provider of its currency. */
  readonly paymentProvider: ProviderName | null;
  readonly waitlistSize: number;
  readonly offerLifeMs: number;
  /** How long an allocation may stay unpaid once the window is open; null for until the close. */
  readonly payWithinMs: number | null;
  /** No offer is made later than this before the close. */
  readonly offerCutoffMs: number;
  /** When the clock of a paused sale stopped: the pause began, or its times were set in it; null while it is not paused. */
  readonly pausedAtMs: number | null;
  /** When the pause began; null while the sale is not paused, or if an older build has paused it. */
  readonly pauseBeganMs: number | null;
  /** What the stored deadlines of its reservations are moved by (`sale-clock.ts`). */
  readonly clockOffsetMs: number;
  /** Raised with every change of terms. */
  readonly termsVersion: number;
  /** Whether nothing expires: times got shorter, and not all customers have been told yet. */
  readonly endsWait: boolean;
  /** Since when it is public, or when it will be; null for a draft without a time. */
  readonly publicFromMs: number | null;
  /** Whether its publication has been told. */
  readonly publishTold: boolean;
  /** What customers must show to find it; null if it is for everybody. */
  readonly accessCode: string | null;
}

/** What an operator may change of a sale. */
export type SaleTerms = Pick<
  SaleRow,
  | 'name'
  | 'status'
  | 'capPerCustomer'
  | 'requiresContact'
  | 'paymentProvider'
  | 'waitlistSize'
  | 'offerLifeMs'
  | 'payWithinMs'
  | 'offerCutoffMs'
  | 'publicFromMs'
  | 'accessCode'
  | keyof SaleTimes
>;

/** How a sale's clock stands, and how far its side effects have come; a change of its times changes these too. */
export type SaleProgress = Pick<
  SaleRow,
  'phase' | 'remindedAtMs' | 'pausedAtMs' | 'pauseBeganMs' | 'clockOffsetMs' | 'publishTold'
>;

const stockColumns = 'id, epoch, version, allotment, available, allocated, sold, waitlisted';
const saleColumns = `${stockColumns}, product_id AS productId, name, status, phase, reminded_at_ms AS remindedAtMs,
  price_minor AS priceMinor, currency, cap_per_customer AS capPerCustomer, cap_per AS capPer,
  requires_contact AS requiresContact, payment_provider AS paymentProvider, waitlist_size AS waitlistSize,
  offer_life_ms AS offerLifeMs, pay_within_ms AS payWithinMs, offer_cutoff_ms AS offerCutoffMs,
  paused_at_ms AS pausedAtMs, pause_began_ms AS pauseBeganMs, clock_offset_ms AS clockOffsetMs, ends_wait AS endsWait,
  terms_version AS termsVersion, public_from_ms AS publicFromMs, publish_told AS publishTold, access_code AS accessCode,
  reserve_opens_at_ms AS reserveOpensAtMs, reserve_closes_at_ms AS reserveClosesAtMs,
  purchase_opens_at_ms AS purchaseOpensAtMs, purchase_closes_at_ms AS purchaseClosesAtMs`;

/** Every new sale starts in this epoch; only a restore from a backup raises it. */
const firstEpoch = 1;

/** Reads sales without locking them, for an optimistic decision that the guarded write will check. */
export async function readSales(sql: Sql, saleIds: SaleId[]): Promise<Map<SaleId, SaleRow>> {
  return selectSales(sql, saleIds, '');
}

/** Reads and locks sales until the transaction ends, always in the order of their ids. */
export async function lockSales(tx: Tx, saleIds: SaleId[]): Promise<Map<SaleId, SaleRow>> {
  return selectSales(tx, saleIds, 'FOR UPDATE');
}

/** A page of sales older than `beforeId`, newest first; with `forAllAtMs`, those that everybody can find at that time. */
export function listSales(
  sql: Sql,
  beforeId: string | undefined,
  limit: number,
  forAllAtMs?: number,
): Promise<SaleRow[]> {
  const older = beforeId === undefined ? '' : 'AND id < ?';
  const found = forAllAtMs === undefined ? '' : 'AND public_from_ms <= ? AND access_code IS NULL';
  const values = [
    ...(beforeId === undefined ? [] : [toBytes(beforeId)]),
    ...(forAllAtMs === undefined ? [] : [forAllAtMs]),
  ];
  return select(sql, `WHERE TRUE ${older} ${found} ORDER BY id DESC LIMIT ?`, [...values, limit]);
}

/** The ids of sales older than `beforeId`, or of the newest ones, newest first. */
export async function listSaleIds(sql: Sql, beforeId: SaleId | null, limit: number): Promise<SaleId[]> {
  const where = beforeId === null ? '' : 'WHERE id < ?';
  const rows = await sql.rows<{ id: Buffer }>(`SELECT id FROM sales ${where} ORDER BY id DESC LIMIT ?`, [
    ...(beforeId === null ? [] : [toBytes(beforeId)]),
    limit,
  ]);
  return rows.map((row) => fromBytes(row.id));
}

/** A sale's place in the order of closes. */
export interface SaleClose {
  readonly saleId: SaleId;
  readonly closesAtMs: number;
}

/** A page of the sales in which time can still change something, the earliest close first; with `after`, those behind it. */
export async function readUnfinishedSales(sql: Sql, limit: number, after?: SaleClose): Promise<SaleRow[]> {
  const behind = after ? 'AND (purchase_closes_at_ms > ? OR (purchase_closes_at_ms = ? AND id > ?))' : '';
  return select(
    sql,
    `WHERE (phase <> 'closed' OR allocated > 0 OR waitlisted > 0) ${behind} ORDER BY purchase_closes_at_ms, id LIMIT ?`,
    [...(after ? [after.closesAtMs, after.closesAtMs, toBytes(after.saleId)] : []), limit],
  );
}

async function selectSales(sql: Sql, saleIds: SaleId[], suffix: string): Promise<Map<SaleId, SaleRow>> {
  if (saleIds.length === 0) return new Map();
  const rows = await select(sql, `WHERE id IN (?) ORDER BY id ${suffix}`, [saleIds.map(toBytes)]);
  return new Map(rows.map((row) => [row.saleId, row]));
}

async function select(sql: Sql, clauses: string, values: unknown[]): Promise<SaleRow[]> {
  type Flags = 'requiresContact' | 'endsWait' | 'publishTold';
  type Stored = Omit<SaleRow, 'saleId' | 'productId' | Flags> & {
    readonly id: Buffer;
    readonly productId: Buffer;
  } & Record<Flags, number>;
  const rows = await sql.rows<Stored>(`SELECT ${saleColumns} FROM sales ${clauses}`, values);
  return rows.map(({ id, productId, requiresContact, endsWait, publishTold, ...row }) => ({
    ...row,
    requiresContact: requiresContact === 1,
    endsWait: endsWait === 1,
    publishTold: publishTold === 1,
    saleId: fromBytes(id),
    productId: fromBytes(productId),
  }));
}

/** Writes a new sale with its whole allotment available. */
export async function insertSale(
  tx: Tx,
  sale: Omit<SaleTerms, 'status'> &
    Pick<SaleRow, 'saleId' | 'productId' | 'priceMinor' | 'currency' | 'capPer' | 'allotment' | 'publishTold'>,
  nowMs: number,
): Promise<void> {
  const columns = {
    id: toBytes(sale.saleId),
    product_id: toBytes(sale.productId),
    mode: 'fifo',
    phase: 'scheduled',
    price_minor: sale.priceMinor,
    currency: sale.currency,
    cap_per: sale.capPer,
    ...termColumns({ ...sale, status: 'active' }),
    publish_told: Number(sale.publishTold),
    allotment: sale.allotment,
    available: sale.allotment,
    allocated: 0,
    sold: 0,
    waitlisted: 0,
    epoch: firstEpoch,
    version: 1,
    fence: 0,
    created_at_ms: nowMs,
  };
  await tx.change(`INSERT INTO sales (${Object.keys(columns).join(', ')}) VALUES (?)`, [Object.values(columns)]);
}

/** Writes the terms of a sale whose row is held, and raises its version. */
export async function changeTerms(tx: Tx, saleId: SaleId, terms: SaleTerms & SaleProgress): Promise<void> {
  const columns = {
    ...termColumns(terms),
    phase: terms.phase,
    reminded_at_ms: terms.remindedAtMs,
    paused_at_ms: terms.pausedAtMs,
    pause_began_ms: terms.pauseBeganMs,
    clock_offset_ms: terms.clockOffsetMs,
    publish_told: Number(terms.publishTold),
  };
  const assignments = Object.keys(columns).map((name) => `${name} = ?`);
  await tx.change(
    `UPDATE sales SET version = version + 1, terms_version = terms_version + 1, ${assignments.join(', ')} WHERE id = ?`,
    [...Object.values(columns), toBytes(saleId)],
  );
}

function termColumns(terms: SaleTerms): Record<string, string | number | null> {
  return {
    name: terms.name,
    status: terms.status,
    cap_per_customer: terms.capPerCustomer,
    requires_contact: Number(terms.requiresContact),
    payment_provider: terms.paymentProvider,
    waitlist_size: terms.waitlistSize,
    offer_life_ms: terms.offerLifeMs,
    pay_within_ms: terms.payWithinMs,
    offer_cutoff_ms: terms.offerCutoffMs,
    reserve_opens_at_ms: terms.reserveOpensAtMs,
    reserve_closes_at_ms: terms.reserveClosesAtMs,
    purchase_opens_at_ms: terms.purchaseOpensAtMs,
    purchase_closes_at_ms: terms.purchaseClosesAtMs,
    public_from_ms: terms.publicFromMs,
    access_code: terms.accessCode,
  };
}

/** Stores the phase whose side effects were carried out in a sale whose row is locked, and raises its version. */
export async function enterPhase(
  tx: Tx,
  saleId: SaleId,
  { phase, remindedAtMs }: Pick<SaleRow, 'phase' | 'remindedAtMs'>,
): Promise<void> {
  await tx.change('UPDATE sales SET phase = ?, reminded_at_ms = ?, version = version + 1 WHERE id = ?', [
    phase,
    remindedAtMs,
    toBytes(saleId),
  ]);
}

/** Says whether what is over in a sale whose row is held stays as it is, until all customers have been told of shorter times. */
export async function setEndsWait(tx: Tx, saleId: SaleId, endsWait: boolean): Promise<void> {
  await tx.change('UPDATE sales SET ends_wait = ? WHERE id = ?', [Number(endsWait), toBytes(saleId)]);
}

/** Notes in a sale whose row is held that its publication is told. */
export async function setPublishTold(tx: Tx, saleId: SaleId): Promise<void> {
  await tx.change('UPDATE sales SET publish_told = TRUE WHERE id = ?', [toBytes(saleId)]);
}

/** Raises the epoch of every sale, so that everything that Redis has from before a restore is older. */
export async function raiseEpochs(sql: Sql): Promise<void> {
  await sql.change('UPDATE sales SET epoch = epoch + 1, version = version + 1');
}

/** What must hold for a move `m` of the sale `s` to be made, as SQL (invariant I1). */
export const moveGuards = {
  available: 's.available + m.available >= 0',
  allocated: 's.allocated + m.allocated >= 0',
  sold: 's.sold + m.sold >= 0',
  waitlisted: 's.waitlisted + m.waitlisted BETWEEN 0 AND s.waitlist_size',
  /** No later lock holder has written; zero means a move without a lock. */
  fencingToken: '(m.fence = 0 OR s.fence <= m.fence)',
  /** MySQL has not been restored since the sale was read; minus one means that no epoch was read. */
  epoch: '(m.epoch = -1 OR s.epoch = m.epoch)',
  /** There are no waiters; required for a move that is made without looking at the line (invariant I11). */
  line: '(m.alone = 0 OR s.waitlisted = 0)',
  /** Nothing was announced since the sale was read that this move's reservations would not hear of (invariant I12). */
  terms: `(m.opens = -1 OR (s.purchase_opens_at_ms = m.opens AND s.purchase_closes_at_ms = m.closes
    AND s.clock_offset_ms = m.clock_offset AND s.status = m.status))`,
};

/**
 * Makes stock moves of any number of sales in one statement, all or none. Returns the stock afterwards, in the order of
 * the moves. Throws `StockConflict` if any was refused.
 */
export async function moveStock(tx: Tx, moves: StockMove[], guard: StockGuard = {}): Promise<StockLevel[]> {
  if (moves.length === 0) return [];
  const sorted = [...moves].sort((a, b) => (a.saleId < b.saleId ? -1 : 1));
  const row =
    'SELECT ? AS id, ? AS allotment, ? AS available, ? AS allocated, ? AS sold, ? AS waitlisted, ? AS epoch, ? AS fence, ? AS alone, ? AS opens, ? AS closes, ? AS clock_offset, ? AS status';
  const values = sorted.flatMap((move) => [
    toBytes(move.saleId),
    move.allotment ?? 0,
    move.available ?? 0,
    move.allocated ?? 0,
    move.sold ?? 0,
    move.waitlisted ?? 0,
    guard.epochs?.get(move.saleId) ?? -1,
    guard.fencingTokens?.get(move.saleId) ?? 0,
    guard.nobodyWaits ? 1 : 0,
    ...termsOf(guard.terms?.get(move.saleId)),
  ]);
  const made = await tx.change(
    // The moves first, each finding its row by key: if the optimizer began with a small table, it would lock all its rows.
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

function termsOf(terms: TermsTold | undefined): (number | string)[] {
  if (!terms) return [-1, -1, -1, ''];
  return [terms.purchaseOpensAtMs, terms.purchaseClosesAtMs, terms.clockOffsetMs, terms.status];
}

/** The stock of sales, as visible to this connection. */
export async function readStock(sql: Sql, saleIds: SaleId[]): Promise<Map<SaleId, StockLevel>> {
  if (saleIds.length === 0) return new Map();
  const rows = await sql.rows<Omit<StockLevel, 'saleId'> & { id: Buffer }>(
    `SELECT ${stockColumns} FROM sales WHERE id IN (?)`,
    [saleIds.map(toBytes)],
  );
  return new Map(
    rows.map(({ id, ...level }) => {
      const saleId: SaleId = fromBytes(id);
      return [saleId, { saleId, ...level }];
    }),
  );
}
