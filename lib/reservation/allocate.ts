/**
 * The allocate worker: decides a batch of reservation requests, of any mix of sales and customers, with one lock call and
 * one transaction.
 *
 * Invariants. I1: stock is written by one guarded statement, so this is exact without the lock. I3: a request that was
 * delivered before changes nothing, yet refreshes the mirror, since the first delivery may have died before it could.
 * I4: caps are summed from rows, and each row's number is part of a key, so that a worker that did not see a customer's
 * other reservations collides with them. I2: a message is acknowledged only after its commit. I11: a sale in which
 * a customer waits is decided only while it is held, after those who wait have been offered what is available.
 *
 * The first attempt is optimistic and does not lock the sales at the start: it inserts, then moves stock under the guard,
 * so that the row of a hot sale is locked only at the end (the hot row last). If anything does not fit, or the stock may
 * not suffice, the attempt is rolled back, and a second one locks the sales from the start. Both run the same code.
 *
 * Workers of different environments share nothing but the databases. While stock is plentiful they need not wait for each
 * other: a worker takes the Redis lock if it is free, and goes on without it if not. If the row must be locked, it waits for
 * the Redis lock first, so that workers do not queue for the row with a connection each. The lock is released with the
 * commit; mirroring and publishing need no lock, since every write of the mirror compares versions.
 *
 * A request that was delivered before may be under way in another worker at this moment, where no read can see it. An
 * optimistic attempt therefore inserts such requests last, after waiting for their transactions; one that turns out
 * to be decided is left out. Inserted with the others, it would make the whole batch fail.
 */
