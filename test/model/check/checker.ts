/**
 * The invariants of the design, held against everything that is committed, mirrored, published and paid in a model.
 *
 * It believes nothing that the shipped code says of itself: it hears of committed rows, of Redis fields, of events and
 * charges, keeps its own books of them, and knows by its own table which moves are legal. Safety is checked at each
 * commit and each write, what must hold in the end by `atRest`. Made by `setting.ts`.
 */

import { type ChangeGroup, expandChanges } from '#events/changes.ts';
import { customerField, type MirroredStatus, reservationField, unpack } from '#mirror/claims.ts';
import type { CustomerId, PurchaseId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { rowsPerTransaction } from '#reservation/release.ts';
import { bucketsOf, claimBucket, saleTag } from '#sale/sale-id.ts';
import { Digest, Sum } from '../world/choice.ts';
import type { Row, RowChange, Value } from '../world/mysql.ts';
import { givenBack } from '../world/provider.ts';
import type { Excuse, World } from '../world/world.ts';
import { ClockCheck, type ToldDetail } from './clock-check.ts';
import { Columns } from './columns.ts';
import { MoneyCheck } from './money-check.ts';

/** Which moves a reservation may make, as the design says. */
const reservationMoves: Record<string, string[]> = {
  new: ['allocated', 'waitlisted', 'rejected', 'cancelled'],
  waitlisted: ['allocated', 'cancelled', 'expired'],
  allocated: ['purchased', 'cancelled', 'expired'],
  purchased: ['refunded'],
};

/** What units become that are split off, by the state of the reservation that had them. */
const partsOf: Record<string, string[]> = {
  allocated: ['allocated', 'cancelled'],
  purchased: ['refunded'],
};

const purchaseMoves: Record<string, string[]> = {
  new: ['requested'],
  requested: ['unknown', 'requires_action', 'captured', 'declined', 'refunding', 'refunded', 'disputed'],
  unknown: ['requires_action', 'captured', 'declined', 'refunding', 'refunded', 'disputed'],
  requires_action: ['captured', 'declined', 'refunding', 'refunded', 'disputed'],
  captured: ['refunding', 'refunded'],
  declined: ['refunding', 'refunded', 'disputed'],
  refunding: ['captured', 'refunded', 'refund_failed'],
  refund_failed: ['refunding', 'captured', 'refunded'],
  disputed: ['captured', 'refunding', 'refunded'],
  refunded: ['refunding'],
};

const stateLetters: Record<string, string> = {
  allocated: 'a',
  waitlisted: 'w',
  rejected: 'x',
  purchased: 'p',
  cancelled: 'c',
  expired: 'e',
  refunded: 'f',
};

/** The states of a purchase that its customer is told of. */
const toldPurchaseStates = new Set(['captured', 'declined', 'refunded', 'requires_action']);
/** The states of a purchase whose units nobody else may have. */
const payingStates = new Set(['requested', 'unknown', 'requires_action', 'disputed']);
/** The states in which money goes back. */
const givenBackStates = new Set(['refunding', 'refund_failed']);
/** The longest that a purchase waits for its customer. */
const actionLifeAtMostMs = 30 * 60_000;
/** How long after the end of a customer's action its units wait for the provider's word. */
const actionGraceMs = 120_000;
/** Reasons to decline that do not need the provider's word. */
const ownDeclineReasons = new Set(['provider_unavailable', 'sale_cancelled']);

interface Books {
  readonly reservations: Map<ReservationId, Row>;
  readonly waiting: Map<ReservationId, Row>;
  readonly held: Map<string, number>;
  allocated: number;
  sold: number;
  adjusted: number;
  heldByLedger: number;
  soldByLedger: number;
  /** Stock as it was at each version. */
  readonly versions: Map<string, string>;
  mirroredAt: { epoch: number; version: number };
  /** Its row before each change of its times, and when that was. */
  readonly replaced: { readonly row: Row; readonly atMs: number }[];
}

/** What a customer was told. */
interface Told {
  readonly saleId: SaleId;
  readonly firstAskedMs: number;
  readonly tickets: Set<number>;
  accepted: boolean;
  lastToldMs: number;
  /** The reference of the shop with which it was accepted. */
  reference: string | undefined;
}

/** What says when units can be bought. */
const timeColumns = ['purchase_opens_at_ms', 'purchase_closes_at_ms', 'clock_offset_ms'];
const counters = ['allotment', 'available', 'allocated', 'sold', 'waitlisted'] as const;

/** Whether a reservation was split off another one. */
function isPartOf(columns: Columns, row: Row): boolean {
  return columns.value(row, 'part_of') !== null;
}

export class Checker {
  readonly #world: World;
  readonly #sales: Columns;
  readonly #reservations: Columns;
  readonly #ledger: Columns;
  readonly #purchases: Columns;
  readonly #refunds: Columns;
  readonly #items: Columns;
  readonly #outbox: Columns;
  readonly #notices: Columns;
  readonly #waitlist: Columns;
  readonly #grants: Columns;
  readonly #clock: ClockCheck;
  readonly #money: MoneyCheck;
  #books = new Map<SaleId, Books>();
  /** Reservations of customers whose address is not verified. */
  #unverified = new Set<ReservationId>();
  #codes = new Map<ReservationId, string | undefined>();
  #told = new Map<ReservationId, Told>();
  #toldPurchases = new Set<PurchaseId>();
  #published = new Set<string>();
  #dirty = new Set<string>();
  /** The reservation behind a field of the mirror. */
  #fields = new Map<string, Row>();
  #saleIds = new Map<string, SaleId>();
  /** Moves that customers must be told of: subject, version and state. */
  #moves = new Map<string, string>();
  /** The purchases of which money goes back with the commit under way, as they are stored. */
  #paidBack: ReadonlySet<string> = new Set();
  /** True while what is committed already is taken as it is. */
  #attaching = false;
  /** What Redis has lost since it began cannot be held against the mirror. */
  redisWasLost = false;

  constructor(world: World) {
    this.#world = world;
    const columns = (name: string) => new Columns(world.mysql.table(name));
    this.#sales = columns('sales');
    this.#reservations = columns('reservations');
    this.#ledger = columns('ledger');
    this.#purchases = columns('purchases');
    this.#items = columns('purchase_items');
    this.#refunds = columns('refunds');
    this.#outbox = columns('outbox');
    this.#notices = columns('notifications');
    this.#waitlist = columns('waitlist');
    this.#grants = columns('grants');
    this.#clock = new ClockCheck(
      { sales: this.#sales, reservations: this.#reservations, notices: this.#notices },
      (invariant, detail) => this.#fail(invariant, detail),
    );
    this.#money = new MoneyCheck(world, (invariant, detail) => this.#fail(invariant, detail));
    this.attach();
  }

  /** Forgets everything and takes what is committed now as the beginning. */
  attach(): void {
    this.#books = new Map();
    this.#told = new Map();
    this.#unverified = new Set();
    this.#codes = new Map();
    this.#toldPurchases = new Set();
    this.#published = new Set();
    this.#dirty = new Set();
    this.#fields = new Map();
    this.#saleIds = new Map();
    this.#moves = new Map();
    this.#clock.reset();
    this.#paidBack = new Set();
    this.#money.reset();
    this.redisWasLost = false;
    const world = this.#world;
    world.onRowChanges = (changes) => this.#committed(changes);
    world.onPublished = (eventId) => this.#published.add(eventId);
    world.redis.onHash = (key, field, before, after) => this.#mirrored(key, field, before, after);
    this.#attaching = true;
    for (const table of ['sales', 'ledger', 'reservations', 'waitlist']) {
      const changes = [...world.mysql.table(table).rows()].map((after) => ({ table, before: undefined, after }));
      for (const change of changes) this.#book(change);
    }
    this.#attaching = false;
    for (const row of world.mysql.table('sales').rows()) this.#noteVersion(row);
    // What happened before has been told before, unless its events still wait.
    if (world.mysql.table('outbox').stored.size === 0) this.#moves.clear();
  }

  /** A customer asks for a reservation. */
  asked(reservationId: ReservationId, saleId: SaleId): void {
    if (this.#told.has(reservationId)) return;
    const nowMs = this.#world.nowMs;
    this.#told.set(reservationId, {
      saleId,
      firstAskedMs: nowMs,
      tickets: new Set(),
      accepted: false,
      lastToldMs: nowMs,
      reference: undefined,
    });
  }

  /** This reservation is asked for by a customer who cannot show that their address is theirs. */
  unverified(reservationId: ReservationId): void {
    this.#unverified.add(reservationId);
  }

  /** With which code this reservation is asked for, or with none. */
  shows(reservationId: ReservationId, code: string | undefined): void {
    this.#codes.set(reservationId, code);
  }

  /** A customer has been told 202. */
  accepted(reservationId: ReservationId, ticket: number | null, reference?: string): void {
    const told = this.#told.get(reservationId);
    if (!told) throw new Error('accepted without being asked');
    told.accepted = true;
    told.reference = reference;
    told.lastToldMs = this.#world.nowMs;
    if (ticket !== null) told.tickets.add(ticket);
  }

  /** Redis has lost its memory: what it shows next may be older than what it showed. */
  lostRedis(): void {
    this.redisWasLost = true;
    for (const books of this.#books.values()) books.mirroredAt = { epoch: 0, version: 0 };
  }

  /** Checks what was written to the mirror since the last time. To be called after each step. */
  afterStep(): void {
    if (this.#dirty.size === 0) return;
    for (const key of this.#dirty) this.#checkMirroredSale(key);
    this.#dirty.clear();
  }

  /** The part of these books that can change later verdicts. */
  digest(): number {
    const sum = new Sum();
    for (const [id, told] of this.#told) {
      sum.add(
        new Digest()
          .text(id)
          .add(told.accepted)
          .add([...told.tickets])
          .value(),
      );
    }
    for (const id of this.#toldPurchases) sum.add(new Digest().text(id).value());
    for (const id of this.#published) sum.add(new Digest().text(id).value());
    sum.add(this.#money.digest());
    for (const { mirroredAt } of this.#books.values()) sum.add(new Digest().number(mirroredAt.version).value());
    return sum.value();
  }

  /** A customer has been told 202 for a purchase. */
  purchaseAccepted(purchaseId: PurchaseId): void {
    this.#toldPurchases.add(purchaseId);
    if (!this.redisWasLost && !this.#world.excuses.has('deaf')) this.#checkPaidFor(purchaseId);
  }

  /** I6: from the answer on, the mirror does not show as free what the purchase is paying for. */
  #checkPaidFor(purchaseId: PurchaseId): void {
    const c = this.#reservations;
    for (const item of this.#itemsOf(Buffer.from(purchaseId.replaceAll('-', ''), 'hex').toString('latin1'))) {
      const key = this.#items.text(item, 'reservation_id');
      const row = this.#world.mysql.table('reservations').stored.get(key)?.committed;
      // It may have been settled, or let go, before the answer came.
      if (!row || c.text(row, 'state') !== 'allocated' || c.value(row, 'purchase_id') === null) continue;
      const [id, customerId] = [c.id(row, 'id'), c.id(row, 'customer_id')];
      const tag = saleTag(c.id(row, 'sale_id'));
      const packed = this.#world.redis
        .hashAt(keys.claims(tag, claimBucket(tag, customerId)))
        ?.get(reservationField(id, customerId));
      if (packed && unpack(packed).shown)
        this.#fail('I6', `the mirror shows ${packed} of ${id}, which is being paid for`);
    }
  }

  /** The ids of the reservations of a customer that could be bought, as the customer could read them. */
  reservationsOf(customerId: CustomerId): ReservationId[] {
    const c = this.#reservations;
    const table = this.#world.mysql.table('reservations');
    const customer = Buffer.from(customerId.replaceAll('-', ''), 'hex').toString('latin1');
    return [...table.lookup(table.column('customer_id'), [customer])].flatMap(({ committed }) =>
      committed && c.text(committed, 'state') === 'allocated' ? [c.id(committed, 'id')] : [],
    );
  }

  /** How many reservations are in each state. */
  outcomes(): Map<string, number> {
    const outcomes = new Map<string, number>();
    for (const { reservations } of this.#books.values()) {
      for (const row of reservations.values()) {
        const state = this.#reservations.text(row, 'state');
        outcomes.set(state, (outcomes.get(state) ?? 0) + 1);
      }
    }
    return outcomes;
  }

  /** When the last of the sales closes. */
  lastCloseMs(): number {
    const closes = [...this.#world.mysql.table('sales').rows()].map((row) =>
      this.#sales.number(row, 'purchase_closes_at_ms'),
    );
    return Math.max(...closes);
  }

  /** Every committed purchase with its state. */
  *purchases(): Generator<{ purchaseId: PurchaseId; state: string }> {
    for (const row of this.#world.mysql.table('purchases').rows()) {
      yield { purchaseId: this.#purchases.id(row, 'id'), state: this.#purchases.text(row, 'state') };
    }
  }

  /** A purchase with its customer, by the key of its charge. */
  buyerOf(key: string): { readonly purchaseId: PurchaseId; readonly customerId: CustomerId } | undefined {
    const row = this.#purchaseRow(Buffer.from(key.replaceAll('-', ''), 'hex').toString('latin1'));
    return row && { purchaseId: this.#purchases.id(row, 'id'), customerId: this.#purchases.id(row, 'customer_id') };
  }

  /** An operator asks for a pause of this sale that is not given back. */
  timesAreKept(saleId: SaleId): void {
    this.#clock.timesAreKept(saleId);
  }

  /** The reservations that a purchase is for, and how many units of each. */
  itemsOf(purchaseId: PurchaseId): { readonly reservationId: ReservationId; readonly units: number }[] {
    const purchase = Buffer.from(purchaseId.replaceAll('-', ''), 'hex').toString('latin1');
    return this.#itemsOf(purchase).map((row) => ({
      reservationId: this.#items.id(row, 'reservation_id'),
      units: this.#items.number(row, 'units'),
    }));
  }

  #fail(invariant: string, detail: string): void {
    this.#world.broken(invariant, detail);
  }

  #booksOf(saleId: SaleId): Books {
    const known = this.#books.get(saleId);
    if (known) return known;
    const made: Books = {
      reservations: new Map(),
      waiting: new Map(),
      held: new Map(),
      allocated: 0,
      sold: 0,
      adjusted: 0,
      heldByLedger: 0,
      soldByLedger: 0,
      versions: new Map(),
      mirroredAt: { epoch: 0, version: 0 },
      replaced: [],
    };
    this.#books.set(saleId, made);
    this.#saleIds.set(keys.sale(saleTag(saleId)), saleId);
    return made;
  }

  #saleRow(saleId: SaleId): Row | undefined {
    const key = Buffer.from(saleId.replaceAll('-', ''), 'hex').toString('latin1');
    return this.#world.mysql.table('sales').stored.get(key)?.committed;
  }

  /** When a transaction was decided, as its events say; it may be committed much later. */
  #decidedAtMs(changes: readonly RowChange[]): number {
    const event = changes.find(({ table, before, after }) => table === 'outbox' && !before && after)?.after;
    return event ? this.#outbox.number(event, 'created_at_ms') : this.#world.nowMs;
  }

  #committed(changes: RowChange[]): void {
    this.#paidBack = new Set(
      changes.flatMap(({ table, before, after }) => {
        const c = this.#refunds;
        const isNow = table === 'refunds' && after && c.text(after, 'state') === 'refunded';
        if (!isNow || c.number(after, 'amount_minor') === 0) return [];
        return before && c.text(before, 'state') === 'refunded' ? [] : [c.text(after, 'purchase_id')];
      }),
    );
    const touched = new Set<SaleId>();
    for (const change of changes) {
      const saleId = this.#book(change);
      if (saleId !== undefined) touched.add(saleId);
    }
    for (const { table, before, after } of changes) {
      if (table !== 'sales' || !before || !after) continue;
      const { reservations } = this.#booksOf(this.#sales.id(after, 'id'));
      this.#clock.saleChanged(before, after, reservations, this.#decidedAtMs(changes));
    }
    for (const { table, before, after } of changes) {
      if (table === 'purchases' && after) this.#money.notePayment(before, after);
    }
    for (const { table, after } of changes) {
      if (table !== 'outbox' || !after) continue;
      const detail = JSON.parse(this.#outbox.text(after, 'detail')) as ToldDetail;
      this.#clock.eventRecorded(detail, (saleId) => this.#saleRow(saleId));
    }
    if (this.#world.repeating) return;
    for (const saleId of touched) this.#checkSale(saleId);
    this.#checkParts(changes);
    this.#checkOrder(changes);
    for (const saleId of touched) this.#checkLine(saleId, changes);
    this.#checkEvents(changes);
    for (const change of changes) {
      if (change.table === 'purchases') this.#checkPurchase(change);
      if (change.table === 'reservations') this.#checkLeaving(change);
      if (change.table === 'refunds') this.#money.refundChanged(change.before, change.after);
      if (change.table === 'purchase_items' && change.after) this.#checkItem(change.after);
      if (change.table === 'notifications' && change.after) this.#checkNotice(change.after);
    }
  }

  /** Enters a change into the books; says which sale it concerns. */
  #book({ table, before, after }: RowChange): SaleId | undefined {
    switch (table) {
      case 'sales': {
        const saleId = this.#sales.id(after ?? before ?? [], 'id');
        const { replaced } = this.#booksOf(saleId);
        if (after && before) {
          this.#noteVersion(after);
          if (timeColumns.some((name) => this.#sales.value(before, name) !== this.#sales.value(after, name)))
            replaced.push({ row: before, atMs: this.#world.nowMs });
        }
        return saleId;
      }
      case 'reservations':
        return this.#bookReservation(before, after);
      case 'ledger': {
        if (before || !after) {
          this.#fail('I3', 'a line of the ledger was changed');
          return undefined;
        }
        const saleId = this.#ledger.id(after, 'sale_id');
        const books = this.#booksOf(saleId);
        const units = this.#ledger.number(after, 'units');
        const kind = this.#ledger.text(after, 'kind');
        if (kind === 'ADJUST') books.adjusted += units;
        if (kind === 'ALLOCATE') books.heldByLedger += units;
        if (kind === 'RELEASE') books.heldByLedger -= units;
        if (kind === 'SELL') books.soldByLedger += units;
        return saleId;
      }
      case 'purchases': {
        if (!after) return undefined;
        const goesBack = this.#goesBackAtOnce(before, after);
        // Who gets back all that was captured has bought nothing, and is told once the money is back.
        if (goesBack && !this.#isBoughtInPart(after)) return undefined;
        if (!goesBack && !this.#isTold(before, after)) return undefined;
        const is = this.#purchases.text(after, 'state');
        const isPaidBack = this.#paidBack.has(this.#purchases.text(after, 'id'));
        // The last of the money is told as such, also while units are still to return.
        const paidBack = this.#leftOf(after, 'refunded') > 0 ? 'refunded-in-part' : 'refunded';
        const state = isPaidBack && is !== 'refunded' ? paidBack : goesBack ? 'captured' : is;
        this.#moves.set(`${this.#purchases.id(after, 'id')}.${this.#purchases.number(after, 'version')}`, state);
        return undefined;
      }
      default:
        return undefined;
    }
  }

  #bookReservation(before: Row | undefined, after: Row | undefined): SaleId | undefined {
    const c = this.#reservations;
    if (!after) {
      this.#fail('I2', 'a reservation was deleted');
      return undefined;
    }
    const id = c.id(after, 'id');
    const saleId = c.id(after, 'sale_id');
    const books = this.#booksOf(saleId);
    const [from, to] = [before ? c.text(before, 'state') : 'new', c.text(after, 'state')];
    const version = c.number(after, 'version');
    const [paidBy, nowPaidBy] = [before ? c.value(before, 'purchase_id') : null, c.value(after, 'purchase_id')];
    if (paidBy !== null && nowPaidBy !== null && paidBy !== nowPaidBy)
      this.#fail('I7', `${id} was taken from the purchase that pays for it`);
    const isPart = isPartOf(c, after);
    const isNewPart = !before && isPart;
    if (from === to) {
      if (before && c.number(before, 'version') !== version) {
        this.#checkShrinking(before, after);
        this.#moves.set(`${id}.${version}`, 'reduced');
      }
    } else {
      const legal = this.#attaching || isNewPart || reservationMoves[from]?.includes(to);
      if (!legal) this.#fail('I3', `reservation ${id} went from ${from} to ${to}`);
      // One that waits may be reduced and served in one transaction: two moves.
      const shrinks = before !== undefined && c.number(after, 'quantity') < c.number(before, 'quantity');
      if (!this.#attaching && version !== (before ? c.number(before, 'version') + (shrinks ? 2 : 1) : 1)) {
        this.#fail('I5', `reservation ${id} went from ${from} to ${to} with version ${version}`);
      }
      if (shrinks) this.#moves.set(`${id}.${version - 1}`, 'reduced');
      // What was given back when it was split off is told with what it was split off from.
      if (!(isNewPart && to === 'cancelled')) this.#moves.set(`${id}.${version}`, to);
      if (!this.#attaching && !isNewPart && (to === 'expired' || to === 'cancelled'))
        this.#checkEnd(before ?? after, after, saleId);
    }
    if (before) this.#count(books, before, -1);
    this.#count(books, after, 1);
    books.reservations.set(id, after);
    this.#fields.set(`${saleTag(saleId)}${reservationField(id, c.id(after, 'customer_id'))}`, after);
    if (to === 'waitlisted') books.waiting.set(id, after);
    else books.waiting.delete(id);
    if (!before && !this.#attaching && !isPart) this.#checkAcceptance(after, id, saleId);
    return saleId;
  }

  /** A reservation that stays what it is gets a version only by becoming smaller. */
  #checkShrinking(before: Row, after: Row): void {
    const c = this.#reservations;
    const fell = (column: string) => c.number(before, column) - c.number(after, column);
    const isRight =
      fell('quantity') > 0 && fell('units') >= 0 && fell('version') === -1 && c.number(after, 'quantity') > 0;
    if (!isRight || c.number(after, 'units') > c.number(after, 'quantity'))
      this.#fail('I5', `${c.id(after, 'id')} got version ${c.number(after, 'version')} without a move`);
  }

  /**
   * I3: a part has the units that another reservation, of the same origin and customer, has lost in the same transaction,
   * and is what these may become: set aside as before or given back, and of what was bought refunded.
   */
  #checkParts(changes: readonly RowChange[]): void {
    const c = this.#reservations;
    const own = changes.filter(({ table }) => table === 'reservations');
    const originOf = (row: Row) => String(c.value(row, 'part_of') ?? c.text(row, 'id'));
    const shrunk = own.flatMap(({ before, after }) =>
      before && after && c.number(after, 'units') < c.number(before, 'units') ? [{ before, after }] : [],
    );
    for (const { before, after: part } of own) {
      if (before || !part || !isPartOf(c, part)) continue;
      const at = shrunk.findIndex(
        (one) =>
          originOf(one.after) === originOf(part) &&
          c.text(one.after, 'customer_id') === c.text(part, 'customer_id') &&
          c.number(one.before, 'units') - c.number(one.after, 'units') === c.number(part, 'units') &&
          partsOf[c.text(one.before, 'state')]?.includes(c.text(part, 'state')),
      );
      if (at < 0) this.#fail('I3', `${c.id(part, 'id')} is a part of nothing that became smaller`);
      else shrunk.splice(at, 1);
    }
    for (const { after } of shrunk) this.#fail('I3', `units of ${c.id(after, 'id')} have gone, and no part has them`);
  }

  /** I7: units wait for the provider's word, and for their customer's action until its time is over; a called-off sale's do not. */
  #checkLeaving({ before, after }: RowChange): void {
    const c = this.#reservations;
    if (!before || !after || c.value(before, 'purchase_id') === null || c.value(after, 'purchase_id') !== null) return;
    if (this.#isPaying(c.value(before, 'purchase_id')) && !this.#isCalledOff(c.id(after, 'sale_id')))
      this.#fail('I7', `${c.id(after, 'id')} was taken from a purchase that was paying for it`);
  }

  #isCalledOff(saleId: SaleId): boolean {
    const sale = this.#saleRow(saleId);
    return sale !== undefined && this.#sales.text(sale, 'status') === 'cancelled';
  }

  /** Whether a purchase has what nobody else may have. */
  #isPaying(purchase: Value): boolean {
    const row = this.#purchaseRow(purchase);
    const state = row ? this.#purchases.text(row, 'state') : '';
    if (!row || !payingStates.has(state)) return false;
    if (state !== 'requires_action') return true;
    return this.#world.nowMs < this.#purchases.number(row, 'action_deadline_ms') + actionGraceMs;
  }

  #count(books: Books, row: Row, sign: 1 | -1): void {
    const c = this.#reservations;
    const state = c.text(row, 'state');
    const units = c.number(row, 'units');
    if (state === 'allocated') books.allocated += sign * units;
    if (state === 'purchased') books.sold += sign * units;
    const held =
      state === 'allocated' || state === 'purchased' ? units : state === 'waitlisted' ? c.number(row, 'quantity') : 0;
    if (held === 0) return;
    const customer = c.text(row, 'customer_id');
    books.held.set(customer, (books.held.get(customer) ?? 0) + sign * held);
  }

  /**
   * I8: accepted within the window of a sale that was public, refused for the time only outside of it; at a time when it was
   * asked for, and with the sale's code if that has one.
   */
  #checkAcceptance(row: Row, id: ReservationId, saleId: SaleId): void {
    const c = this.#reservations;
    const sale = this.#saleRow(saleId);
    const atMs = c.number(row, 'accepted_at_ms');
    if (sale) {
      const inside =
        atMs >= this.#sales.number(sale, 'reserve_opens_at_ms') &&
        atMs < this.#sales.number(sale, 'reserve_closes_at_ms');
      const reason = c.value(row, 'reason');
      const lacks = this.#sales.number(sale, 'requires_contact') === 1 && this.#unverified.has(id);
      if (c.text(row, 'state') !== 'rejected' && lacks) this.#fail('I4', `${id} is not for who asked for it`);
      const publicFromMs = this.#sales.value(sale, 'public_from_ms');
      const isPublic = publicFromMs !== null && atMs >= Number(publicFromMs);
      const code = this.#sales.value(sale, 'access_code');
      const isThere = isPublic && (code === null || code === this.#codes.get(id));
      if (c.text(row, 'state') !== 'rejected' && !isThere)
        this.#fail('I8', `${id} was accepted in a sale that is hidden`);
      if (reason === 'not_found' && isThere) this.#fail('I8', `${id} was refused as if its sale were hidden`);
      if (reason === 'not_entitled' && !lacks) this.#fail('I4', `${id} was refused for what its customer has`);
      if (c.text(row, 'state') !== 'rejected' && !inside) this.#fail('I8', `${id} was accepted outside the window`);
      if ((reason === 'sale_closed' || reason === 'sale_not_open') && inside) {
        this.#fail('I8', `${id} was refused as ${reason}, though it was accepted within the window`);
      }
    }
    const told = this.#told.get(id);
    if (!told) this.#fail('I3', `reservation ${id} belongs to no request`);
    else if (atMs < told.firstAskedMs || atMs > this.#world.nowMs) {
      this.#fail('I8', `${id} was accepted at another time than it was asked for`);
    }
  }

  /** An end must have its reason: nothing ends that is being paid for, and nothing expires before its time. */
  #checkEnd(before: Row, after: Row, saleId: SaleId): void {
    const c = this.#reservations;
    const id = c.id(after, 'id');
    // A purchase that is over gives up what it held in the transaction that ends it.
    if (this.#isPaying(c.value(before, 'purchase_id')) && !this.#isCalledOff(saleId))
      this.#fail('I7', `${id} ended while a purchase was paying for it`);
    if (c.text(after, 'state') !== 'expired') return;
    const sale = this.#saleRow(saleId);
    const closesMs = sale ? this.#sales.number(sale, 'purchase_closes_at_ms') : 0;
    const deadlineMs = Math.min(closesMs, this.#deadlineOf(before, sale) ?? closesMs);
    if (sale && this.#sales.text(sale, 'status') === 'paused') this.#fail('I12', `${id} expired in a pause`);
    if (this.#world.nowMs < deadlineMs) this.#fail('I8', `${id} expired before its deadline`);
    this.#clock.expired(id, this.#world.nowMs);
  }

  /** A reservation's own deadline by the wall clock, if it has one: it is stored in the sale's time. */
  #deadlineOf(reservation: Row, sale: Row | undefined): number | undefined {
    const stored = this.#reservations.value(reservation, 'deadline_ms');
    return stored === null || !sale ? undefined : Number(stored) + this.#sales.number(sale, 'clock_offset_ms');
  }

  #noteVersion(row: Row): void {
    const saleId = this.#sales.id(row, 'id');
    const key = `${this.#sales.number(row, 'epoch')}:${this.#sales.number(row, 'version')}`;
    const stock = counters.map((name) => this.#sales.number(row, name)).join();
    const { versions } = this.#booksOf(saleId);
    const known = versions.get(key);
    if (known !== undefined && known !== stock) this.#fail('I6', `stock of ${saleId} has two contents at ${key}`);
    versions.set(key, stock);
  }

  /** I1 and I4, from the rows and from the ledger. */
  #checkSale(saleId: SaleId): void {
    const sale = this.#saleRow(saleId);
    const books = this.#booksOf(saleId);
    if (!sale) return;
    const c = this.#sales;
    const [allotment = 0, available = 0, allocated = 0, sold = 0, waitlisted = 0] = counters.map((name) =>
      c.number(sale, name),
    );
    const equal = (what: string, one: number, other: number) => {
      if (one !== other) this.#fail('I1', `sale ${saleId}: ${what}: ${one} is not ${other}`);
    };
    if (available < 0 || allocated < 0 || sold < 0) this.#fail('I1', `sale ${saleId} has stock below zero`);
    equal('available + allocated + sold = allotment', available + allocated + sold, allotment);
    equal('units of allocated reservations = allocated', books.allocated, allocated);
    equal('units of purchased reservations = sold', books.sold, sold);
    equal('reservations that wait = waitlisted', books.waiting.size, waitlisted);
    equal('ledger: adjustments = allotment', books.adjusted, allotment);
    equal('ledger: allocated less released = held', books.heldByLedger, allocated + sold);
    const cap = c.number(sale, 'cap_per_customer');
    for (const [customer, held] of books.held) {
      if (held > cap) {
        this.#fail('I4', `a customer holds ${held} of sale ${saleId}, the cap is ${cap}`);
        books.held.delete(customer);
      }
    }
  }

  /** An earlier ticket is served first, within a batch and from the waitlist. */
  #checkOrder(changes: RowChange[]): void {
    const c = this.#reservations;
    const moved = changes.filter(({ table }) => table === 'reservations');
    const made = moved.flatMap(({ before, after }) => (!before && after && !isPartOf(c, after) ? [after] : []));
    for (const served of made) {
      if (c.text(served, 'state') !== 'allocated') continue;
      for (const other of made) {
        const passed =
          c.value(other, 'sale_id') === c.value(served, 'sale_id') &&
          (c.text(other, 'state') === 'waitlisted' || c.value(other, 'reason') === 'sold_out') &&
          c.number(other, 'ticket') < c.number(served, 'ticket') &&
          c.number(other, 'at_least') <= c.number(served, 'units');
        if (passed) this.#fail('order', `${c.id(served, 'id')} was served before ${c.id(other, 'id')}`);
      }
    }
    const granted = this.#grantedBy(changes);
    for (const { before, after } of moved) {
      if (!before || !after || c.text(before, 'state') !== 'waitlisted' || c.text(after, 'state') !== 'allocated')
        continue;
      if (c.value(after, 'deadline_ms') === null)
        this.#fail('order', `${c.id(after, 'id')} has an offer without an end`);
      // An operator's grant may pass others: it is named, with a reason, by the commit that makes it.
      const units = granted.get(c.id(after, 'id'));
      granted.delete(c.id(after, 'id'));
      if (units === c.number(after, 'units')) continue;
      for (const other of this.#booksOf(c.id(after, 'sale_id')).waiting.values()) {
        if (
          c.number(other, 'ticket') < c.number(after, 'ticket') &&
          c.number(other, 'at_least') <= c.number(after, 'units')
        ) {
          this.#fail('order', `${c.id(after, 'id')} got an offer before ${c.id(other, 'id')}`);
        }
      }
    }
    for (const id of granted.keys()) this.#fail('order', `${id} is said to be granted, and was not`);
  }

  /** The units that this commit says that an operator has granted, by reservation. */
  #grantedBy(changes: readonly RowChange[]): Map<ReservationId, number> {
    const granted = new Map<ReservationId, number>();
    for (const { table, before, after } of changes) {
      if (table !== 'grants') continue;
      const c = this.#grants;
      if (before || !after) this.#fail('order', 'a grant was changed after it was made');
      else if (c.text(after, 'reason') === '') this.#fail('order', 'a grant has no reason');
      else granted.set(c.id(after, 'reservation_id'), c.number(after, 'units'));
    }
    return granted;
  }

  /** Those who wait in a sale, the first in front. */
  waitingIn(saleId: SaleId): ReservationId[] {
    const c = this.#reservations;
    const waiting = [...this.#booksOf(saleId).waiting.values()];
    return waiting.sort((a, b) => c.number(a, 'ticket') - c.number(b, 'ticket')).map((row) => c.id(row, 'id'));
  }

  /**
   * I11: nobody who asked later has got units that serve somebody who still waits, and units that a commit brings, or
   * makes free to be offered, are offered by it.
   */
  #checkLine(saleId: SaleId, changes: readonly RowChange[]): void {
    const row = this.#saleRow(saleId);
    if (!row) return;
    const c = this.#reservations;
    const available = this.#sales.number(row, 'available');
    const own = changes.filter(
      ({ table, after }) => table === 'reservations' && after && c.id(after, 'sale_id') === saleId,
    );
    const newcomers = own.flatMap(({ before, after }) =>
      !before && after && c.text(after, 'state') === 'allocated' && !isPartOf(c, after) ? [after] : [],
    );
    const asksLess = own.some(
      ({ before, after }) => before && after && c.number(after, 'at_least') < c.number(before, 'at_least'),
    );
    // A transaction that has made as many offers as one may leaves the rest to whoever hears of them.
    const brings =
      (this.#bringsUnits(saleId, changes) || (asksLess && this.#isOpen(row))) && own.length < rowsPerTransaction;
    if (newcomers.length === 0 && !brings) return;
    for (const waiting of this.#booksOf(saleId).waiting.values()) {
      const least = c.number(waiting, 'at_least');
      const later = newcomers.filter((one) => c.number(one, 'ticket') > c.number(waiting, 'ticket'));
      const given = later.reduce((sum, one) => sum + c.number(one, 'units'), 0);
      if (given > 0 && least <= available + given) {
        this.#fail('I11', `${later.length} who asked later got units before ${c.id(waiting, 'id')}, who waits`);
      }
      if (brings && least <= available) {
        this.#fail('I11', `${available} units came free, and were not offered to ${c.id(waiting, 'id')}, who waits`);
      }
    }
  }

  /** Whether a commit makes more units available in a sale, or lets them be offered again. */
  #bringsUnits(saleId: SaleId, changes: readonly RowChange[]): boolean {
    return changes.some(({ table, before, after }) => {
      const c = this.#sales;
      if (table !== 'sales' || !before || !after || c.id(after, 'id') !== saleId) return false;
      if (!this.#isOpen(after)) return false;
      return c.text(before, 'status') !== 'active' || c.number(after, 'available') > c.number(before, 'available');
    });
  }

  /** Whether units may be offered in a sale. */
  #isOpen(sale: Row): boolean {
    const c = this.#sales;
    return c.text(sale, 'status') === 'active' && this.#world.nowMs < c.number(sale, 'purchase_closes_at_ms');
  }

  /** I5: an event is committed with every move that it tells of, and none that has not happened; none goes untold. */
  #checkEvents(changes: RowChange[]): void {
    const told = new Map<string, string>();
    for (const { table, before, after } of changes) {
      if (table !== 'outbox') continue;
      if (before && !after) {
        const id = this.#outbox.id(before, 'id');
        if (!this.#published.has(id)) this.#fail('I5', `event ${id} was forgotten before the bus had taken it`);
      }
      if (!after) continue;
      const detail = JSON.parse(this.#outbox.text(after, 'detail')) as {
        changes?: ChangeGroup[];
        purchaseId?: string;
        version?: number;
        state?: string;
      };
      for (const change of expandChanges(detail.changes ?? []))
        told.set(`${change.reservationId}.${change.version}`, change.to);
      if (detail.purchaseId) told.set(`${detail.purchaseId}.${detail.version}`, detail.state ?? '');
    }
    for (const { table, before, after } of changes) {
      if (!after) continue;
      let key: string | undefined;
      let state = '';
      if (table === 'reservations') {
        state = this.#reservations.text(after, 'state');
        const [id, version] = [this.#reservations.id(after, 'id'), this.#reservations.number(after, 'version')];
        const was = before ? this.#reservations.number(before, 'version') : 0;
        if (was !== version && this.#moves.has(`${id}.${version}`)) key = `${id}.${version}`;
        const between = `${id}.${version - 1}`;
        if (version === was + 2 && before) {
          const wasState = this.#reservations.text(before, 'state');
          if (told.get(between) !== wasState) this.#fail('I5', `no event tells that ${between} is smaller`);
          told.delete(between);
        }
      } else if (table === 'purchases') {
        state = this.#purchases.text(after, 'state');
        const name = `${this.#purchases.id(after, 'id')}.${this.#purchases.number(after, 'version')}`;
        if (this.#isTold(before, after)) key = name;
        // What was bought is told as captured, though a part of it goes back at once.
        if (this.#goesBackAtOnce(before, after) && this.#isBoughtInPart(after)) [key, state] = [name, 'captured'];
      }
      if (key === undefined) continue;
      if (told.get(key) !== state) this.#fail('I5', `no event tells that ${key} is ${state}`);
      told.delete(key);
    }
    for (const [key, state] of told) this.#fail('I5', `an event tells that ${key} is ${state}, which it is not`);
  }

  #checkPurchase({ before, after }: RowChange): void {
    if (!after) {
      this.#fail('I2', 'a purchase was deleted');
      return;
    }
    const c = this.#purchases;
    const id = c.id(after, 'id');
    const [from, to] = [before ? c.text(before, 'state') : 'new', c.text(after, 'state')];
    if (before && to === 'requires_action') this.#checkAction(id, before, after);
    if (from === to) return;
    if (!purchaseMoves[from]?.includes(to)) this.#fail('I7', `purchase ${id} went from ${from} to ${to}`);
    this.#money.purchaseChanged(before, after);
    const charge = this.#world.provider.charges.get(id);
    if (to === 'captured') {
      if (charge?.state !== 'captured' && charge?.state !== 'refunded')
        this.#fail('I7', `purchase ${id} was never paid`);
      // A purchase of which a part was given back with its units is captured again, and has less.
      const items = givenBackStates.has(from) ? [] : this.#itemsOf(c.text(after, 'id'));
      for (const row of items) {
        const reservation = this.#world.mysql.table('reservations').stored.get(this.#items.text(row, 'reservation_id'));
        const state = reservation?.committed && this.#reservations.text(reservation.committed, 'state');
        if (state !== 'purchased') this.#fail('I7', `purchase ${id} is captured, but what it bought is ${state}`);
      }
    }
    if (to === 'declined' && charge?.state !== 'declined' && !ownDeclineReasons.has(c.text(after, 'reason'))) {
      this.#fail('I7', `purchase ${id} was given up without the provider's word`);
    }
    const isEarly = before && this.#world.nowMs < Number(c.value(before, 'action_deadline_ms') ?? 0);
    if (isEarly && c.value(after, 'reason') === 'action_expired')
      this.#fail('I12', `the action for purchase ${id} ended before its time`);
    if (to === 'refunded' && charge?.state !== 'refunded') {
      const inPart = charge !== undefined && givenBack(charge) > 0;
      this.#fail(inPart ? 'I13' : 'I7', `purchase ${id} was not given back${inPart ? ' as a whole' : ''}`);
    }
  }

  /** Whether a change of a purchase is told: money that went back always is, the return of units without money is not. */
  #isTold(before: Row | undefined, after: Row): boolean {
    const c = this.#purchases;
    const [from, to] = [before ? c.text(before, 'state') : 'new', c.text(after, 'state')];
    if (this.#paidBack.has(c.text(after, 'id'))) return true;
    return from !== to && from !== 'refunding' && toldPurchaseStates.has(to);
  }

  /** Whether a purchase was captured and is given back, in whole or in part, by the same change. */
  #goesBackAtOnce(before: Row | undefined, after: Row): boolean {
    const c = this.#purchases;
    return (
      before !== undefined &&
      ['requested', 'unknown', 'requires_action'].includes(c.text(before, 'state')) &&
      c.text(after, 'state') === 'refunding'
    );
  }

  /** Whether more was captured than goes back. */
  #isBoughtInPart(purchase: Row): boolean {
    return this.#leftOf(purchase) > 0;
  }

  /** What was captured, without the purchase's refunds, or those in one state. */
  #leftOf(purchase: Row, state?: string): number {
    const id = this.#purchases.text(purchase, 'id');
    let left = this.#purchases.number(purchase, 'captured_minor');
    for (const row of this.#world.mysql.table('refunds').rows()) {
      if (this.#refunds.text(row, 'purchase_id') !== id) continue;
      if (state === undefined || this.#refunds.text(row, 'state') === state)
        left -= this.#refunds.number(row, 'amount_minor');
    }
    return left;
  }

  /** I12: the time for an action is told once, and is bounded. */
  #checkAction(id: PurchaseId, before: Row, after: Row): void {
    const c = this.#purchases;
    const deadlineMs = c.number(after, 'action_deadline_ms');
    if (c.text(before, 'state') === 'requires_action') {
      const isGivenUp = c.value(after, 'reason') === 'given_up';
      if (c.number(before, 'action_deadline_ms') !== deadlineMs && !isGivenUp)
        this.#fail('I12', `the time for the action of purchase ${id} has changed`);
    } else if (deadlineMs > this.#world.nowMs + actionLifeAtMostMs) {
      this.#fail('I12', `purchase ${id} waits too long for its customer`);
    }
  }

  /** A purchase by its stored id, undefined if there is none. */
  #purchaseRow(id: Value): Row | undefined {
    return id === null ? undefined : this.#world.mysql.table('purchases').stored.get(String(id))?.committed;
  }

  #itemsOf(purchase: string): Row[] {
    const table = this.#world.mysql.table('purchase_items');
    return [...table.lookup(table.column('purchase_id'), [purchase])].flatMap(({ committed }) =>
      committed ? [committed] : [],
    );
  }

  /** The rows of a sale that were replaced since a time. */
  #termsSince(saleId: SaleId, sinceMs: number): Row[] {
    return this.#booksOf(saleId).replaced.flatMap(({ row, atMs }) => (atMs >= sinceMs ? [row] : []));
  }

  /** I8: bought only while the window is open, and before the offer ends. */
  #checkItem(row: Row): void {
    const reservation = this.#world.mysql.table('reservations').stored.get(this.#items.text(row, 'reservation_id'));
    const purchase = this.#world.mysql.table('purchases').stored.get(this.#items.text(row, 'purchase_id'));
    const sale = this.#saleRow(this.#items.id(row, 'sale_id'));
    if (!reservation?.committed || !purchase?.committed || !sale) {
      this.#fail('I7', 'a purchase of nothing');
      return;
    }
    const id = this.#items.id(row, 'reservation_id');
    const atMs = this.#purchases.number(purchase.committed, 'created_at_ms');
    const { committed } = reservation;
    // It was judged by the terms as they were at some time since it came; they may have moved before it was committed.
    const terms = [sale, ...this.#termsSince(this.#items.id(row, 'sale_id'), atMs)];
    const open = terms.filter(
      (one) =>
        atMs >= this.#sales.number(one, 'purchase_opens_at_ms') &&
        atMs < this.#sales.number(one, 'purchase_closes_at_ms'),
    );
    if (open.length === 0) this.#fail('I8', `a purchase of ${id} was accepted outside the window`);
    else if (open.every((one) => atMs >= (this.#deadlineOf(committed, one) ?? Number.POSITIVE_INFINITY)))
      this.#fail('I8', `a purchase of ${id} was accepted after its deadline`);
    if (this.#reservations.value(reservation.committed, 'purchase_id') !== this.#items.value(row, 'purchase_id')) {
      this.#fail('I7', `a purchase was accepted that does not hold ${id}`);
    }
    if (this.#reservations.number(reservation.committed, 'units') !== this.#items.number(row, 'units')) {
      this.#fail('I13', `a purchase was accepted that pays for other units than ${id} has`);
    }
    if (this.#reservations.text(reservation.committed, 'state') !== 'allocated') {
      this.#fail('I7', `a purchase of ${id} was accepted, which is not to be had`);
    }
  }

  /** I5: what a customer is shown has happened. */
  #checkNotice(row: Row): void {
    const kind = this.#notices.text(row, 'kind');
    if (kind.startsWith('reminder.')) return;
    const key = `${this.#notices.id(row, 'subject_id')}.${this.#notices.number(row, 'version')}`;
    const state = this.#moves.get(key);
    const told = kind.split('.')[1] ?? '';
    const shown = told === 'offered' ? 'allocated' : told;
    if (state !== shown) this.#fail('I5', `a notice says that ${key} is ${shown}, but it is ${state}`);
  }

  #mirrored(key: string, field: string, before: string | undefined, after: string | undefined): void {
    if (this.#saleIds.has(key)) {
      if (field === 'version' || field === 'available' || field === 'epoch') this.#dirty.add(key);
      return;
    }
    if (field.startsWith('@') || after === undefined || this.#world.repeating || !key.includes('claims:')) return;
    const [letter = '', version = '0', units = '0'] = after.split(':');
    const oldVersion = before === undefined ? -1 : Number(before.split(':')[1]);
    if (Number(version) < oldVersion)
      this.#fail('I6', `the mirror of ${field} fell from version ${oldVersion} to ${version}`);
    if (letter === 'r' || letter === 'o' || letter === 'u') return;
    const tag = key.slice(key.indexOf('{') + 1, key.indexOf('}'));
    const row = this.#fields.get(`${tag}${field}`);
    if (!row || Number(version) > this.#reservations.number(row, 'version')) {
      this.#fail('I6', `the mirror shows ${after} for ${field}, which is not committed`);
      return;
    }
    if (Number(version) < this.#reservations.number(row, 'version')) return;
    const right = `${stateLetters[this.#reservations.text(row, 'state')]}:${this.#reservations.number(row, 'units')}`;
    if (right !== `${letter}:${units}`) this.#fail('I6', `the mirror shows ${after} for ${field}, which is ${right}`);
    // At the same version only a purchase takes from what is shown, and its customer may have seen it since.
    if (Number(version) === oldVersion && before?.includes('.') === false && after.includes('.'))
      this.#fail('I6', `the mirror shows ${after} for ${field} again, after ${before}`);
  }

  /** I6: the mirror shows what was committed at that version, and no version falls. */
  #checkMirroredSale(key: string): void {
    const saleId = this.#saleIds.get(key);
    const fields = this.#world.redis.hashAt(key);
    if (saleId === undefined || fields?.get('version') === undefined) return;
    const books = this.#booksOf(saleId);
    const [epoch, version] = [Number(fields.get('epoch')), Number(fields.get('version'))];
    const shown = counters.map((name) => fields.get(name)).join();
    const right = books.versions.get(`${epoch}:${version}`);
    if (shown !== right)
      this.#fail('I6', `the mirror shows stock ${shown} at version ${version}, committed is ${right}`);
    const { mirroredAt } = books;
    if (epoch < mirroredAt.epoch || (epoch === mirroredAt.epoch && version < mirroredAt.version)) {
      this.#fail('I6', `the mirror of sale ${saleId} fell from version ${mirroredAt.version} to ${version}`);
    }
    books.mirroredAt = { epoch, version };
  }

  /**
   * What must hold once nothing is left to do. With `mirror`, Redis must show exactly what MySQL says; with `late`, so much
   * later that no claim at the gate may be undecided any more. The rule that opens and ends sales may have fired last
   * `sinceTickMs` ago; what has become due since is not judged.
   */
  atRest(options: { mirror: boolean; late?: boolean; sinceTickMs?: number }): void {
    const tickedAtMs = this.#world.nowMs - (options.sinceTickMs ?? 0);
    this.#queuesAtRest();
    this.#answersAtRest(tickedAtMs);
    this.#waitlistAtRest();
    this.#moneyAtRest();
    this.#noticesAtRest(tickedAtMs);
    if (options.mirror) this.#mirrorAtRest(options.late === true);
  }

  #queuesAtRest(): void {
    const { mysql, queues } = this.#world;
    for (const queue of queues.values()) {
      if (!queue.empty)
        this.#fail(
          'I9',
          `queue ${queue.name} is not empty: ${queue.visible.concat(queue.letters).map(({ body }) => body)}`,
        );
      for (const text of queue.poison) {
        if (!queue.dead.some(({ body }) => body === text)) this.#fail('I2', `"${text}" is not among the dead letters`);
      }
    }
    const outbox = [...mysql.table('outbox').rows()].length;
    if (outbox > 0) this.#fail('I9', `${outbox} events wait in the outbox`);
    if (mysql.open > 0) this.#fail('I9', `${mysql.open} transactions are open`);
  }

  #answersAtRest(tickedAtMs: number): void {
    const c = this.#reservations;
    const labels = new Columns(this.#world.mysql.table('labels'));
    const references = new Map(
      [...this.#world.mysql.table('labels').rows()].map((row) => [
        labels.id(row, 'subject_id') as ReservationId,
        labels.text(row, 'reference'),
      ]),
    );
    for (const [id, told] of this.#told) {
      const row = this.#booksOf(told.saleId).reservations.get(id);
      if (!told.accepted) continue;
      if (references.get(id) !== told.reference) {
        this.#fail('I2', `reservation ${id} was accepted with ${told.reference} and has ${references.get(id)}`);
      }
      if (!row) {
        this.#fail('I2', `reservation ${id} was accepted and never decided`);
        continue;
      }
      if (told.tickets.size > 1)
        this.#unless('ticket', 'I3', `reservation ${id} was told the tickets ${[...told.tickets]}`);
      const [ticket] = told.tickets;
      if (ticket !== undefined && ticket !== c.number(row, 'ticket')) {
        this.#unless('ticket', 'I3', `reservation ${id} was told ticket ${ticket} and has ${c.number(row, 'ticket')}`);
      }
    }
    for (const row of this.#world.mysql.table('sales').rows()) {
      const saleId = this.#sales.id(row, 'id');
      const books = this.#booksOf(saleId);
      const isOff = this.#sales.text(row, 'status') === 'cancelled';
      const over = isOff || tickedAtMs >= this.#sales.number(row, 'purchase_closes_at_ms');
      if (over && (books.allocated > 0 || books.waiting.size > 0)) {
        this.#fail(
          'I9',
          `sale ${saleId} is over, but ${books.allocated} units and ${books.waiting.size} places are held`,
        );
      }
      if (over || this.#sales.text(row, 'status') !== 'active') continue;
      const available = this.#sales.number(row, 'available');
      for (const waiting of books.waiting.values()) {
        if (c.number(waiting, 'at_least') <= available) {
          this.#fail('I9', `${c.id(waiting, 'id')} waits, though ${available} units are available`);
        }
      }
    }
  }

  /** Fails unless Redis has lost its memory, or a failure that nothing repeats explains it. */
  #unless(excuse: Excuse, invariant: string, detail: string): void {
    if (!this.redisWasLost && !this.#world.excuses.has(excuse)) this.#fail(invariant, detail);
  }

  #waitlistAtRest(): void {
    const c = this.#reservations;
    const expected = new Map<string, string>();
    for (const { reservations } of this.#books.values()) {
      for (const row of reservations.values()) {
        const state = c.text(row, 'state');
        const deadline = c.value(row, 'deadline_ms');
        const offered = state === 'allocated' && deadline !== null;
        if (state === 'waitlisted' || offered) expected.set(c.text(row, 'id'), offered ? String(deadline) : 'waits');
      }
    }
    for (const row of this.#world.mysql.table('waitlist').rows()) {
      const id = this.#waitlist.text(row, 'reservation_id');
      const deadline = this.#waitlist.value(row, 'deadline_ms');
      if (expected.get(id) !== (deadline === null ? 'waits' : String(deadline))) {
        this.#fail('I9', `${this.#waitlist.id(row, 'reservation_id')} has a place on the waitlist that is not its own`);
      }
      expected.delete(id);
    }
    if (expected.size > 0) this.#fail('I9', `${expected.size} reservations wait without a place on the waitlist`);
  }

  #moneyAtRest(): void {
    const { mysql, provider } = this.#world;
    const states = new Map<string, string>();
    for (const row of mysql.table('purchases').rows()) {
      const id = this.#purchases.id(row, 'id');
      const state = this.#purchases.text(row, 'state');
      states.set(id, state);
      if (['requested', 'unknown', 'requires_action', 'refunding'].includes(state))
        this.#fail('I9', `purchase ${id} is still ${state}`);
    }
    for (const id of this.#toldPurchases) {
      if (!states.has(id)) this.#fail('I2', `purchase ${id} was accepted and is nowhere`);
    }
    const recorded = new Map<string, number>();
    for (const row of mysql.table('refunds').rows()) {
      const id = this.#refunds.id(row, 'purchase_id');
      const amount = this.#refunds.text(row, 'state') === 'refunded' ? this.#refunds.number(row, 'amount_minor') : 0;
      recorded.set(id, (recorded.get(id) ?? 0) + amount);
    }
    for (const charge of provider.charges.values()) {
      const { key, state } = charge;
      const refunded = givenBack(charge);
      if (refunded !== (recorded.get(key) ?? 0))
        this.#fail('I13', `the provider refunded ${refunded} of ${key}, the books say ${recorded.get(key) ?? 0}`);
      const purchase = states.get(key);
      // What still waits for its customer would be paid for nothing: it must have been stopped.
      const right = state === 'requires_action' ? 'not over' : state;
      if (purchase !== right)
        this.#fail('I7', `the charge of purchase ${key} is ${state}, the purchase is ${purchase}`);
    }
    for (const [token, count] of provider.captures) {
      if (count > 1) this.#fail('I7', `${token} was charged ${count} times for one purchase`);
    }
    this.#money.atRest();
    this.#money.unitsAtRest();
    const c = this.#reservations;
    for (const { reservations } of this.#books.values()) {
      for (const row of reservations.values()) {
        const [state, purchase] = [c.text(row, 'state'), c.value(row, 'purchase_id')];
        if (state === 'allocated' && purchase !== null) {
          this.#fail('I9', `${c.id(row, 'id')} is set aside for a purchase that is over`);
        }
        const bought = purchase === null ? undefined : states.get(c.id(row, 'purchase_id'));
        // An operator may give money back and leave the units with their buyer.
        const isBought = bought === 'captured' || (bought === 'refunded' && !this.#money.releases(row));
        if (state === 'purchased' && !isBought)
          this.#fail('I7', `${c.id(row, 'id')} is bought by a purchase that is ${bought}`);
      }
    }
  }

  #noticesAtRest(tickedAtMs: number): void {
    if (!this.#world.queue('notifications').open) return;
    const shown = new Set<string>();
    for (const row of this.#world.mysql.table('notifications').rows()) {
      if (this.#notices.text(row, 'kind').startsWith('reminder.')) continue;
      const key = `${this.#notices.id(row, 'subject_id')}.${this.#notices.number(row, 'version')}`;
      if (shown.has(key)) this.#fail('I5', `${key} is shown twice`);
      shown.add(key);
    }
    for (const [key, state] of this.#moves) {
      if (!shown.has(key)) this.#fail('I5', `no notice says that ${key} is ${state}`);
    }
    const reservations = new Map([...this.#books.values()].flatMap((books) => [...books.reservations]));
    const items = [...this.#world.mysql.table('purchase_items').rows()];
    const bought = new Set<ReservationId>(items.map((row) => this.#items.id(row, 'reservation_id')));
    this.#clock.atRest(
      this.#world.mysql.table('notifications').rows(),
      (id) => reservations.get(id),
      (id) => bought.has(id),
    );
    if (!this.#world.queue('advance').open) return;
    for (const sale of this.#world.mysql.table('sales').rows()) {
      const { reservations: own } = this.#booksOf(this.#sales.id(sale, 'id'));
      this.#clock.saleAtRest(sale, own, tickedAtMs, this.#world.nowMs);
    }
  }

  #mirrorAtRest(late: boolean): void {
    const c = this.#reservations;
    const { redis, mysql } = this.#world;
    for (const row of mysql.table('sales').rows()) {
      const saleId = this.#sales.id(row, 'id');
      const tag = saleTag(saleId);
      const fields = redis.hashAt(keys.sale(tag));
      // A sale that Redis has lost is loaded again at the next request for it.
      if (!fields) continue;
      for (const name of ['epoch', 'version', ...counters]) {
        if (fields.get(name) !== String(this.#sales.number(row, name))) {
          this.#fail(
            'I6',
            `the mirror of sale ${saleId} has ${name} ${fields.get(name)}, MySQL ${this.#sales.number(row, name)}`,
          );
        }
      }
      for (const [name, right] of this.#termsOf(row)) {
        if (fields.get(name) !== right)
          this.#fail('I6', `the mirror of ${saleId} has ${name} ${fields.get(name)}, MySQL ${right}`);
      }
      const books = this.#booksOf(saleId);
      const claimed = new Map<CustomerId, number>();
      for (const [id, reservation] of books.reservations) {
        const customerId = c.id(reservation, 'customer_id');
        const bucket = redis.hashAt(keys.claims(tag, claimBucket(tag, customerId)));
        const packed = bucket?.get(reservationField(id, customerId))?.split(':');
        const right = [
          stateLetters[c.text(reservation, 'state')],
          c.number(reservation, 'version'),
          c.number(reservation, 'units'),
        ];
        if (packed?.slice(0, 3).join() !== right.join())
          this.#fail('I6', `the mirror of ${id} is ${packed}, MySQL says ${right}`);
        if (packed) this.#shownAtRest(saleId, reservation, unpack(packed.join(':')), books.reservations);
        const held = books.held.get(c.text(reservation, 'customer_id')) ?? 0;
        claimed.set(customerId, held);
      }
      const undecided = this.#checkGate(saleId, fields);
      if (late && undecided > 0) this.#fail('I9', `the gate of ${saleId} still waits for ${undecided} requests`);
      // A claim that was never queued and never returned is an orphan, and is taken back a while later.
      if (undecided > 0) continue;
      for (const [customerId, held] of claimed) {
        const bucket = redis.hashAt(keys.claims(tag, claimBucket(tag, customerId)));
        const counted = Number(bucket?.get(customerField(customerId)) ?? 0);
        if (counted !== held) this.#fail('I6', `the gate counts ${counted} units for a customer who holds ${held}`);
      }
    }
  }

  /** What a reader is shown from the mirror alone is what MySQL has. */
  #shownAtRest(saleId: SaleId, row: Row, mirrored: MirroredStatus, all: ReadonlyMap<ReservationId, Row>): void {
    const c = this.#reservations;
    const state = c.text(row, 'state');
    const id = c.id(row, 'id');
    if (mirrored.shown) {
      const { reason, deadlineMs, acceptedAtMs, decidedAtMs } = mirrored.shown;
      const bound = c.value(row, 'purchase_id') !== null;
      const shown = [reason, deadlineMs, acceptedAtMs, decidedAtMs, null, false];
      const deadline = state === 'allocated' ? c.value(row, 'deadline_ms') : null;
      const times = [c.number(row, 'accepted_at_ms'), c.number(row, 'decided_at_ms')];
      const right = [c.value(row, 'reason'), deadline, ...times, c.value(row, 'part_of'), bound];
      if (JSON.stringify(shown) !== JSON.stringify(right))
        this.#fail('I6', `the mirror shows ${JSON.stringify(shown)} of ${id}, MySQL has ${JSON.stringify(right)}`);
    }
    const { position } = mirrored;
    const bits = this.#world.redis.bitsAt(keys.line(saleTag(saleId)));
    if (position === null || !bits.has(position)) return;
    if (state !== 'waitlisted') this.#fail('I6', `the bits of the line have ${id}, which is ${state}`);
    const waiting = [...all.values()].filter((one) => c.text(one, 'state') === 'waitlisted');
    if (state !== 'waitlisted' || bits.size !== waiting.length) return;
    const ahead = waiting.filter((one) => c.number(one, 'ticket') < c.number(row, 'ticket')).length;
    const counted = [...bits].filter((at) => at < position).length;
    if (counted !== ahead) this.#fail('I6', `the bits of the line count ${counted} before ${id}, MySQL ${ahead}`);
  }

  /** What the gate must judge requests of a sale by. */
  #termsOf(row: Row): Map<string, string> {
    const c = this.#sales;
    const closesMs = Math.min(c.number(row, 'reserve_closes_at_ms'), c.number(row, 'purchase_closes_at_ms'));
    return new Map([
      ['status', c.text(row, 'status')],
      ['opens', c.text(row, 'reserve_opens_at_ms')],
      ['closes', String(closesMs)],
      ['cap', c.text(row, 'cap_per_customer')],
      ['waitlistSize', c.text(row, 'waitlist_size')],
    ]);
  }

  /** The gate counts what is undecided, and at rest that is only what was given up. Returns how many claims that are. */
  #checkGate(saleId: SaleId, fields: ReadonlyMap<string, string>): number {
    const tag = saleTag(saleId);
    let [units, over, claims] = [0, 0, 0];
    for (const bucket of bucketsOf(tag)) {
      for (const [field, packed] of this.#world.redis.hashAt(keys.claims(tag, bucket)) ?? []) {
        if (field.startsWith('@') || !/^[ro]/.test(packed)) continue;
        claims++;
        if (packed.startsWith('o')) over++;
        else units += Number(packed.split(':')[3]);
      }
    }
    if (claims > 0) this.#unless('gate', 'I6', `the gate waits for ${claims} requests of ${saleId} at rest`);
    const counted = [Number(fields.get('pendingUnits') ?? 0), Number(fields.get('pendingOver') ?? 0)];
    if (counted.join() !== [units, over].join()) {
      this.#fail('I6', `the gate of ${saleId} counts ${counted} undecided at rest, there are ${units},${over}`);
    }
    return claims;
  }
}
