/**
 * I12, the clock: no announced time gets shorter without a notice, a pause stops every clock, and each change is told once
 * to everybody whom it concerns.
 *
 * The notices say what each customer was told and when; the histories say which times a sale had then. A customer who held
 * units or waited from before a change until after the last notice of it must have been told of it. There are two exceptions,
 * and neither goes by what the workers say of themselves. Whose own time to buy was over by the sale's clock hears of that
 * end. And an announcement that goes over a large sale in steps leaves out those whom it has not come to when a newer one, or
 * the sale's end, takes its place in time; they must have been told that instead. The end takes the place of no earlier close.
 */
import type { ClientView, RefusedForTime } from './clients.ts';
import { type SaleHistory, type Stretch, type Terms, wrongGivingBack } from './history.ts';
import type { Stop } from './read-by-reservation.ts';
import type { AnnouncementRow, CancellationRow, NoticeRow, ReservationRow, SaleRow } from './store.ts';
import type { Tally } from './tally.ts';

/**
 * A notice carries the time at which its transaction began; the transaction may have waited so long for the sale before its
 * commit.
 */
const transactionMs = 2_000;
/** Where nobody was told of something, it would have been told by then. */
const tellingMs = 10_000;

/** The transaction of a change tells so many reservations of its sale, in the order of their ids; steps tell the others. */
const toldAtOnce = 500;
/**
 * Between two steps of an announcement no more time may pass: if a worker dies, a rule continues its job within the second
 * minute.
 */
const stepMs = 120_000;

const opened = 'reminder.purchase-opened';
const [rescheduled, paused, resumed] = ['reminder.rescheduled', 'reminder.paused', 'reminder.resumed'];
const changeKinds = new Set([rescheduled, paused, resumed]);
const stoppedByPause = new Set(['reservation.expired', opened, 'reminder.closing-soon', 'reminder.payment-due']);
const ends = new Set(['reservation.purchased', 'reservation.cancelled', 'reservation.expired', 'reservation.refunded']);
const tooLate = new Set(['window_closed', 'deadline_passed']);

/** A change that must be told to everybody whom it concerns throughout. */
interface Duty {
  readonly kind: string;
  /** The round of its notices; undefined if any notice from `fromMs` on will do. */
  readonly round: number | undefined;
  readonly fromMs: number;
  /** Whoever is concerned from `fromMs` to here was there when it was told. */
  readonly untilMs: number;
  /** Whether it concerns those who wait as well. */
  readonly alsoWaiting: boolean;
  /** The change that it tells of; undefined for the opening. */
  readonly change: Change | undefined;
}

/** What is known of a change beyond its notices. */
interface Change {
  readonly before: Terms;
  readonly terms: Terms;
  /** When its last notice was made; undefined if nobody was told. */
  readonly lastAtMs: number | undefined;
  /** How far it came, in the order of ids. */
  readonly lastId: string;
  /** What took its place before it must have come to everybody: a newer change, or, without a round, the sale's end. */
  readonly replacedBy: readonly { readonly round: number | undefined; readonly fromMs: number }[];
  /** What the stored deadlines were moved by after it; undefined if that cannot be told. */
  readonly clockOffsetMs: number | undefined;
  /** Whether times were set in the pause that it tells of. */
  readonly isMovedInPause: boolean;
}

/** What the database says was announced of the sales. */
export interface Announced {
  readonly announced: readonly AnnouncementRow[];
  readonly cancellations: Map<string, CancellationRow>;
}

interface SaleClock {
  readonly sale: SaleRow;
  readonly history: SaleHistory;
  readonly duties: readonly Duty[];
  readonly pauses: readonly Stretch[];
}

export class ClockCheck {
  readonly #clocks = new Map<string, SaleClock>();
  readonly #cancellations: Map<string, CancellationRow>;
  readonly #refused = new Map<string, RefusedForTime[]>();
  /** How many reservations of each sale have been judged; they come in the order of their ids. */
  readonly #met = new Map<string, number>();
  /** The notices of reservations whose purchase was refused as too late. */
  readonly #told = new Map<string, NoticeRow[]>();