import type { ReservationChange } from '#events/changes.ts';
import { changeEvents, recordEvents } from '#events/outbox.ts';
import { insertLabelsOnce, type OwnedLabel } from '#labels/label.store.ts';
import { type Committed, type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import type { Needs } from '#platform/environment/deps.ts';
import type { Delivered, MustRepeat } from '#platform/handlers/queue.ts';
import type { ReservationId, SaleId } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import type { Grant } from '#platform/redis/sale-lock.ts';
import { type Movement, recordMovements } from '#sale/ledger.store.ts';
import type { StockLevel } from '#sale/sale.shapes.ts';
import { lockSales, moveStock, readSales, readStock, type SaleRow, StockConflict } from '#sale/sale.store.ts';
import { deadlineAtMs } from '#sale/sale-clock.ts';
import { saleTag } from '#sale/sale-id.ts';
import { contendedSales } from './contended-sales.ts';
import { type Claim, decide } from './decide.ts';
import { expireSale } from './expire.ts';
import { mayOffer } from './offer.ts';
import { recentlyDecided } from './recently-decided.ts';
import type { ReserveCommand } from './reservation.shapes.ts';
import {
  AlreadyDecided,
  canServeLine,
  type DecidedReservation,
  insertDecided,
  lockDecided,
  type ReservationRow,
  readHoldings,
  readReservations,
} from './reservation.store.ts';
import { asTicketed, withTicketsOfTheGate } from './tickets-at-the-gate.ts';

/** What the allocate worker needs. */
export type AllocateNeeds = WriteNeeds & Needs<'lock'>;

/** How long a worker waits for the locks of its sales before it goes on without them. */
export const lockWaitMs = 400;

/** Thrown inside an optimistic attempt that failed; it is rolled back and the next one locks the sales. */
class GuessWasWrong extends Error {}

/** Thrown by an attempt that found people waiting for available units; it is rolled back, and they come first. */
class LineComesFirst extends Error {
  readonly saleIds: SaleId[];

  constructor(saleIds: SaleId[]) {
    super(`in ${saleIds.length} sales others come first`);
    this.saleIds = saleIds;
  }
}

/**
 * Decides every message of a batch. Everything is committed when it resolves; if it throws, all must be delivered again.
 */
export async function allocateBatch(
  deps: AllocateNeeds,
  batch: readonly Delivered<ReserveCommand>[],
  deadlineMs: number,
): Promise<MustRepeat> {
  const claims = await withTicketsOfTheGate(deps, distinctClaims(batch));
  const again = new Set(batch.filter(({ deliveries }) => deliveries > 1).map(({ message }) => message.reservationId));
  const saleIds = [...new Set(claims.map((claim) => claim.saleId))];
  const mustHold = deps.once(contendedSales).includes(saleIds);
  // Waits before a connection is taken, and never so long that the work would run out of time.
  const waitMs = mustHold ? Math.min(lockWaitMs, Math.max(0, deadlineMs - deps.clock())) : 0;
  const grant = await deps.lock.acquire(saleIds.map(saleTag), waitMs);
  const write: Write = (work) => writeThrough(deps, work, () => grant.release());
  try {
    if (!mustHold) {
      const fencingTokens = new Map(saleIds.flatMap((saleId) => tokenOf(grant, saleId)));
      if (await decideUnheld(deps, write, claims, again, fencingTokens)) return [];
    }
    await decideHeld(deps, write, claims, deadlineMs);
  } finally {
    await grant.release();
  }
  return [];
}

type Write = (work: (tx: Tx, nowMs: number) => Promise<Committed>) => Promise<Committed>;

function tokenOf(grant: Grant, saleId: SaleId): [SaleId, number][] {
  const token = grant.fencingTokens.get(saleTag(saleId));
  return token === undefined ? [] : [[saleId, token]];
}

/**
 * The optimistic attempts: the second looks up everything. False if the sales must be locked to decide this batch; then
 * nothing has changed.
 */
async function decideUnheld(
  deps: AllocateNeeds,
  write: Write,
  claims: readonly Claim[],
  deliveredBefore: ReadonlySet<ReservationId>,
  fencingTokens: ReadonlyMap<SaleId, number>,
): Promise<boolean> {
  const memory = deps.once(recentlyDecided);
  const { mayBeDecided, mayHaveOthers } = memory.meet(claims);
  const repeats = claims.filter((claim) => deliveredBefore.has(claim.reservationId));
  const guess: Mode = {
    hold: 'no',
    mayBeDecided: [...mayBeDecided, ...repeats],
    mayBeUnderWay: deliveredBefore,
    mayHaveOthers,
    fencingTokens,
  };
  // What was decided elsewhere says nothing of the stock, so it is no reason to lock the sales: that would make this worker
  // and those that are deciding the same requests wait for each other.
  const thorough = (): Mode => {
    const mayBeUnderWay = new Set(claims.map((claim) => claim.reservationId));
    return { ...guess, mayBeDecided: claims, mayBeUnderWay, mayHaveOthers: claims };
  };
  for (const mode of [() => guess, thorough]) {
    try {
      await write((tx, nowMs) => attempt(tx, claims, nowMs, mode()));
      return true;
    } catch (error) {
      if (error instanceof AlreadyDecided) {
        memory.surprised(error.what);
        continue;
      }
      if (!(error instanceof GuessWasWrong || error instanceof StockConflict)) throw error;
      deps.once(contendedSales).add(claims.map(({ saleId }) => saleId));
      return false;
    }
  }
  return false;
}

/** So often a batch is decided with the sales locked while others commit rejections; then it is delivered again. */
const heldTriesAtMost = 5;

/**
 * Decides with the sales locked. If people wait for available units, as after a pause, they are served first, a bounded
 * number at a time. If some must keep waiting, because of time or a pause, they still come first: the batch is decided as if
 * no units were left.
 */
async function decideHeld(
  deps: AllocateNeeds,
  write: Write,
  claims: readonly Claim[],
  deadlineMs: number,
): Promise<void> {
  // With the rows locked fencing tokens are pointless: what is read cannot be stale.
  const mode = {
    mayBeDecided: claims,
    mayBeUnderWay: new Set<ReservationId>(),
    mayHaveOthers: claims,
    fencingTokens: new Map<SaleId, number>(),
  };
  const decideWith = async (hold: Mode['hold']) => {
    for (let tries = 1; ; tries++) {
      try {
        return await write((tx, nowMs) => attempt(tx, claims, nowMs, { ...mode, hold }));
      } catch (error) {
        // Rejections move no stock, so a worker commits them without the sale: it may have numbered one of these customers'
        // reservations since they were looked up. Each further try has seen one more such commit.
        if (!(error instanceof AlreadyDecided) || tries === heldTriesAtMost) throw error;
      }
    }
  };
  try {
    await decideWith('yes');
  } catch (error) {
    if (!(error instanceof LineComesFirst)) throw error;
    for (const saleId of error.saleIds) await expireSale(deps, saleId, deadlineMs);
    await decideWith('whoever waits');
  }
}

/** How a batch is attempted. */
export interface Mode {
  /**
   * Whether the sales are locked from the start, or only while stock is moved; and if they are locked, whether the batch is
   * decided even if a waiter is left for available units.
   */
  readonly hold: 'no' | 'yes' | 'whoever waits';
  /** Which claims are looked up before the decision; if a repeated one is not, its insert is refused. */
  readonly mayBeDecided: readonly Claim[];
  /**
   * Which reservations another worker may be deciding at this moment; each is inserted after that worker's commit. Empty if
   * the sales are locked: a worker that waits for them would be waited for.
   */
  readonly mayBeUnderWay: ReadonlySet<ReservationId>;
  /** The claims whose customers' other reservations are looked up; if one is left out wrongly, its insert fails. */
  readonly mayHaveOthers: readonly Claim[];
  readonly fencingTokens: ReadonlyMap<SaleId, number>;
}

/** One attempt at a batch, inside a transaction. Throws if it fails; the transaction must then be rolled back. */
export async function attempt(tx: Tx, claims: readonly Claim[], nowMs: number, mode: Mode): Promise<Committed> {
  const saleIds = [...new Set(claims.map((claim) => claim.saleId))].sort();
  const held = mode.hold !== 'no';
  const sales = await (held ? lockSales(tx, saleIds) : readSales(tx, saleIds));
  const lineFirst = held ? await salesWithLineFirst(tx, [...sales.values()]) : new Set<SaleId>();
  const toServe = [...sales.values()].filter((sale) => lineFirst.has(sale.saleId) && mayOffer(sale, nowMs));
  if (mode.hold === 'yes' && toServe.length > 0) throw new LineComesFirst(toServe.map((sale) => sale.saleId));
  const known = await readReservations(tx, [...new Set(mode.mayBeDecided.map((claim) => claim.reservationId))]);
  const fresh = withoutDecided(claims, known);
  const others = mode.mayHaveOthers.filter((claim) => !known.has(claim.reservationId));
  const customerIds = [...new Set(others.map((claim) => claim.customerId))];

  const holdings = await readHoldings(tx, saleIds, customerIds);
  const decideOn = (some: readonly Claim[]) => decide(some, sales, holdings, nowMs, lineFirst);
  const first = decideOn(fresh);
  if (!held && !first.independentOfStock) throw new GuessWasWrong();
  // A deadline is announced, so it must be that of the sale at the commit: no operator may move the sale meanwhile.
  if (!held && first.decisions.some((decision) => decision.deadlineMs !== null)) throw new GuessWasWrong();

  const isDoubtful = ({ reservationId }: DecidedReservation) => mode.mayBeUnderWay.has(reservationId);
  const doubtful = first.decisions.filter(isDoubtful);
  await record(tx, doubtful.length === 0 ? first.decisions : first.decisions.filter((one) => !isDoubtful(one)), nowMs);
  const elsewhere = await lockDecided(
    tx,
    doubtful.map(({ reservationId }) => reservationId),
  );
  const decided = new Map([...known, ...elsewhere]);
  const { decisions, moves } = elsewhere.size === 0 ? first : decideOn(withoutThese(fresh, elsewhere));
  await record(tx, decisions.filter(isDoubtful), nowMs);
  await insertLabelsOnce(tx, labelsOf(claims), nowMs);

  const epochs = new Map([...sales.values()].map((sale) => [sale.saleId, sale.epoch]));
  const unheld = held ? {} : { nobodyWaits: true, terms: sales };
  const moved = await moveStock(tx, moves, { fencingTokens: mode.fencingTokens, epochs, ...unheld });
  // Stock travels with the changes, so that a reader of the event has both as of this commit.
  const changes = decisions.map((decision) => changeOf(decision, sales.get(decision.saleId)));
  const events = changeEvents(changes, moved, false, nowMs);
  await recordEvents(tx, events, nowMs);

  const unmoved = saleIds.filter((saleId) => sales.has(saleId) && !moves.some((move) => move.saleId === saleId));
  const mayBeStale = !held && decided.size > 0;
  const levels = await unmovedStock(tx, unmoved, sales, mayBeStale);
  return withRepeats({ stocks: moved, reservations: decisions, events }, [...decided.values()], levels);
}

/** The sales with a waiter whom the available units can serve. */
async function salesWithLineFirst(tx: Tx, sales: readonly SaleRow[]): Promise<Set<SaleId>> {
  const found = new Set<SaleId>();
  for (const { saleId, available, waitlisted } of sales) {
    if (available > 0 && waitlisted > 0 && (await canServeLine(tx, saleId, available))) found.add(saleId);
  }
  return found;
}

/**
 * Writes the rows of decisions and of the units that they set aside, in the order of the keys of both tables: the ids of a
 * batch lie anywhere within their sale, and the server finds a row's place fastest beside the row before.
 */
async function record(tx: Tx, decisions: readonly DecidedReservation[], nowMs: number): Promise<void> {
  const inOrder = [...decisions].sort((a, b) => (a.reservationId < b.reservationId ? -1 : 1));
  await insertDecided(tx, inOrder);
  await recordMovements(tx, inOrder.filter(isAllocated).map(movementOf), nowMs);
}

/**
 * The claims without those that were decided elsewhere while this batch was. The other decisions stay as they are, since
 * stock was plentiful for all of them. Throws `AlreadyDecided` if a customer has both: then the number, and perhaps the
 * decision, of what is written already may be wrong.
 */
function withoutThese(claims: readonly Claim[], elsewhere: ReadonlyMap<ReservationId, ReservationRow>): Claim[] {
  const left = withoutDecided(claims, elsewhere);
  const customers = new Set([...elsewhere.values()].map(({ customerId }) => customerId));
  if (left.some(({ customerId }) => customers.has(customerId))) throw new AlreadyDecided('reservation');
  return left;
}

/** The claims that no earlier delivery has decided (invariant I3). */
export function withoutDecided(claims: readonly Claim[], decided: ReadonlyMap<ReservationId, ReservationRow>): Claim[] {
  return claims.filter((claim) => !decided.has(claim.reservationId));
}

/**
 * The stock of those sales of a batch that it does not move. A first delivery may have committed after the sales were read
 * and before the decided reservations were, and died before it wrote the mirror: so the stock that is mirrored with them
 * must be read after them.
 */
export async function unmovedStock(
  tx: Tx,
  saleIds: SaleId[],
  sales: ReadonlyMap<SaleId, StockLevel>,
  mayBeStale: boolean,
): Promise<StockLevel[]> {
  const levels = mayBeStale ? await readStock(tx, saleIds) : sales;
  return saleIds.flatMap((saleId) => levels.get(saleId) ?? []);
}

/** Adds what earlier deliveries decided, to be mirrored again: they may have died before they wrote the mirror. */
export function withRepeats(changed: Committed, decidedBefore: ReservationRow[], unmoved: StockLevel[]): Committed {
  const { stocks, reservations, events } = changed;
  return { stocks: [...stocks, ...unmoved], reservations: [...decidedBefore, ...reservations], events };
}

/** One claim for each reservation of a batch, without duplicates. */
export function distinctClaims(batch: readonly Delivered<ReserveCommand>[]): Claim[] {
  const claims = new Map<ReservationId, Claim>();
  // Each message has a text of its own for its sale; with one for all, comparing two is comparing their addresses.
  const saleIds = new Map<SaleId, SaleId>();
  for (const { message, sentAtMs } of batch) {
    const { reservationId, customerId, quantity, atLeast, standing, access, ticket, label, keyId } = message;
    const saleId = saleIds.get(message.saleId) ?? message.saleId;
    saleIds.set(saleId, saleId);
    const known = claims.get(reservationId);
    // A duplicate that passed the gate has its ticket; one that was sent while the gate was unavailable does not.
    if (known && (known.gated || ticket === undefined)) continue;
    claims.set(reservationId, {
      reservationId,
      saleId,
      customerId,
      quantity,
      atLeast,
      standing,
      access,
      label,
      keyId,
      ...(ticket === undefined
        ? { ticket: sentAtMs * 1_000, acceptedAtMs: sentAtMs, gated: false }
        : asTicketed(ticket)),
    });
  }
  return [...claims.values()];
}

/**
 * The labels that claims came with, also of those that were decided without them: a customer may have cancelled before the
 * message came.
 */
function labelsOf(claims: readonly Claim[]): OwnedLabel[] {
  const labelled: OwnedLabel[] = [];
  for (const { reservationId, customerId, label } of claims) {
    if (label) labelled.push({ kind: 'reservation', subjectId: reservationId, customerId, label });
  }
  return labelled;
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
    // In a pause no deadline runs, and none is told; the end of the pause tells it.
    deadlineMs: deadlineMs === null || !sale || sale.status === 'paused' ? undefined : deadlineAtMs(sale, deadlineMs),
  };
}
