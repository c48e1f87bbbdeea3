/**
 * I2, nothing lost: every 202 that a client saw reaches exactly one answer, and no queue has dead letters.
 *
 * I3, once: one reservation for each key that was accepted and none for any that was refused; each of its units moved
 * once, as its state says; one ticket for one reservation.
 */
import type { ClientView } from './clients.ts';
import type { Depth } from './queues.ts';
import type { PurchaseRow, ReservationRow, SaleRow } from './store.ts';
import type { Tallies, Tally } from './tally.ts';
import type { Stop } from './walk.ts';

const decidedStates = new Set(['allocated', 'waitlisted', 'rejected', 'purchased', 'cancelled', 'expired', 'refunded']);
const settledStates = new Set(['captured', 'declined', 'refunded']);

export class AnswerCheck {
  readonly #clients: ClientView;
  readonly #found = new Set<string>();
  /** Reservations that no client holds a 202 for, by sale and customer. */
  readonly #unpromised = new Map<string, string[]>();

  constructor(clients: ClientView) {
    this.#clients = clients;
  }

  /** I2: compares one reservation with what its client was promised and shown. */
  add(row: ReservationRow, sale: SaleRow | undefined, nowMs: number, tally: Tally): void {
    const promise = this.#clients.promised.get(row.id);
    if (!promise) {
      // Sales that the log does not speak of have clients of their own.
      if (!this.#clients.sales.has(row.saleId)) return;
      const whose = `${row.saleId}/${row.customerId}`;
      this.#unpromised.set(whose, [...(this.#unpromised.get(whose) ?? []), row.id]);
      return;
    }
    this.#found.add(row.id);
    tally.expect(decidedStates.has(row.state), () => `reservation ${row.id} is still ${row.state}`);
    tally.expect(
      row.saleId === promise.saleId &&
        row.customerId === promise.customerId &&
        [`${promise.quantity}/${promise.atLeast}`, ...promise.otherBodies].includes(`${row.quantity}/${row.atLeast}`),
      () => `reservation ${row.id} is not what its client asked for`,
    );
    const over = sale !== undefined && sale.status !== 'paused' && nowMs >= sale.purchaseClosesAtMs;
    tally.expect(
      !over || (row.state !== 'allocated' && row.state !== 'waitlisted'),
      () => `reservation ${row.id} is ${row.state} although its sale is over`,
    );
    const newest = Math.max(0, ...promise.seen.keys());
    const shown = promise.seen.get(newest);
    tally.expect(
      newest < row.version || (newest === row.version && shown === row.state) || newest === 0,
      () => `reservation ${row.id} was shown as ${shown} at version ${newest} and is ${row.state} at ${row.version}`,
    );
  }

  /** I2 and I3: promised reservations without a row, and rows without a request. */
  finish(purchases: Map<string, PurchaseRow>, dead: Map<string, Depth>, tallies: Tallies): void {
    for (const promise of this.#clients.promised.values()) {
      tallies.I2.expect(
        this.#found.has(promise.reservationId),
        () => `reservation ${promise.reservationId} was accepted (202 at ${promise.firstAnsweredMs}) and is lost`,
      );
    }
    for (const promise of this.#clients.purchases.values()) {
      const row = purchases.get(promise.purchaseId);
      tallies.I2.expect(
        row !== undefined && settledStates.has(row.state),
        () => `purchase ${promise.purchaseId} was accepted and is ${row?.state ?? 'lost'}`,
      );
    }
    for (const [name, { visible, inFlight, delayed }] of dead) {
      const left = visible + inFlight + delayed;
      tallies.I2.expect(left === 0, () => `${left} dead letters of ${name}`);
    }
    for (const [whose, ids] of this.#unpromised) {
      const unanswered = this.#clients.unanswered.get(whose)?.size ?? 0;
      tallies.I3.expect(
        ids.length <= unanswered,
        () => `${ids.length} reservations of ${whose} come from ${unanswered} requests without an answer: ${ids[0]}`,
      );
    }
  }
}

/** Which movements a reservation's state stands for. */
function expectedMovements({ state, units }: ReservationRow): string[] {
  if (state === 'allocated') return ['ALLOCATE'];
  if (state === 'purchased') return ['ALLOCATE', 'SELL'];
  if (state === 'refunded') return ['ALLOCATE', 'SELL', 'RELEASE'];
  // A waitlisted reservation never held units, so none were released.
  if ((state === 'cancelled' || state === 'expired') && units > 0) return ['ALLOCATE', 'RELEASE'];
  return [];
}

/** I3: the movements of one id are exactly those of its state, each once and with its units. */
export function checkMovements({ id, row, movements }: Stop, tally: Tally): void {
  if (!row) {
    for (const { kind } of movements) {
      tally.expect(kind === 'ADJUST', () => `the ledger has ${kind} for ${id}, which is no reservation`);
    }
    return;
  }
  const kinds = movements.map((movement) => movement.kind).sort();
  const expected = expectedMovements(row).sort();
  tally.expect(
    kinds.join() === expected.join(),
    () => `reservation ${id} is ${row.state}, and its movements are ${kinds.join(', ') || 'none'}`,
  );
  for (const { kind, units, saleId } of movements) {
    tally.expect(
      units === row.units && saleId === row.saleId,
      () => `${kind} of reservation ${id} moved ${units} units instead of ${row.units}`,
    );
  }
}

/** I3: the ticket of a row is the one that its client was given, and unique in the sale. */
export class TicketCheck {
  readonly #clients: ClientView;
  readonly #given = new Map<string, string>();

  constructor(clients: ClientView) {
    this.#clients = clients;
  }

  add(row: ReservationRow, tally: Tally): void {
    const ticket = this.#clients.promised.get(row.id)?.ticket;
    if (ticket == null) return;
    tally.expect(
      ticket === row.ticket,
      () => `reservation ${row.id} was given ticket ${ticket} and stands at ${row.ticket}`,
    );
    const name = `${row.saleId}/${ticket}`;
    const other = this.#given.get(name);
    tally.expect(other === undefined, () => `reservations ${row.id} and ${other} have the same ticket`);
    this.#given.set(name, row.id);
  }
}
