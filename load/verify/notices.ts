/**
 * I5, notices: each transition of each reservation and each outcome of each purchase is told once, to its owner; what
 * was listed or pushed to clients is among what was told. The order of pushes is judged while the clients' log is read.
 */
import type { ClientView } from './clients.ts';
import type { Stop } from './read-by-reservation.ts';
import type { NoticeRow, PurchaseRow, RefundRow, ReservationRow } from './store.ts';
import type { Tally } from './tally.ts';

/** Which notice may follow which. The first is the decision; cancelling an undecided request is one. */
const follows: Record<string, string[]> = {
  '': ['reservation.allocated', 'reservation.waitlisted', 'reservation.rejected', 'reservation.cancelled'],
  'reservation.allocated': ['reservation.purchased', 'reservation.cancelled', 'reservation.expired'],
  'reservation.waitlisted': ['reservation.offered', 'reservation.cancelled', 'reservation.expired'],
  'reservation.offered': ['reservation.purchased', 'reservation.cancelled', 'reservation.expired'],
  'reservation.purchased': ['reservation.refunded'],
};
/** Notices after which a reservation may be told that it was reduced; its state stays the same. */
const canShrink = ['reservation.allocated', 'reservation.waitlisted', 'reservation.offered', 'reservation.purchased'];
/** The state that a notice tells of. */
const stateTold = (kind: string) => (kind === 'reservation.offered' ? 'allocated' : kind.replace('reservation.', ''));

/** The states of a purchase that was captured and is, at least in part, still bought. */
const boughtStates = new Set(['captured', 'refund_failed']);

export class NoticeCheck {
  readonly #clients: ClientView;
  readonly #ofPurchases = new Map<string, NoticeRow[]>();
  readonly #listedLeft: Map<string, number>;
  /** How often a kind was told, for those told more than once, such as reminders of new times. */
  readonly #rounds = new Map<string, number>();

  constructor(clients: ClientView) {
    this.#clients = clients;
    this.#listedLeft = new Map(clients.listedNotices);
  }

  /** Judges the notices about one reservation; keeps those about a purchase for later. */
  add({ id, row, notices }: Stop, purchases: Map<string, PurchaseRow>, tally: Tally): void {
    for (const { version, kind } of notices) {
      const name = `${id}/${version}/${kind}`;
      const times = notices.filter((other) => other.version === version && other.kind === kind).length;
      if (times > 1) this.#rounds.set(name, times);
      this.#listedLeft.delete(name);
    }
    if (row) {
      this.#judge(row, notices, tally);
    } else if (purchases.has(id)) {
      this.#ofPurchases.set(id, notices);
    } else if (notices.length > 0) {
      tally.expect(false, () => `${notices.length} notices are about ${id}, which does not exist`);
    }
  }