  constructor(
    sales: Map<string, SaleRow>,
    histories: Map<string, SaleHistory>,
    { announced, cancellations }: Announced,
    clients: Pick<ClientView, 'refusedForTime'>,
    nowMs: number,
  ) {
    this.#cancellations = cancellations;
    const ofSale = Map.groupBy(announced, ({ saleId }) => saleId);
    for (const [id, sale] of sales) {
      const history = histories.get(id);
      if (!history?.isWhole) continue;
      // A pause puts the close off.
      const closesAtMs = sale.status === 'paused' ? Number.POSITIVE_INFINITY : sale.purchaseClosesAtMs;
      const calledOffAtMs = cancellations.get(id)?.calledOffAtMs;
      const endsAtMs = Math.min(calledOffAtMs ?? closesAtMs, closesAtMs);
      const isCalledOff = calledOffAtMs !== undefined;
      const duties = dutiesOf({ history, sale, endsAtMs, isCalledOff }, ofSale.get(id) ?? [], nowMs);
      this.#clocks.set(id, { sale, history, duties, pauses: history.stretches('paused') });
    }
    for (const refused of clients.refusedForTime) {
      if (refused.op !== 'buy' || !tooLate.has(refused.code ?? '')) continue;
      for (const id of refused.reservationIds ?? []) this.#refused.set(id, [...(this.#refused.get(id) ?? []), refused]);
    }
  }

