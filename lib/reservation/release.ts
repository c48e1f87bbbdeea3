/**
 * Units come back: a customer cancels, an offer or the purchase window ends, a sale is called off, stock is added. What
 * comes back is offered to the waitlist in the same transaction.
 *
 * Invariants I1 and I3: each verb holds the sale, ends each reservation at most once, writes its movements into the
 * ledger, and moves stock by exactly their sum. A reservation that a purchase is paying for is left alone: capture and
 * expiry compete on its row, and whoever comes second finds that it has moved.
 */
import type { StockLevel } from '#events/catalogue.ts';
import type { ReservationChange } from '#events/changes.ts';
import { changeEvents, type RecordedEvent } from '#events/outbox.ts';
import type { MirroredReservation } from '#mirror/mirror.ts';
import type { Clock } from '#platform/kernel/clock.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import { newId, saleTag } from '#platform/kernel/ids.ts';
import type { Movement, SaleRow } from '#sale/stock.ts';
import { mayMove } from '#state/reservation-state.ts';
import { decideOffers, type Offer } from './offer.ts';
import { firstIdOf, type InventoryStore, type InventoryTx } from './release.store.ts';
import type { ReservationRow } from './store.ts';

/** What the release verbs need from outside. */
export interface InventoryPorts {
  readonly clock: Clock;
  readonly store: InventoryStore;
  /** Copies committed stock and reservations into Redis; must not throw. */
  mirror(stocks: StockLevel[], reservations: MirroredReservation[]): Promise<void>;
  /** Publishes committed events; must not throw. */
  publish(events: RecordedEvent[]): Promise<void>;
}

/** How many reservations one transaction ends or offers to, so that none holds a sale for long. */
const rowsPerTransaction = 500;

interface Committed {
  readonly stocks: StockLevel[];
  readonly reservations: MirroredReservation[];
  readonly events: RecordedEvent[];
}

const nothing: Committed = { stocks: [], reservations: [], events: [] };

/**
 * Cancels a reservation for its owner; its units go to the waitlist. Refuses with `not_found` for another customer's,
 * `already_resolved` when nothing is left to cancel, and `purchase_in_progress` while it is being paid.
 */
export async function cancelReservation(
  ports: InventoryPorts,
  saleId: string,
  reservationId: string,
  customerId: string,
): Promise<{ cancelled: true } | Refusal> {
  const result = await ports.store.transaction(async (tx): Promise<Committed | Refusal> => {
    const nowMs = ports.clock();
    const sale = await tx.holdSale(saleId);
    const [row] = await tx.reservations([reservationId]);
    if (!sale || !row || row.customerId !== customerId) return refuse('not_found', 'You have no such reservation.');
    const verdict = judgeCancellation(row);
    if (verdict !== 'cancel') return verdict === 'cancelled already' ? nothing : verdict;
    return endAndOffer(tx, sale, [row], 'cancelled', null, nowMs);
  });
  if ('refused' in result) return result;
  await tell(ports, result);
  return { cancelled: true };
}

/** Whether a reservation is to be cancelled, or why it cannot be. Pure. */
export function judgeCancellation(row: ReservationRow): 'cancel' | 'cancelled already' | Refusal {
  if (row.state === 'cancelled') return 'cancelled already';
  if (!mayMove(row.state, 'cancelled')) return refuse('already_resolved', `The reservation is ${row.state}.`);
  if (row.purchaseId !== null) return refuse('purchase_in_progress', 'The reservation is being paid for.');
  return 'cancel';
}

/**
 * Ends what is over in a sale: offers past their deadline; after the purchase window everything that is not bought; in a
 * cancelled sale everything. Offers what is left to the waitlist. Harmless at any time and any number of times; a
 * paused sale is left as it is. Returns how many reservations ended.
 */
export async function expireSale(ports: InventoryPorts, saleId: string, deadlineMs: number): Promise<number> {
  let ended = 0;
  let afterId = firstIdOf(saleId);
  for (;;) {
    const step = await ports.store.transaction(async (tx) => {
      const nowMs = ports.clock();
      const sale = await tx.holdSale(saleId);
      if (!sale || sale.status === 'paused') return { committed: nothing, rows: [], whole: false };
      const whole = sale.status === 'cancelled' || nowMs >= sale.purchaseClosesAtMs;
      const rows = whole ? await overIn(tx, saleId, afterId) : await tx.offersEnded(saleId, nowMs, rowsPerTransaction);
      const cancelled = sale.status === 'cancelled';
      const reason = cancelled ? 'sale_cancelled' : whole ? 'window_closed' : 'deadline_passed';
      const committed = await endAndOffer(tx, sale, rows, cancelled ? 'cancelled' : 'expired', reason, nowMs);
      return { committed, rows, whole };
    });
    await tell(ports, step.committed);
    ended += step.rows.length;
    const lastAllocated = step.rows.findLast((row) => row.state === 'allocated');
    if (step.whole && lastAllocated) afterId = lastAllocated.reservationId;
    // Progress is a row that ended or an offer that was made; without either there is nothing left to do.
    if (step.committed.reservations.length === 0 || ports.clock() >= deadlineMs) return ended;
  }
}

