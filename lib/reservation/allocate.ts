/**
 * The allocate worker: a batch of reservation requests, any mix of sales and customers, decided in one lock call and one
 * transaction.
 *
 * Invariants. I1: stock is written by one guarded statement, so this is exact without the lock. I3: a request that was
 * delivered before changes nothing, yet refreshes the mirror, since the first delivery may have died before it could.
 * I4: caps are summed from rows, and each row's number is part of a key, so that whoever did not see a customer's other
 * reservations collides with them. I2: a message is acknowledged only after its commit.
 *
 * The first attempt does not hold the sales while it writes: it inserts, then moves stock under the guard, so that the row
 * of a hot sale is held only for the last moments (the hot row last). If anything does not fit, or the stock does not
 * obviously suffice, the attempt is undone and the second one holds the sales from the start, so that it must succeed.
 * Both run the same code.
 */
import type { StockLevel } from '#events/catalogue.ts';
import type { ReservationChange } from '#events/changes.ts';
import { changeEvents, type RecordedEvent } from '#events/outbox.ts';
import type { Delivered, MustRepeat } from '#platform/handlers/queue.ts';
import type { Clock } from '#platform/kernel/clock.ts';
import { saleTag } from '#platform/kernel/ids.ts';
import type { Grant, SaleLock } from '#platform/redis/sale-lock.ts';
import { type Movement, StockConflict } from '#sale/stock.ts';
import { type Claim, type Decision, decide } from './decide.ts';
import type { Seen, Share } from './recently-decided.ts';
import type { ReserveCommand } from './reservation.shapes.ts';
import { type AllocationStore, type AllocationTx, AlreadyDecided, type ReservationRow } from './store.ts';

/** What the worker needs from outside. */
export interface AllocationPorts {
  readonly clock: Clock;
  readonly lock: SaleLock;
  readonly store: AllocationStore;
  /** What this environment decides, and has decided lately. */
  readonly seen: Seen;
  /** Copies committed stock and reservations into Redis; must not throw. */
  mirror(stocks: StockLevel[], reservations: ReservationRow[]): Promise<void>;
  /** Publishes committed events; must not throw. */
  publish(events: RecordedEvent[]): Promise<void>;
}

/** How long a worker waits for the locks of its sales before it goes on without them. */
export const lockWaitMs = 400;

/** Thrown inside an attempt whose guess turned out wrong; the transaction is undone and the sales are held next time. */
class GuessWasWrong extends Error {}

/** What a batch has committed, to be copied into the mirror and published. */
export interface Outcome {
  readonly stocks: StockLevel[];
  readonly reservations: ReservationRow[];
  readonly events: RecordedEvent[];
}

/**
 * Decides every message of a batch. What is not to be repeated is committed; if it throws, all come again.
 */
export async function allocateBatch(
  ports: AllocationPorts,
  batch: Delivered<ReserveCommand>[],
  deadlineMs: number,
): Promise<MustRepeat> {
  const share = ports.seen.share(distinctClaims(batch));
  const again = new Set(batch.filter(({ deliveries }) => deliveries > 1).map(({ message }) => message.reservationId));
  if (share.own.length > 0) await ports.seen.during(share, () => decideAndTell(ports, share, again, deadlineMs));
  const failed = await failedElsewhere(share.elsewhere);
  return batch.filter(({ message }) => failed.has(message.reservationId)).map(({ messageId }) => messageId);
}

/**
 * Waits for the batches that decide some of the same reservations, and returns the reservations whose batch failed. A
 * batch has mirrored what it decided when it is done.
 */
export async function failedElsewhere(elsewhere: Share<Claim>['elsewhere']): Promise<Set<string>> {
  const failed = new Set<string>();
  for (const [reservationId, work] of elsewhere) await work.catch(() => failed.add(reservationId));
  return failed;
}

async function decideAndTell(
  ports: AllocationPorts,
  share: Share<Claim>,
  deliveredBefore: ReadonlySet<string>,
  deadlineMs: number,
): Promise<void> {
  const saleIds = [...new Set(share.own.map((claim) => claim.saleId))];
  // Waiting happens before any connection is taken, and never so long that the work itself would run out of time.
  const grant = await ports.lock.acquire(
    saleIds.map(saleTag),
    Math.min(lockWaitMs, Math.max(0, deadlineMs - ports.clock())),
  );
  try {
    const fences = new Map(saleIds.flatMap((saleId) => fenceOf(grant, saleId)));
    const outcome = await allocate(ports, share, deliveredBefore, fences);
    await Promise.all([ports.mirror(outcome.stocks, outcome.reservations), ports.publish(outcome.events)]);
  } finally {
    await grant.release();
  }
}

