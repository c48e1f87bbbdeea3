/**
 * The allocate worker: a batch of reservation requests, any mix of sales and customers, decided in one lock call and one
 * transaction.
 *
 * Invariants. I1: stock is written by one guarded statement, so this is exact without the lock. I3: a request that was
 * delivered before changes nothing, yet refreshes the mirror, since the first delivery may have died before it could.
 * I4: caps are summed from rows while the sale cannot change. I2: a message is acknowledged only after its commit.
 *
 * The first attempt does not hold the sales while it writes: it inserts, then moves stock under the guard, then checks
 * caps, and the row of a hot sale is held only for the last moments (the hot row last). If anything does not fit, or the
 * stock does not obviously suffice, the attempt is undone and the second one holds the sales from the start, so that it
 * must succeed. Both run the same code.
 */
import { changesPerEvent, type ReservationChange, type StockLevel } from '../events/catalogue.ts';
import { newEvent, type RecordedEvent } from '../events/outbox.ts';
import { type Movement, StockConflict } from '../inventory/stock.ts';
import type { Clock } from '../platform/clock.ts';
import { saleTag } from '../platform/id.ts';
import type { Grant, SaleLock } from '../platform/lock.ts';
import type { Delivered, MustRepeat } from '../platform/queue.ts';
import { type Claim, type Decision, decide, holdingKey } from './decide.ts';
import type { ReserveCommand } from './reservation.shapes.ts';
import { type AllocationStore, type AllocationTx, AlreadyDecided, firstVersion, type ReservationRow } from './store.ts';

/** What the worker needs from outside. */
export interface AllocationPorts {
  readonly clock: Clock;
  readonly lock: SaleLock;
  readonly store: AllocationStore;
  /** Copies committed stock and reservations into Redis; must not throw. */
  mirror(stocks: StockLevel[], reservations: ReservationRow[]): Promise<void>;
  /** Publishes committed events; must not throw. */
  publish(events: RecordedEvent[]): Promise<void>;
}

/** How long a worker waits for the locks of its sales before it goes on without them. */
export const lockWaitMs = 400;

/** Thrown inside an attempt whose guess turned out wrong; the transaction is undone and the sales are held next time. */
class GuessWasWrong extends Error {}

interface Outcome {
  readonly stocks: StockLevel[];
  readonly reservations: ReservationRow[];
  readonly events: RecordedEvent[];
}

/**
 * Decides every message of a batch. Returns none to repeat: either all are committed, or it throws and all come again.
 */
export async function allocateBatch(
  ports: AllocationPorts,
  batch: Delivered<ReserveCommand>[],
  deadlineMs: number,
): Promise<MustRepeat> {
  const claims = distinctClaims(batch);
  const saleIds = [...new Set(claims.map((claim) => claim.saleId))];
  // Waiting happens before any connection is taken, and never so long that the work itself would run out of time.
  const grant = await ports.lock.acquire(
    saleIds.map(saleTag),
    Math.min(lockWaitMs, Math.max(0, deadlineMs - ports.clock())),
  );
  try {
    const fences = new Map(saleIds.flatMap((saleId) => fenceOf(grant, saleId)));
    const outcome = await allocate(ports, claims, fences);
    await Promise.all([ports.mirror(outcome.stocks, outcome.reservations), ports.publish(outcome.events)]);
  } finally {
    await grant.release();
  }
  return [];
}

function fenceOf(grant: Grant, saleId: string): [string, number][] {
  const fence = grant.fences.get(saleTag(saleId));
  return fence === undefined ? [] : [[saleId, fence]];
}

async function allocate(
  ports: AllocationPorts,
  claims: Claim[],
  fences: ReadonlyMap<string, number>,
): Promise<Outcome> {
  try {
    return await ports.store.transaction((tx) => attempt(tx, claims, ports.clock(), { hold: false, fences }));
  } catch (error) {
    const foreseen =
      error instanceof GuessWasWrong || error instanceof StockConflict || error instanceof AlreadyDecided;
    if (!foreseen) throw error;
    // Holding the rows makes the fences pointless: what is read cannot be stale.
    return ports.store.transaction((tx) => attempt(tx, claims, ports.clock(), { hold: true, fences: new Map() }));
  }
}

interface Mode {
  /** Whether the sales are held from the start, or only while stock is moved. */
  readonly hold: boolean;
  readonly fences: ReadonlyMap<string, number>;
}