  finish(purchases: Map<string, PurchaseRow>, refunds: Map<string, RefundRow[]>, tally: Tally): void {
    for (const purchase of purchases.values()) {
      const notices = this.#ofPurchases.get(purchase.id) ?? [];
      // A payment that needed its customer was announced first.
      const kinds = notices
        .map((notice) => notice.kind.replace('purchase.', ''))
        .filter((kind, index) => index > 0 || kind !== 'requires_action');
      // A refund of nothing returns units only; the notice of the reservation tells of it.
      const given = (refunds.get(purchase.id) ?? []).filter(
        ({ state, amountMinor }) => state === 'refunded' && amountMinor > 0,
      ).length;
      tally.expect(
        isTold(purchase.state, kinds, given),
        () =>
          `purchase ${purchase.id} is ${purchase.state} with ${given} refunds, and was told of as ${kinds.join(', ') || 'nothing'}`,
      );
      checkOwner(purchase.id, purchase.customerId, notices, tally);
    }
    for (const [name, count] of this.#clients.listedNotices) {
      tally.expect(
        count <= (this.#rounds.get(name) ?? 1) && !this.#listedLeft.has(name),
        () =>
          `a client's list showed the notice ${name} ${count} times${this.#listedLeft.has(name) ? ', and it is not there' : ''}`,
      );
    }
  }

  #judge(row: ReservationRow, all: NoticeRow[], tally: Tally): void {
    const notices = all.filter((notice) => notice.kind.startsWith('reservation.'));
    if (isSilent(row)) {
      tally.expect(notices.length === 0, () => `reservation ${row.id} was told of, though its whole was`);
      return;
    }
    let before = '';
    const waitedAt = new Set<number>();
    for (let version = 1; version <= row.version; version++) {
      const told = notices.filter((notice) => notice.version === version).map((notice) => notice.kind);
      const [kind = ''] = told;
      const isSmaller = kind === 'reservation.reduced';
      const mayFollow = isSmaller
        ? canShrink.includes(before)
        : (follows[before] ?? []).includes(kind) || isRefundedPart(row, before, kind);
      tally.expect(
        told.length === 1 && mayFollow,
        () =>
          `version ${version} of reservation ${row.id} was told as ${told.join(' and ') || 'nothing'}, after ${before || 'nothing'}`,
      );
      const shown = this.#clients.promised.get(row.id)?.seen.get(version);
      if (kind !== '' && shown !== undefined) {
        tally.expect(
          shown === stateTold(isSmaller ? before : kind),
          () => `version ${version} of reservation ${row.id} was told as ${kind} and shown as ${shown}`,
        );
      }
      if (!isSmaller) before = kind;
      if (before === 'reservation.waitlisted') waitedAt.add(version);
    }
    for (const { version } of all.filter(({ kind }) => kind === 'reminder.moved-up')) {
      tally.expect(
        waitedAt.has(version),
        () => `reservation ${row.id} was told a place in line at version ${version}, when it did not wait`,
      );
    }
    tally.expect(
      stateTold(before) === row.state,
      () => `reservation ${row.id} is ${row.state}, and the last that was told is ${before || 'nothing'}`,
    );
    const beyond = notices.filter((notice) => notice.version < 1 || notice.version > row.version);
    tally.expect(beyond.length === 0, () => `reservation ${row.id} was told of at a version that it never had`);
    const reminders = all
      .filter((notice) => notice.kind.startsWith('reminder.'))
      .map((notice) => `${notice.kind} of round ${notice.round}`);
    tally.expect(
      new Set(reminders).size === reminders.length,
      () => `reservation ${row.id} was reminded twice: ${reminders.join(', ')}`,
    );
    checkOwner(row.id, row.customerId, all, tally);
  }
}

/** A part that was given back when it was split off; the notice of its whole reports it. */
function isSilent({ partOf, state, version }: ReservationRow): boolean {
  return partOf !== null && state === 'cancelled' && version === 1;
}

/** A part of a purchase that was refunded when it was split off. */
function isRefundedPart({ partOf }: ReservationRow, before: string, kind: string): boolean {
  return partOf !== null && before === '' && kind === 'reservation.refunded';
}

/** Whether these kinds of notices, in their order, fit a purchase in a state, with each of its refunds. */
function isTold(state: string, kinds: string[], refunds: number): boolean {
  const parts = (count: number) => Array<string>(Math.max(0, count)).fill('refunded-in-part');
  const told = kinds.join();
  const given = state === 'refunded' ? [...parts(refunds - 1), 'refunded'] : parts(refunds);
  if (state === 'refunded' || boughtStates.has(state)) {
    // What was captured too late for all of it to be bought is told of when that has been given back.
    return told === ['captured', ...given].join() || (given.length > 0 && told === given.join());
  }
  return told === (state === 'declined' ? 'declined' : '');
}

function checkOwner(id: string, customerId: string, notices: NoticeRow[], tally: Tally): void {
  const others = notices.filter((notice) => notice.customerId !== customerId);
  tally.expect(others.length === 0, () => `${others.length} notices about ${id} went to another customer`);
}
