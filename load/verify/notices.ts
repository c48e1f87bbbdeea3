/**
 * I5, notices: each transition of each reservation and each outcome of each purchase is told once, to its owner; what
 * was listed or pushed to clients is among what was told. The order of pushes is judged while the clients' log is read.
 */
import type { ClientView } from './clients.ts';
import type { NoticeRow, PurchaseRow, ReservationRow } from './store.ts';
import type { Tally } from './tally.ts';
import type { Stop } from './walk.ts';

/** Which notice may follow which; the first is what the decision was, and cancelling what is undecided is one. */
const follows: Record<string, string[]> = {
  '': ['reservation.allocated', 'reservation.waitlisted', 'reservation.rejected', 'reservation.cancelled'],
  'reservation.allocated': ['reservation.purchased', 'reservation.cancelled', 'reservation.expired'],
  'reservation.waitlisted': ['reservation.offered', 'reservation.cancelled', 'reservation.expired'],
  'reservation.offered': ['reservation.purchased', 'reservation.cancelled', 'reservation.expired'],
  'reservation.purchased': ['reservation.refunded'],
};
/** The state that a notice tells of. */
const stateTold = (kind: string) => (kind === 'reservation.offered' ? 'allocated' : kind.replace('reservation.', ''));

/** What purchases are told of when they are settled. */
const purchaseKinds: Record<string, string[]> = {
  captured: ['purchase.captured'],
  declined: ['purchase.declined'],
  refunded: ['purchase.captured', 'purchase.refunded'],
  refund_failed: ['purchase.captured'],
};
/** What goes back in parts is told part by part, and says nothing of how the purchase ended. */
const inPart = 'purchase.refunded-in-part';

export class NoticeCheck {
  readonly #clients: ClientView;
  readonly #ofPurchases = new Map<string, NoticeRow[]>();
  readonly #listedLeft: Map<string, number>;
  /** Of what was told more than once in one kind, as reminders of new times are: how often. */
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

  finish(purchases: Map<string, PurchaseRow>, tally: Tally): void {
    for (const purchase of purchases.values()) {
      const all = this.#ofPurchases.get(purchase.id) ?? [];
      const notices = all.filter(({ kind }) => kind !== inPart);
      const kinds = notices.map((notice) => notice.kind);
      const allowed = purchaseKinds[purchase.state] ?? [];
      const last = allowed.at(-1);
      tally.expect(
        new Set(kinds).size === kinds.length && kinds.every((kind) => allowed.includes(kind)) && lastIs(notices, last),
        () => `purchase ${purchase.id} is ${purchase.state}, and was told of as ${kinds.join(', ') || 'nothing'}`,
      );
      checkOwner(purchase.id, purchase.customerId, all, tally);
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
    let before = '';
    for (let version = 1; version <= row.version; version++) {
      const told = notices.filter((notice) => notice.version === version).map((notice) => notice.kind);
      const [kind = ''] = told;
      tally.expect(
        told.length === 1 && (follows[before] ?? []).includes(kind),
        () =>
          `version ${version} of reservation ${row.id} was told as ${told.join(' and ') || 'nothing'}, after ${before || 'nothing'}`,
      );
      const shown = this.#clients.promised.get(row.id)?.seen.get(version);
      if (kind !== '' && shown !== undefined) {
        tally.expect(
          shown === stateTold(kind),
          () => `version ${version} of reservation ${row.id} was told as ${kind} and shown as ${shown}`,
        );
      }
      before = kind;
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

function lastIs(notices: NoticeRow[], kind: string | undefined): boolean {
  return kind === undefined ? notices.length === 0 : notices.at(-1)?.kind === kind;
}

function checkOwner(id: string, customerId: string, notices: NoticeRow[], tally: Tally): void {
  const others = notices.filter((notice) => notice.customerId !== customerId);
  tally.expect(others.length === 0, () => `${others.length} notices about ${id} went to another customer`);
}