async function attempt(tx: AllocationTx, claims: Claim[], nowMs: number, mode: Mode): Promise<Outcome> {
  const saleIds = [...new Set(claims.map((claim) => claim.saleId))].sort();
  const sales = await tx.sales(saleIds, mode.hold);
  const decided = await tx.decided(claims.map((claim) => claim.reservationId));
  const fresh = claims.filter((claim) => !decided.has(claim.reservationId));
  const customerIds = [...new Set(fresh.map((claim) => claim.customerId))];

  const held = mode.hold ? await tx.held(saleIds, customerIds) : new Map<string, number>();
  const { decisions, moves, independentOfStock } = decide(fresh, sales, held, nowMs);
  if (!mode.hold && !independentOfStock) throw new GuessWasWrong();

  const events = changeEvents(decisions, nowMs);
  await tx.insert(decisions, nowMs);
  await tx.recordMovements(decisions.flatMap(movementOf), nowMs);
  const epochs = new Map([...sales.values()].map((sale) => [sale.saleId, sale.epoch]));
  const moved = await tx.moveStock(moves, { fences: mode.fences, epochs });
  if (!mode.hold) {
    const after = await tx.held(saleIds, customerIds);
    const overCap = fresh.some(({ saleId, customerId }) => {
      const cap = sales.get(saleId)?.capPerCustomer;
      return cap !== undefined && (after.get(holdingKey(saleId, customerId)) ?? 0) > cap;
    });
    if (overCap) throw new GuessWasWrong();
  }
  // Stock travels with the changes, so that a reader of the event has both as of this commit.
  for (const event of events) event.detail.stocks = moved;
  await tx.recordEvents(events, nowMs);

  const unmoved = saleIds.filter((saleId) => sales.has(saleId) && !moves.some((move) => move.saleId === saleId));
  // A first delivery may have committed between the look at the sales and the one at what is decided, and have died
  // before the mirror: the stock that goes with what is decided must be read after it.
  const levels = mode.hold || decided.size === 0 ? sales : await tx.stock(unmoved);
  const stocks = [...moved, ...unmoved.flatMap((saleId) => levels.get(saleId) ?? [])];
  const rows = decisions.map((decision) => rowOf(decision, nowMs));
  return { stocks, reservations: [...decided.values(), ...rows], events };
}

/** One claim for each reservation, however often a batch holds it. */
function distinctClaims(batch: Delivered<ReserveCommand>[]): Claim[] {
  const claims = new Map<string, Claim>();
  for (const { message, sentAtMs } of batch) {
    const { ticket, correlationId: _, ...request } = message;
    const known = claims.get(message.reservationId);
    // A repeat that passed the gate knows the place in line; one that was sent while the gate was away does not.
    if (known && (known.gated || ticket === undefined)) continue;
    claims.set(message.reservationId, {
      ...request,
      ticket: ticket ?? sentAtMs * 1000,
      acceptedAtMs: ticket === undefined ? sentAtMs : Math.floor(ticket / 1000),
      gated: ticket !== undefined,
    });
  }
  return [...claims.values()];
}

function movementOf({ claim, state, units }: Decision): Movement[] {
  if (state !== 'allocated') return [];
  return [{ subjectId: claim.reservationId, kind: 'ALLOCATE', saleId: claim.saleId, units }];
}

function changeEvents(decisions: Decision[], nowMs: number): RecordedEvent[] {
  const events: RecordedEvent[] = [];
  for (let start = 0; start < decisions.length; start += changesPerEvent) {
    const changes = decisions.slice(start, start + changesPerEvent).map(changeOf);
    events.push(newEvent('reservations.changed', { changes, stocks: [], released: false }, nowMs));
  }
  return events;
}

function changeOf({ claim, state, units, reason }: Decision): ReservationChange {
  return {
    reservationId: claim.reservationId,
    saleId: claim.saleId,
    customerId: claim.customerId,
    from: 'requested',
    to: state,
    units,
    quantity: claim.quantity,
    ticket: claim.ticket,
    version: firstVersion,
    ...(reason === null ? {} : { reason }),
  };
}

function rowOf({ claim, state, units, reason }: Decision, nowMs: number): ReservationRow {
  const { gated: _, ...request } = claim;
  return {
    ...request,
    state,
    units,
    reason,
    deadlineMs: null,
    purchaseId: null,
    version: firstVersion,
    decidedAtMs: nowMs,
  };
}