/** Adds units to a sale, or with a negative number takes back available ones. What is added goes to the waitlist. */
export async function adjustStock(ports: InventoryPorts, saleId: string, units: number): Promise<StockLevel | Refusal> {
  const result = await ports.store.transaction(async (tx): Promise<Committed | Refusal> => {
    const nowMs = ports.clock();
    const sale = await tx.holdSale(saleId);
    if (!sale) return refuse('not_found', 'There is no such sale.');
    if (sale.available + units < 0) {
      return refuse('illegal_state', `Only ${sale.available} units are available; the others belong to customers.`, {
        available: sale.available,
      });
    }
    await tx.recordMovements([adjustment(saleId, units, nowMs)], nowMs);
    const adjusted = { ...sale, available: sale.available + units };
    return offerAndMove(tx, adjusted, [], { allotment: units, available: units }, nowMs);
  });
  if ('refused' in result) return result;
  await tell(ports, result);
  const [level] = result.stocks;
  return level ?? refuse('not_found', 'There is no such sale.');
}

/** The movement that brings units into a sale or takes them out. Its id carries the sale's tag, as reservations' do. */
export function adjustment(saleId: string, units: number, nowMs: number): Movement {
  const tag = saleTag(saleId);
  const subjectId = `${tag.slice(0, 8)}-${tag.slice(8)}-${newId(nowMs).slice(14)}`;
  return { subjectId, kind: 'ADJUST', saleId, units };
}

async function overIn(tx: InventoryTx, saleId: string, afterId: string): Promise<ReservationRow[]> {
  const allocated = await tx.allocatedAfter(saleId, afterId, rowsPerTransaction);
  const waiting = await tx.waiting(saleId, rowsPerTransaction - allocated.length);
  return [...allocated, ...(await tx.reservations(waiting.map((one) => one.reservationId)))];
}

async function endAndOffer(
  tx: InventoryTx,
  sale: SaleRow,
  rows: ReservationRow[],
  to: 'cancelled' | 'expired',
  reason: string | null,
  nowMs: number,
): Promise<Committed> {
  const held = rows.filter((row) => row.state === 'allocated');
  const units = held.reduce((sum, row) => sum + row.units, 0);
  await tx.end(rows, to, reason);
  await tx.recordMovements(
    held.map((row) => ({ subjectId: row.reservationId, kind: 'RELEASE', saleId: row.saleId, units: row.units })),
    nowMs,
  );
  const after = {
    ...sale,
    available: sale.available + units,
    waitlisted: sale.waitlisted - (rows.length - held.length),
  };
  const ended = rows.map((row) => ({ ...row, state: to, version: row.version + 1, from: row.state, reason }));
  const deltas = { available: units, allocated: -units, waitlisted: held.length - rows.length };
  return offerAndMove(tx, after, ended, deltas, nowMs);
}

type Ended = ReservationRow & { from: ReservationRow['state'] };
type Deltas = { allotment?: number; available: number; allocated?: number; waitlisted?: number };

/** Offers what is available in a sale, then moves its stock once by everything that happened. */
async function offerAndMove(
  tx: InventoryTx,
  sale: SaleRow,
  ended: Ended[],
  deltas: Deltas,
  nowMs: number,
): Promise<Committed> {
  const waiting = sale.available > 0 && sale.waitlisted > 0 ? await tx.waiting(sale.saleId, rowsPerTransaction) : [];
  const offers = decideOffers(sale, sale.available, waiting, nowMs);
  const offered = offers.reduce((sum, one) => sum + one.units, 0);
  const changed = Object.values(deltas).some((delta) => delta !== 0) || offers.length > 0 || ended.length > 0;
  if (!changed) return nothing;
  await tx.offer(offers);
  await tx.recordMovements(
    offers.map(({ waiting: one, units }) => ({
      subjectId: one.reservationId,
      kind: 'ALLOCATE',
      saleId: sale.saleId,
      units,
    })),
    nowMs,
  );
  const stock = await tx.moveStock({
    saleId: sale.saleId,
    allotment: deltas.allotment ?? 0,
    available: deltas.available - offered,
    allocated: (deltas.allocated ?? 0) + offered,
    waitlisted: (deltas.waitlisted ?? 0) - offers.length,
  });
  const changes = [...ended.map(endedChange), ...offers.map(offeredChange)];
  // More may be waiting than one transaction offers to; whoever hears that units were released goes on.
  const released = stock.available > 0 && stock.waitlisted > 0 && offers.length > 0;
  const events = changeEvents(changes, [stock], released, nowMs);
  await tx.recordEvents(events, nowMs);
  return { stocks: [stock], reservations: [...ended, ...offers.map(offeredRow)], events };
}

async function tell(ports: InventoryPorts, committed: Committed): Promise<void> {
  if (committed.stocks.length === 0) return;
  await Promise.all([ports.mirror(committed.stocks, committed.reservations), ports.publish(committed.events)]);
}

function endedChange(row: Ended): ReservationChange {
  const { reservationId, saleId, customerId, units, quantity, ticket, version, reason } = row;
  const change = { reservationId, saleId, customerId, from: row.from, to: row.state, units, quantity, ticket, version };
  return reason === null ? change : { ...change, reason };
}

function offeredChange({ waiting, units, deadlineMs }: Offer): ReservationChange {
  const { reservationId, saleId, customerId, quantity, ticket, version } = waiting;
  const moved = { from: 'waitlisted', to: 'allocated', version: version + 1 } as const;
  return { reservationId, saleId, customerId, ...moved, units, quantity, ticket, deadlineMs };
}

function offeredRow({ waiting, units }: Offer): MirroredReservation {
  return { ...waiting, state: 'allocated', units, version: waiting.version + 1 };
}