  /** Judges the notices about one reservation, in any order. */
  add({ id, row, notices }: Stop, tally: Tally): void {
    const place = row ? (this.#met.get(row.saleId) ?? 0) : 0;
    if (row) this.#met.set(row.saleId, place + 1);
    if (notices.length === 0) return;
    const inOrder = [...notices].sort((a, b) => a.createdAtMs - b.createdAtMs || a.version - b.version);
    checkToldTime(id, inOrder, tally);
    if (this.#refused.has(id)) this.#told.set(id, inOrder);
    const cancellation = this.#cancellations.get(row?.saleId ?? '');
    if (cancellation) checkBuyerTold(id, inOrder, cancellation, tally);
    const clock = this.#clocks.get(row?.saleId ?? '');
    if (!row || !clock) return;
    const { sale, history, duties, pauses } = clock;
    const toldMs = lastTold(inOrder);
    if (toldMs !== undefined && row.state === 'allocated' && sale.status === 'active') {
      const deadlineMs = deadlineOf(row, sale);
      tally.expect(
        toldMs === deadlineMs,
        () => `reservation ${id} can be bought until ${deadlineMs}, and its owner was told ${toldMs}`,
      );
    }
    for (const one of inOrder) {
      checkBeforeClose(one, history, tally);
      if (pauses.length > 0 && stoppedByPause.has(one.kind)) checkOutsidePauses(one, pauses, tally);
    }
    for (const duty of duties) checkTold({ row, place }, duty, inOrder, tally);
  }

  /** Judges the pauses, what was announced, and the purchases that were refused as too late. */
  finish(announced: readonly AnnouncementRow[], clients: Pick<ClientView, 'refusedForTime'>, tally: Tally): void {
    for (const [saleId, { history }] of this.#clocks) checkGivenBack(saleId, history, tally);
    for (const { saleId, kind, round, notices } of announced) {
      const clock = this.#clocks.get(saleId);
      if (!clock || !changeKinds.has(kind)) continue;
      tally.expect(
        clock.duties.some((duty) => duty.kind === kind && duty.round === round),
        () => `${notices} customers were told ${kind} of sale ${saleId} at version ${round}, and nothing had changed`,
      );
    }
    for (const refused of clients.refusedForTime) {
      if (refused.op === 'buy' && tooLate.has(refused.code ?? '')) this.#judgeRefusal(refused, tally);
    }
  }

  /** A purchase is refused as too late only if the announced time was over. */
  #judgeRefusal({ reservationIds = [], sentMs, answeredMs, code }: RefusedForTime, tally: Tally): void {
    const told = reservationIds.map((id) => {
      const notices = this.#told.get(id) ?? [];
      const isChanging = notices.some(
        ({ createdAtMs }) => createdAtMs > sentMs - transactionMs && createdAtMs <= answeredMs,
      );
      return isChanging ? undefined : lastTold(notices.filter(({ createdAtMs }) => createdAtMs <= sentMs));
    });
    tally.expect(
      told.some((untilMs) => untilMs === undefined || untilMs <= answeredMs),
      () => `a purchase was refused as ${code} at ${answeredMs}, and its customer was told ${told.join(', ')}`,
    );
  }
}

/** No reservation expires before the last time that its owner was told. */
function checkToldTime(reservationId: string, inOrder: readonly NoticeRow[], tally: Tally): void {
  let toldMs: number | undefined;
  for (const { kind, deadline, createdAtMs } of inOrder) {
    if (deadline !== null) toldMs = Date.parse(deadline);
    const told = toldMs;
    if (kind !== 'reservation.expired' || told === undefined) continue;
    tally.expect(
      createdAtMs >= told,
      () => `reservation ${reservationId} expired at ${createdAtMs}, and its owner was told ${told}`,
    );
  }
}

/** No deadline lies after the close as it was announced then. */
function checkBeforeClose(notice: NoticeRow, history: SaleHistory, tally: Tally): void {
  const { deadline, createdAtMs, subjectId, kind } = notice;
  if (deadline === null) return;
  const held = history.between(createdAtMs, createdAtMs + transactionMs);
  tally.expect(
    held.some(({ purchaseClosesAtMs }) => Date.parse(deadline) <= purchaseClosesAtMs),
    () => `${kind} told the owner of ${subjectId} of ${deadline}, which is after the close`,
  );
}

/** During a pause nothing ends, opens or closes soon. */
function checkOutsidePauses(notice: NoticeRow, pauses: readonly Stretch[], tally: Tally): void {
  const { createdAtMs, subjectId, kind } = notice;
  tally.expect(
    !pauses.some(({ fromMs, toMs }) => createdAtMs > fromMs && createdAtMs < toMs),
    () => `${kind} was told of reservation ${subjectId} at ${createdAtMs}, while its sale was paused`,
  );
}

/**
 * Everybody whom a change concerns throughout is told of it once, unless a newer change took its place; nobody is told twice,
 * and nobody whose own time was over.
 */
function checkTold(
  { row, place }: { row: ReservationRow; place: number },
  duty: Duty,
  notices: readonly NoticeRow[],
  tally: Tally,
): void {
  const { kind, round, fromMs, untilMs, alsoWaiting } = duty;
  const told = notices.filter(
    (one) => one.kind === kind && (round === undefined ? one.createdAtMs >= fromMs : one.round === round),
  ).length;
  const begins = ['reservation.allocated', 'reservation.offered', ...(alsoWaiting ? ['reservation.waitlisted'] : [])];
  const began = notices.find((one) => begins.includes(one.kind));
  if (!began) return;
  const end = notices.find((one) => ends.has(one.kind));
  const endedMs = end?.createdAtMs ?? Number.POSITIVE_INFINITY;
  const isThroughout = began.createdAtMs + transactionMs < fromMs && endedMs > untilMs + transactionMs;
  // A customer who is paying already needs no reminder to pay.
  const isConcerned = isThroughout && (alsoWaiting || end?.kind !== 'reservation.purchased');
  tally.expect(
    told === 1 || (told === 0 && (!isConcerned || mayBeUntold({ row, place }, duty.change, notices))),
    () => `the owner of reservation ${row.id} was told ${kind} of version ${round ?? '-'} ${told} times`,
  );
  if (told === 0 || kind !== paused || !duty.change || duty.change.isMovedInPause) return;
  tally.expect(
    !wasOver(row, duty.change, notices),
    () => `the owner of reservation ${row.id} was told ${kind} of version ${round ?? '-'}, and their time was over`,
  );
}

/** Whether somebody hears something else instead of a change. */
function mayBeUntold(
  { row, place }: { row: ReservationRow; place: number },
  change: Change | undefined,
  notices: readonly NoticeRow[],
): boolean {
  if (!change) return false;
  if (wasOver(row, change, notices)) return true;
  const { lastId, replacedBy } = change;
  // It came by here, or told this one at once.
  if (row.id <= lastId || place < toldAtOnce) return false;
  return replacedBy.some(({ round, fromMs }) =>
    notices.some(
      (one) =>
        (ends.has(one.kind) && one.createdAtMs >= fromMs) ||
        (round !== undefined && changeKinds.has(one.kind) && one.round >= round),
    ),
  );
}

/**
 * Whether the own time of a reservation was over by the sale's clock when a change came to it, and stayed so. Deadlines are
 * those that its owner was told before.
 */
function wasOver(
  { deadlineMs }: ReservationRow,
  { before, terms, lastAtMs, clockOffsetMs }: Change,
  notices: readonly NoticeRow[],
): boolean {
  const earlier = notices.filter(
    ({ round, createdAtMs, kind }) =>
      createdAtMs <= terms.fromMs || (changeKinds.has(kind) && terms.version !== undefined && round < terms.version),
  );
  const toldMs = lastTold(earlier);
  if (toldMs === undefined) return false;
  // What a move itself ends is told of it, unless it closes the sale at once: then everybody hears of the end.
  const beforeMs = before.status === 'paused' ? (before.clockStandsAtMs ?? 0) : terms.heldByMs;
  const isClosed = terms.status === 'active' && terms.purchaseClosesAtMs <= terms.heldByMs;
  if (terms.act === 'reschedule' && toldMs > beforeMs && !isClosed) return false;
  const pausedForMs = before.status === 'paused' ? terms.purchaseClosesAtMs - before.purchaseClosesAtMs : 0;
  const isMove = terms.act === 'reschedule';
  const knownMs = deadlineMs === null || clockOffsetMs === undefined ? toldMs : deadlineMs + clockOffsetMs;
  const untilMs = Math.min(isMove ? knownMs : toldMs + pausedForMs, terms.purchaseClosesAtMs);
  const clockMs = terms.status === 'paused' ? terms.clockStandsAtMs : (lastAtMs ?? terms.heldByMs);
  return clockMs !== undefined && untilMs <= clockMs;
}

/**
 * Buyers in a sale that is called off are told once what becomes of their money; others hear that their reservation is
 * cancelled.
 */
function checkBuyerTold(id: string, notices: readonly NoticeRow[], cancellation: CancellationRow, tally: Tally): void {
  const { calledOffAtMs, sweptAtMs } = cancellation;
  const timeOf = (kind: string) => notices.find((one) => one.kind === kind)?.createdAtMs ?? Number.POSITIVE_INFINITY;
  if (timeOf('reservation.purchased') + transactionMs >= calledOffAtMs) return;
  const told = notices.filter(({ kind }) => kind === `reminder.called-off-${cancellation.refunds}`).length;
  // A purchase that an operator refunded before, or while others were told, is not a purchase any more.
  const wasRefunded = timeOf('reservation.refunded') < (sweptAtMs ?? Number.POSITIVE_INFINITY);
  tally.expect(
    told === 1 || (told === 0 && wasRefunded),
    () => `the buyer of reservation ${id} was told ${told} times that the sale was called off`,
  );
}

function checkGivenBack(saleId: string, history: SaleHistory, tally: Tally): void {
  for (const [index, paused] of history.terms.entries()) {
    const resumed = history.terms[index + 1];
    if (paused.status !== 'paused' || resumed?.status !== 'active') continue;
    const wrong = wrongGivingBack(paused, resumed);
    tally.expect(wrong === undefined, () => `sale ${saleId} was resumed, and ${wrong}`);
  }
}

function dutiesOf(
  {
    history,
    sale,
    endsAtMs,
    isCalledOff,
  }: { history: SaleHistory; sale: SaleRow; endsAtMs: number; isCalledOff: boolean },
  announced: readonly AnnouncementRow[],
  nowMs: number,
): Duty[] {
  const told = history.told();
  const changes = told.map(({ before, terms, kind }, index): Duty => {
    const known = announced.find((one) => one.kind === kind && one.round === terms.version);
    const untilMs = Math.max(known?.lastAtMs ?? terms.heldByMs + tellingMs, terms.heldByMs);
    const inTimeMs = Math.max(known?.lastAtMs ?? 0, terms.heldByMs) + stepMs;
    const later = told.slice(index + 1);
    const newer = later.find((one) => supersedes(one.kind, kind));
    // An earlier close that is still to come is told before anything ends by it, unless the sale is called off meanwhile.
    const isEarlier = terms.purchaseClosesAtMs < before.purchaseClosesAtMs && terms.purchaseClosesAtMs > terms.heldByMs;
    const mayEndUntold = isCalledOff || !isEarlier;
    const takers = [
      ...(newer ? [{ round: newer.terms.version, fromMs: newer.terms.fromMs }] : []),
      ...(mayEndUntold && endsAtMs <= nowMs ? [{ round: undefined, fromMs: endsAtMs }] : []),
    ];
    const change: Change = {
      ...{ before, terms, lastAtMs: known?.lastAtMs, lastId: known?.lastId ?? '' },
      replacedBy: takers.filter(({ fromMs }) => fromMs <= inTimeMs),
      clockOffsetMs: offsetAfter(sale, later),
      isMovedInPause: later[0]?.kind === rescheduled,
    };
    return { kind, round: terms.version, fromMs: terms.fromMs, untilMs, alsoWaiting: true, change };
  });
  const opening = openingOf(history, announced);
  return opening && opening.untilMs + transactionMs < nowMs ? [...changes, opening] : changes;
}

/** Whether a newer change says all that an older one does. New times set in a pause do not say that there is one. */
function supersedes(newer: string, older: string): boolean {
  return !(newer === rescheduled && older === paused);
}

/** What stored deadlines were moved by before these changes were made; undefined if a move's part in it is unknown. */
function offsetAfter(
  sale: SaleRow,
  later: readonly { before: Terms; terms: Terms; kind: string }[],
): number | undefined {
  if (later.some(({ kind }) => kind === rescheduled)) return undefined;
  const givenBackMs = later.reduce(
    (sum, { before, terms }) => sum + terms.purchaseClosesAtMs - before.purchaseClosesAtMs,
    0,
  );
  return sale.clockOffsetMs - givenBackMs;
}

/** The opening of the purchase window, of which holders are told; undefined if it was announced never or more than once. */
function openingOf(history: SaleHistory, announced: readonly AnnouncementRow[]): Duty | undefined {
  const fromMs = history.terms.at(-1)?.purchaseOpensAtMs ?? Number.POSITIVE_INFINITY;
  const held = history.between(fromMs, fromMs + tellingMs);
  const isPlain = held.every((terms) => terms.status === 'active' && terms.purchaseOpensAtMs === fromMs);
  const cameOnce = history.terms.every(({ purchaseOpensAtMs }, index) => {
    const next = history.terms[index + 1];
    return next === undefined || purchaseOpensAtMs === fromMs || purchaseOpensAtMs > next.heldByMs;
  });
  if (!isPlain || !cameOnce) return undefined;
  const last = announced.filter(({ kind, lastAtMs }) => kind === opened && lastAtMs >= fromMs).at(-1)?.lastAtMs;
  const untilMs = Math.max(last ?? 0, fromMs + tellingMs);
  return { kind: opened, round: undefined, fromMs, untilMs, alsoWaiting: false, change: undefined };
}

/** The last time until which its owner was told that a reservation can be bought. */
function lastTold(inOrder: readonly NoticeRow[]): number | undefined {
  const deadline = inOrder.findLast((one) => one.deadline !== null)?.deadline;
  return typeof deadline === 'string' ? Date.parse(deadline) : undefined;
}

/** Until when a reservation can be bought, by its row and its sale's. */
function deadlineOf(row: ReservationRow, { clockOffsetMs, purchaseClosesAtMs }: SaleRow): number {
  return row.deadlineMs === null ? purchaseClosesAtMs : Math.min(row.deadlineMs + clockOffsetMs, purchaseClosesAtMs);
}