function fenceOf(grant: Grant, saleId: string): [string, number][] {
  const fence = grant.fences.get(saleTag(saleId));
  return fence === undefined ? [] : [[saleId, fence]];
}

async function allocate(
  { seen, clock, store }: AllocationPorts,
  { own: claims, mayBeDecided, mayHaveOthers }: Share<Claim>,
  deliveredBefore: ReadonlySet<string>,
  fences: ReadonlyMap<string, number>,
): Promise<Outcome> {
  try {
    const repeats = claims.filter((claim) => deliveredBefore.has(claim.reservationId));
    const mode: Mode = { hold: false, mayBeDecided: [...mayBeDecided, ...repeats], mayHaveOthers, fences };
    return await store.transaction((tx) => attempt(tx, claims, clock(), mode));
  } catch (error) {
    if (error instanceof AlreadyDecided) seen.surprised(error.what);
    else if (!(error instanceof GuessWasWrong || error instanceof StockConflict)) throw error;
    // Holding the rows makes the fences pointless: what is read cannot be stale.
    const mode: Mode = { hold: true, mayBeDecided: claims, mayHaveOthers: claims, fences: new Map() };
    return store.transaction((tx) => attempt(tx, claims, clock(), mode));
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
  readonly fences: ReadonlyMap<string, number>;
}

/** One attempt at a batch, inside a transaction. Throws if its guess was wrong; the transaction must be undone then. */
export async function attempt(tx: AllocationTx, claims: readonly Claim[], nowMs: number, mode: Mode): Promise<Outcome> {
  const saleIds = [...new Set(claims.map((claim) => claim.saleId))].sort();
  const sales = await tx.sales(saleIds, mode.hold);
  const decided = await tx.decided([...new Set(mode.mayBeDecided.map((claim) => claim.reservationId))]);
  const fresh = withoutDecided(claims, decided);
  const others = mode.mayHaveOthers.filter((claim) => !decided.has(claim.reservationId));
  const customerIds = [...new Set(others.map((claim) => claim.customerId))];

  const held = await tx.held(saleIds, customerIds);
  const { decisions, moves, independentOfStock } = decide(fresh, sales, held, nowMs);
  if (!mode.hold && !independentOfStock) throw new GuessWasWrong();

  await tx.insert(decisions);
  await tx.recordMovements(decisions.filter(isAllocated).map(movementOf), nowMs);
  const epochs = new Map([...sales.values()].map((sale) => [sale.saleId, sale.epoch]));
  const moved = await tx.moveStock(moves, { fences: mode.fences, epochs });
  // Stock travels with the changes, so that a reader of the event has both as of this commit.
  const events = changeEvents(decisions.map(changeOf), moved, false, nowMs);
  await tx.recordEvents(events, nowMs);

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
  tx: AllocationTx,
  saleIds: string[],
  sales: ReadonlyMap<string, StockLevel>,
  mayBeStale: boolean,
): Promise<StockLevel[]> {
  const levels = mayBeStale ? await tx.stock(saleIds) : sales;
  return saleIds.flatMap((saleId) => levels.get(saleId) ?? []);
}

/** Adds what earlier deliveries decided, which goes into the mirror once more: they may have died before they did it. */
export function withRepeats(changed: Outcome, decidedBefore: ReservationRow[], unmoved: StockLevel[]): Outcome {
  const { stocks, reservations, events } = changed;
  return { stocks: [...stocks, ...unmoved], reservations: [...decidedBefore, ...reservations], events };
}

/** One claim for each reservation, however often a batch holds it. */
export function distinctClaims(batch: Delivered<ReserveCommand>[]): Claim[] {
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

function isAllocated({ state }: Decision): boolean {
  return state === 'allocated';
}

function movementOf({ reservationId, saleId, units }: Decision): Movement {
  return { subjectId: reservationId, kind: 'ALLOCATE', saleId, units };
}

function changeOf(decision: Decision): ReservationChange {
  const { reservationId, saleId, customerId, state, units, quantity, ticket, version, reason } = decision;
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
  };
}
