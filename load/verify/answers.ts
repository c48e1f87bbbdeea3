/**
 * I2, nothing lost: every 202 that a client saw reaches exactly one answer, and no queue has dead letters.
 *
 * I3, once: one reservation for each key that was accepted and none for any that was refused; each of its units moved
 * once, as its state says, however it was split; one ticket for one reservation.
 */
import type { ClientView } from './clients.ts';
import type { Depth } from './queues.ts';
import type { Stop } from './read-by-reservation.ts';
import type { MovementRow, PurchaseRow, ReservationRow, SaleRow } from './store.ts';
import type { Tallies, Tally } from './tally.ts';

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
      // A part comes from no request: `MovementCheck` checks its whole instead.
      if (row.partOf !== null) return;
      const whose = `${row.saleId}/${row.customerId}`;
      this.#unpromised.set(whose, [...(this.#unpromised.get(whose) ?? []), row.id]);
      return;
    }
    this.#found.add(row.id);
    tally.expect(decidedStates.has(row.state), () => `reservation ${row.id} is still ${row.state}`);
    tally.expect(
      row.saleId === promise.saleId &&
        row.customerId === promise.customerId &&
        [`${promise.quantity}/${promise.atLeast}`, ...promise.otherBodies].includes(
          `${row.askedQuantity ?? row.quantity}/${row.askedAtLeast ?? row.atLeast}`,
        ),
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

/** I3: units moved as the states of their reservations say, each once. */
export class MovementCheck {
  /** Reservations that were reduced or split, with their parts, by the id of the whole. */
  readonly #split = new Map<string, { row: ReservationRow; movements: MovementRow[] }[]>();

  add({ id, row, movements }: Stop, tally: Tally): void {
    if (!row) {
      for (const { kind } of movements) {
        tally.expect(kind === 'ADJUST', () => `the ledger has ${kind} for ${id}, which is no reservation`);
      }
    } else if (row.partOf === null && row.askedQuantity === null) {
      checkMovements(row, movements, tally);
    } else {
      const whole = row.partOf ?? id;
      this.#split.set(whole, [...(this.#split.get(whole) ?? []), { row, movements }]);
    }
  }

  /** A split reservation adds up: its parts and what is left of the whole account for every original unit. */
  finish(tally: Tally): void {
    for (const [id, rows] of this.#split) {
      const whole = rows.find(({ row }) => row.id === id)?.row;
      tally.expect(whole !== undefined, () => `${rows.length} reservations are parts of ${id}, which does not exist`);
      if (!whole) continue;
      const [sums, moved] = [new Map<string, number>(), new Map<string, number>()];
      const count = (into: typeof sums, kind: string, units: number) => into.set(kind, (into.get(kind) ?? 0) + units);
      for (const { row, movements } of rows) {
        const expected = expectedMovements(row);
        for (const kind of expected) count(sums, kind, row.units);
        for (const { kind, units } of movements) count(moved, kind, units);
        const strange = movements.filter(
          ({ kind }) => !expected.includes(kind) || (kind === 'ALLOCATE' && row !== whole),
        );
        tally.expect(
          strange.length === 0,
          () =>
            `reservation ${row.id} is ${row.state}, and has ${strange.map(({ kind }) => kind).join(', ')} of its own`,
        );
        const { saleId, customerId, ticket } = row;
        tally.expect(
          saleId === whole.saleId && customerId === whole.customerId && ticket === whole.ticket,
          () => `reservation ${row.id} is a part of ${id}, and not of its customer, its sale or its place in line`,
        );
      }
      for (const kind of new Set([...sums.keys(), ...moved.keys()])) {
        tally.expect(
          sums.get(kind) === moved.get(kind),
          () =>
            `of reservation ${id} and its parts, ${kind} moved ${moved.get(kind)} units instead of ${sums.get(kind)}`,
        );
      }
      const held = rows.reduce((sum, { row }) => sum + row.units, 0);
      tally.expect(
        held <= (whole.askedQuantity ?? whole.quantity),
        () => `reservation ${id} and its parts have ${held} units, and ${whole.askedQuantity} were asked for`,
      );
    }
  }
}

/** The movements of a reservation that was never split are exactly those of its state, each once and with its units. */
function checkMovements(row: ReservationRow, movements: MovementRow[], tally: Tally): void {
  const { id } = row;
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

/**
 * I3: the ticket of a row is the one that its client was given, and unique in the sale. It may be another one in two cases,
 * since whichever message of a key is decided first stands. A request under the key was accepted without the gate: then the
 * ticket may be the millisecond at which the queue took it, between its sending and its answer. Or a request under the key had
 * no answer: it may have had an earlier ticket of the gate that Redis has lost, or none, from its sending on.
 */
export class TicketCheck {
  readonly #clients: ClientView;
  readonly #given = new Map<string, string>();

  constructor(clients: ClientView) {
    this.#clients = clients;
  }

  add(row: ReservationRow, tally: Tally): void {
    const promise = this.#clients.promised.get(row.id);
    if (promise === undefined || promise.ticket === null) return;
    const { ticket, saleId, customerId, key } = promise;
    const unansweredMs = this.#clients.unanswered.get(`${saleId}/${customerId}`)?.get(key);
    const mayBeAnother =
      promise.withoutGate.some((one) => isTimeWithin(row.ticket, one)) ||
      (unansweredMs !== undefined && row.ticket >= unansweredMs * 1_000 && row.ticket < ticket);
    tally.expect(
      ticket === row.ticket || mayBeAnother,
      () => `reservation ${row.id} was given ticket ${ticket} and stands at ${row.ticket}`,
    );
    const name = `${row.saleId}/${ticket}`;
    const other = this.#given.get(name);
    tally.expect(other === undefined, () => `reservations ${row.id} and ${other} have the same ticket`);
    this.#given.set(name, row.id);
  }
}

/** Whether a ticket is a time of the queue, in whole milliseconds, at which it can have taken a request. */
function isTimeWithin(ticket: number, { sentMs, answeredMs }: { sentMs: number; answeredMs: number }): boolean {
  return ticket % 1_000 === 0 && ticket >= sentMs * 1_000 && ticket <= answeredMs * 1_000;
}
