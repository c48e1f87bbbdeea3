/**
 * The allocate worker: a batch of reservation requests, any mix of sales and customers, decided in one lock call and one
 * transaction.
 *
 * Invariants. I1: stock is written by one guarded statement, so this is exact without the lock. I3: a request that was
 * delivered before changes nothing, yet refreshes the mirror, since the first delivery may have died before it could.
 * I4: caps are summed from rows, and each row's number is part of a key, so that a worker that did not see a customer's
 * other reservations collides with them. I2: a message is acknowledged only after its commit.
 *
 * The first attempt does not hold the sales while it writes: it inserts, then moves stock under the guard, so that the row
 * of a hot sale is held only for the last moments (the hot row last). If anything does not fit, or the stock does not
 * obviously suffice, the attempt is undone and the second one holds the sales from the start, so that it must succeed.
 * Both run the same code.
 */
import type { ReservationChange } from '#events/changes.ts';
import { changeEvents, recordEvents } from '#events/outbox.ts';
import { type Committed, type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import type { Needs } from '#platform/environment/deps.ts';
import type { Delivered, MustRepeat } from '#platform/handlers/queue.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import type { Grant } from '#platform/redis/sale-lock.ts';
import { type Movement, recordMovements } from '#sale/ledger.store.ts';
import type { StockLevel } from '#sale/sale.shapes.ts';
import { lockSales, moveStock, readSales, readStock, type SaleRow, StockConflict } from '#sale/sale.store.ts';
import { deadlineAtMs } from '#sale/sale-clock.ts';
import { saleTag } from '#sale/sale-id.ts';
import { type Claim, decide } from './decide.ts';
import { recentlyDecided } from './recently-decided.ts';
import type { ReserveCommand } from './reservation.shapes.ts';
import {
  AlreadyDecided,
  type DecidedReservation,
  insertDecided,
  type ReservationRow,
  readHoldings,
  readReservations,
} from './reservation.store.ts';

/** What the allocate worker needs. */
export type AllocateNeeds = WriteNeeds & Needs<'lock'>;

/** How long a worker waits for the locks of its sales before it goes on without them. */
export const lockWaitMs = 400;

/** Thrown inside an attempt whose guess turned out wrong; the transaction is undone and the sales are held next time. */
class GuessWasWrong extends Error {}

/**
 * Decides every message of a batch. All of it is committed when this resolves; if it throws, all must be delivered again.
 */
export async function allocateBatch(
  deps: AllocateNeeds,
  batch: readonly Delivered<ReserveCommand>[],
  deadlineMs: number,
): Promise<MustRepeat> {
  const claims = distinctClaims(batch);
  const again = new Set(batch.filter(({ deliveries }) => deliveries > 1).map(({ message }) => message.reservationId));
  const saleIds = [...new Set(claims.map((claim) => claim.saleId))];
  // Waiting happens before any connection is taken, and never so long that the work itself would run out of time.
  const waitMs = Math.min(lockWaitMs, Math.max(0, deadlineMs - deps.clock()));
  const grant = await deps.lock.acquire(saleIds.map(saleTag), waitMs);
  try {
    await allocate(deps, claims, again, new Map(saleIds.flatMap((saleId) => tokenOf(grant, saleId))));
  } finally {
    await grant.release();
  }
  return [];
}

function tokenOf(grant: Grant, saleId: SaleId): [string, number][] {
  const token = grant.fencingTokens.get(saleTag(saleId));
  return token === undefined ? [] : [[saleId, token]];
}

async function allocate(
  deps: AllocateNeeds,
  claims: readonly Claim[],
  deliveredBefore: ReadonlySet<string>,
  fencingTokens: ReadonlyMap<string, number>,
): Promise<void> {
  const memory = deps.once(recentlyDecided);
  const { mayBeDecided, mayHaveOthers } = memory.meet(claims);
  const repeats = claims.filter((claim) => deliveredBefore.has(claim.reservationId));
  const guess: Mode = { hold: false, mayBeDecided: [...mayBeDecided, ...repeats], mayHaveOthers, fencingTokens };
  try {
    await writeThrough(deps, (tx, nowMs) => attempt(tx, claims, nowMs, guess));
  } catch (error) {
    if (error instanceof AlreadyDecided) memory.surprised(error.what);
    else if (!(error instanceof GuessWasWrong || error instanceof StockConflict)) throw error;
    // Holding the rows makes the fencing tokens pointless: what is read cannot be stale.
    const mode: Mode = { hold: true, mayBeDecided: claims, mayHaveOthers: claims, fencingTokens: new Map() };
    await writeThrough(deps, (tx, nowMs) => attempt(tx, claims, nowMs, mode));
  }
}

/** How an attempt at a batch goes about it. */
export interface Mode {
  /** Whether the sales are held from the start, or only while stock is moved. */
  readonly hold: boolean;
  /** Which claims are looked up before they are decided; if one is missing, the insert is refused. */
  readonly mayBeDecided: readonly Claim[];
  /** Whose other reservations are looked up; if one is missing, the insert is refused. */
  readonly mayHaveOthers: readonly Claim[];
  readonly fencingTokens: ReadonlyMap<string, number>;
}

/** One attempt at a batch, inside a transaction. Throws if its guess was wrong; the transaction must be undone then. */
export async function attempt(tx: Tx, claims: readonly Claim[], nowMs: number, mode: Mode): Promise<Committed> {
  const saleIds = [...new Set(claims.map((claim) => claim.saleId))].sort();
  const sales = await (mode.hold ? lockSales(tx, saleIds) : readSales(tx, saleIds));
  const decided = await readReservations(tx, [...new Set(mode.mayBeDecided.map((claim) => claim.reservationId))]);
  const fresh = withoutDecided(claims, decided);
  const others = mode.mayHaveOthers.filter((claim) => !decided.has(claim.reservationId));
  const customerIds = [...new Set(others.map((claim) => claim.customerId))];

  const holdings = await readHoldings(tx, saleIds, customerIds);
  const { decisions, moves, independentOfStock } = decide(fresh, sales, holdings, nowMs);
  if (!mode.hold && !independentOfStock) throw new GuessWasWrong();
  // A deadline is told, so it must be that of the sale as it is at the commit: nobody may move the sale meanwhile.
  if (!mode.hold && decisions.some((decision) => decision.deadlineMs !== null)) throw new GuessWasWrong();

  await insertDecided(tx, decisions);
  await recordMovements(tx, decisions.filter(isAllocated).map(movementOf), nowMs);
  const epochs = new Map([...sales.values()].map((sale) => [sale.saleId, sale.epoch]));
  const moved = await moveStock(tx, moves, { fencingTokens: mode.fencingTokens, epochs });
  // Stock travels with the changes, so that a reader of the event has both as of this commit.
  const changes = decisions.map((decision) => changeOf(decision, sales.get(decision.saleId)));
  const events = changeEvents(changes, moved, false, nowMs);
  await recordEvents(tx, events, nowMs);

  const unmoved = saleIds.filter((saleId) => sales.has(saleId) && !moves.some((move) => move.saleId === saleId));
  const mayBeStale = !mode.hold && decided.size > 0;
  const levels = await unmovedStock(tx, unmoved, sales, mayBeStale);
  return withRepeats({ stocks: moved, reservations: decisions, events }, [...decided.values()], levels);
}

/** The claims that no earlier delivery has decided (invariant I3). */
export function withoutDecided(claims: readonly Claim[], decided: ReadonlyMap<string, ReservationRow>): Claim[] {
  return claims.filter((claim) => !decided.has(claim.reservationId));
}

/**
 * The stock of a batch's sales that it does not move. A first delivery may have committed between the look at the sales and
 * the one at what is decided, and have died before the mirror: the stock that goes with what is decided must be read after
 * it.
 */
export async function unmovedStock(
  tx: Tx,
  saleIds: SaleId[],
  sales: ReadonlyMap<string, StockLevel>,
  mayBeStale: boolean,
): Promise<StockLevel[]> {
  const levels = mayBeStale ? await readStock(tx, saleIds) : sales;
  return saleIds.flatMap((saleId) => levels.get(saleId) ?? []);
}

/** Adds what earlier deliveries decided, which goes into the mirror once more: they may have died before they did it. */
export function withRepeats(changed: Committed, decidedBefore: ReservationRow[], unmoved: StockLevel[]): Committed {
  const { stocks, reservations, events } = changed;
  return { stocks: [...stocks, ...unmoved], reservations: [...decidedBefore, ...reservations], events };
}

/** One claim for each reservation, however often a batch holds it. */
export function distinctClaims(batch: readonly Delivered<ReserveCommand>[]): Claim[] {
  const claims = new Map<string, Claim>();
  for (const { message, sentAtMs } of batch) {
    const { reservationId, saleId, customerId, quantity, atLeast, ticket } = message;
    const known = claims.get(reservationId);
    // A repeat that passed the gate knows the place in line; one that was sent while the gate was away does not.
    if (known && (known.gated || ticket === undefined)) continue;
    claims.set(reservationId, {
      reservationId,
      saleId,
      customerId,
      quantity,
      atLeast,
      ticket: ticket ?? sentAtMs * 1000,
      acceptedAtMs: ticket === undefined ? sentAtMs : Math.floor(ticket / 1000),
      gated: ticket !== undefined,
    });
  }
  return [...claims.values()];
}

function isAllocated({ state }: DecidedReservation): boolean {
  return state === 'allocated';
}

function movementOf({ reservationId, saleId, units }: DecidedReservation): Movement {
  return { subjectId: reservationId, kind: 'ALLOCATE', saleId, units };
}

function changeOf(decision: DecidedReservation, sale: SaleRow | undefined): ReservationChange {
  const { reservationId, saleId, customerId, state, units, quantity, ticket, version, reason, deadlineMs } = decision;
  return {
    reservationId,
    saleId,
    customerId,
    from: 'requested',
    to: state,
    units,
    quantity,
    ticket,
    version,
    reason: reason ?? undefined,
    deadlineMs: deadlineMs === null || !sale ? undefined : deadlineAtMs(sale, deadlineMs),
  };
}
