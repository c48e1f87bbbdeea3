/**
 * I12, the clock, in the model: a pause gives its time back and nothing goes on in it; whoever holds units or waits when
 * times move is told once for each change, and of nothing else; the time that somebody was told last is the time that
 * counts, and never lies after the close; and what was announced for an opening that moved is announced again.
 *
 * Whose own time was over by the sale's clock before a change, and stays so, hears of that end only; so does everybody of a
 * sale that a change closes at once.
 *
 * An announcement of more than one page is told in steps. Whom it has not reached when a newer one is made hears of that
 * one, and who has bought or given back by then, of neither.
 */
import { type ChangeGroup, expandChanges } from '#events/changes.ts';
import type { ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { pages } from '../rows-per-step.ts';
import type { Row } from '../world/mysql.ts';
import type { Columns } from './columns.ts';

type SaleOf = (saleId: SaleId) => Row | undefined;

/** What is told with the time until when one may buy. */
const toldKinds = new Set(['rescheduled', 'paused', 'resumed', 'purchase-opened', 'closing-soon']);
const changeKinds = new Set(['reminder.rescheduled', 'reminder.paused', 'reminder.resumed']);
/** What takes the place of the opening's announcement. */
const newerThanOpening = new Set([...changeKinds, 'reminder.purchase-opened', 'reminder.closing-soon']);
/** A shorter pause may begin and end in one millisecond of its transactions. */
const pauseThatCountsMs = 2_000;

/** Who was decided up to so long after a change may have been told older times, and is told of it as well. */
const decidedByOldTermsMs = 10_000;

/** The phases in their order. */
const phases = ['scheduled', 'reserving', 'reserved', 'purchasing', 'closed'];

/** A time until when somebody may buy, as they were told it. */
interface Told {
  readonly round: number;
  readonly deadlineMs: number;
}

/** What events tell of deadlines. */
export interface ToldDetail {
  readonly changes?: ChangeGroup[];
  readonly reason?: string;
  readonly round?: number;
  readonly recipients?: readonly { readonly reservationId: ReservationId; readonly deadlineMs?: number }[];
}

export class ClockCheck {
  readonly #sales: Columns;
  readonly #reservations: Columns;
  readonly #notices: Columns;
  readonly #fail: (invariant: string, detail: string) => void;
  /** What must be told: reservation and version of the sale; and whether that is a pause. */
  readonly #due = new Map<string, boolean>();
  /** Whose own time was over at a change: reservation and version of the sale; with the sale. */
  readonly #over = new Map<string, SaleId>();
  /** The versions at which each sale was resumed, in their order. */
  readonly #resumes = new Map<SaleId, number[]>();
  /** Openings that must be told: the same. */
  readonly #openings = new Map<string, ReservationId>();
  readonly #told = new Map<ReservationId, Told>();
  /** When each version of a sale was announced in steps, by sale. */
  readonly #inSteps = new Map<SaleId, Map<number, number>>();
  /** Sales that an operator resumes without giving the time of the pause back. */
  readonly #keepTimes = new Set<SaleId>();

  constructor(
    columns: { readonly sales: Columns; readonly reservations: Columns; readonly notices: Columns },
    fail: (invariant: string, detail: string) => void,
  ) {
    this.#sales = columns.sales;
    this.#reservations = columns.reservations;
    this.#notices = columns.notices;
    this.#fail = fail;
  }

  /** Forgets what is due, and what was told. */
  reset(): void {
    this.#due.clear();
    this.#over.clear();
    this.#resumes.clear();
    this.#openings.clear();
    this.#told.clear();
    this.#keepTimes.clear();
    this.#inSteps.clear();
  }

  /** An operator asks for a pause of this sale that is not given back. */
  timesAreKept(saleId: SaleId): void {
    this.#keepTimes.add(saleId);
  }

  /** An event is committed with the sale as it is then. */
  eventRecorded({ changes = [], reason = '', round, recipients = [] }: ToldDetail, saleOf: SaleOf): void {
    for (const { reservationId, saleId, deadlineMs, to } of expandChanges(changes)) {
      const sale = saleOf(saleId);
      if (to !== 'allocated' || deadlineMs === undefined || !sale) continue;
      this.#tell(reservationId, this.#sales.number(sale, 'version'), deadlineMs, sale);
    }
    if (round === undefined || !toldKinds.has(reason)) return;
    for (const { reservationId, deadlineMs } of recipients)
      if (deadlineMs !== undefined) this.#tell(reservationId, round, deadlineMs);
  }

  #tell(id: ReservationId, round: number, deadlineMs: number, sale?: Row): void {
    if (sale && deadlineMs > this.#sales.number(sale, 'purchase_closes_at_ms'))
      this.#fail('I12', `${id} was told a deadline after the close`);
    if (round >= (this.#told.get(id)?.round ?? 0)) this.#told.set(id, { round, deadlineMs });
  }

  /** A reservation has expired. */
  expired(id: ReservationId, nowMs: number): void {
    const told = this.#told.get(id);
    if (told && nowMs < told.deadlineMs) this.#fail('I12', `${id} expired before the time that its customer was told`);
  }

  /** A sale's row has changed, with these reservations as they are then. */
  saleChanged(before: Row, after: Row, reservations: ReadonlyMap<ReservationId, Row>, nowMs: number): void {
    const [statusBefore, status] = [this.#sales.text(before, 'status'), this.#sales.text(after, 'status')];
    const by = (column: string) => this.#sales.number(after, column) - this.#sales.number(before, column);
    const id: SaleId = this.#sales.id(after, 'id');
    const moved = by('clock_offset_ms') !== 0 || by('purchase_opens_at_ms') !== 0 || by('purchase_closes_at_ms') !== 0;
    if (statusBefore === 'paused' && status === 'paused' && !moved) {
      if (this.#sales.text(before, 'phase') !== this.#sales.text(after, 'phase'))
        this.#fail('I12', `sale ${id} went on in its pause`);
    }
    if (statusBefore === 'paused' && status === 'active') {
      const pausedAtMs = Number(this.#sales.value(before, 'paused_at_ms') ?? nowMs);
      const toCome = this.#sales.number(before, 'purchase_closes_at_ms') > pausedAtMs;
      const givenBackMs = by('clock_offset_ms');
      const isKept = this.#keepTimes.has(id);
      if (nowMs - pausedAtMs >= pauseThatCountsMs && givenBackMs <= 0 && !isKept)
        this.#fail('I12', `the pause of sale ${id} was not given back`);
      if (toCome && by('purchase_closes_at_ms') !== givenBackMs)
        this.#fail('I12', `the close of sale ${id} did not move with its deadlines`);
    }
    this.#checkPhase(before, after, reservations, nowMs, moved);
    if (status === 'cancelled' || !(moved || statusBefore !== status)) return;
    const version = this.#sales.number(after, 'version');
    this.#noteSteps(id, version, reservations.size, nowMs);
    const isResumed = statusBefore === 'paused' && status === 'active';
    if (isResumed) this.#resumes.set(id, [...(this.#resumes.get(id) ?? []), version]);
    // Whoever holds units of a sale that is over when it is resumed, or closed at once, is told of its end in place of times.
    if (status === 'active' && nowMs >= this.#sales.number(after, 'purchase_closes_at_ms')) {
      for (const reservationId of reservations.keys()) this.#told.delete(reservationId);
      return;
    }
    for (const [reservationId, row] of reservations) {
      const isOver = (sale: Row) => this.#isOver(sale, row, nowMs);
      // What the change itself has ended must be told of it.
      if (isOver(after) && isOver(before)) {
        this.#over.set(`${reservationId} at version ${version}`, id);
      } else if (['allocated', 'waitlisted'].includes(this.#reservations.text(row, 'state')))
        this.#due.set(`${reservationId} at version ${version}`, status === 'paused' && statusBefore !== 'paused');
    }
  }

  /** Whether the units of a reservation could be bought no more by the sale's clock, although nobody had ended it yet. */
  #isOver(sale: Row, row: Row, nowMs: number): boolean {
    if (this.#reservations.text(row, 'state') !== 'allocated') return false;
    const pausedAtMs = this.#sales.value(sale, 'paused_at_ms');
    const isPaused = this.#sales.text(sale, 'status') === 'paused' && pausedAtMs !== null;
    const saleNowMs = isPaused ? Math.min(nowMs, Number(pausedAtMs)) : nowMs;
    return this.#deadlineOf(row, sale) <= saleNowMs;
  }

  /** Until when a reservation can be bought by the wall clock. */
  #deadlineOf(row: Row, sale: Row): number {
    const closesMs = this.#sales.number(sale, 'purchase_closes_at_ms');
    const stored = this.#reservations.value(row, 'deadline_ms');
    return stored === null
      ? closesMs
      : Math.min(closesMs, Number(stored) + this.#sales.number(sale, 'clock_offset_ms'));
  }

  /** The phase by the clock: what has not been reached is not announced, and an opening is told to those who can buy. */
  #checkPhase(
    before: Row,
    after: Row,
    reservations: ReadonlyMap<ReservationId, Row>,
    nowMs: number,
    moved: boolean,
  ): void {
    const [was, is] = [this.#sales.text(before, 'phase'), this.#sales.text(after, 'phase')];
    const id = this.#sales.id(after, 'id');
    if ((moved || was !== is) && phases.indexOf(is) > phases.indexOf(this.#phaseAt(after, nowMs)))
      this.#fail('I12', `sale ${id} is ${is} before its time`);
    if (was === is || is !== 'purchasing' || this.#sales.text(after, 'status') !== 'active') return;
    const version = this.#sales.number(after, 'version');
    this.#noteSteps(id, version, reservations.size, nowMs);
    for (const [reservationId, row] of reservations) {
      const isFree = this.#reservations.value(row, 'purchase_id') === null;
      if (isFree && this.#reservations.text(row, 'state') === 'allocated')
        this.#openings.set(`${reservationId} at version ${version}`, reservationId);
    }
  }

  #noteSteps(saleId: SaleId, version: number, reservations: number, nowMs: number): void {
    if (reservations < pages.rows) return;
    const known = this.#inSteps.get(saleId) ?? new Map<number, number>();
    this.#inSteps.set(saleId, known.set(version, nowMs));
  }

  #phaseAt(sale: Row, nowMs: number): string {
    const at = (column: string) => this.#sales.number(sale, column) <= nowMs;
    if (at('purchase_closes_at_ms')) return 'closed';
    if (at('purchase_opens_at_ms')) return 'purchasing';
    if (at('reserve_closes_at_ms')) return 'reserved';
    return at('reserve_opens_at_ms') ? 'reserving' : 'scheduled';
  }

  /** Whoever can buy was told the time that counts; and the sale is in the phase that the clock said at the last tick, or says. */
  saleAtRest(sale: Row, reservations: ReadonlyMap<ReservationId, Row>, tickedAtMs: number, nowMs: number): void {
    if (this.#sales.text(sale, 'status') !== 'active') return;
    for (const [id, row] of reservations) {
      const told = this.#told.get(id);
      if (!told || this.#reservations.text(row, 'state') !== 'allocated') continue;
      const deadlineMs = this.#deadlineOf(row, sale);
      if (deadlineMs !== told.deadlineMs)
        this.#fail('I12', `${id} was told ${told.deadlineMs}, and has until ${deadlineMs}`);
    }
    const [phase, right] = [this.#sales.text(sale, 'phase'), this.#phaseAt(sale, tickedAtMs)];
    if (phase !== right && phase !== this.#phaseAt(sale, nowMs))
      this.#fail('I9', `sale ${this.#sales.id(sale, 'id')} is ${phase}, by the clock ${right}`);
  }

  /**
   * Everything has been told by now, once each. `rowOf` is a reservation as it is now, and `wasBought` says for which of
   * them a purchase was ever accepted.
   */
  atRest(
    notices: Iterable<Row>,
    rowOf: (id: ReservationId) => Row | undefined,
    wasBought: (id: ReservationId) => boolean,
  ): void {
    const told = new Set<string>();
    const opened = new Set<string>();
    const [changed, reminded] = [new Map<string, number>(), new Map<string, number>()];
    const stateOf = (id: string) => {
      const row = rowOf(id as ReservationId);
      return row ? this.#reservations.text(row, 'state') : '';
    };
    const stepsAt = (id: string, version: number) => {
      const row = rowOf(id as ReservationId);
      return row && this.#inSteps.get(this.#reservations.id(row, 'sale_id'))?.get(version);
    };
    /** Whether somebody hears of something newer instead, or of what has become of them. */
    const isExcused = (
      key: string,
      newer: ReadonlyMap<string, number>,
      states: readonly string[],
      from: (id: string, version: number) => number = (_, version) => version + 1,
    ) => {
      const [id = '', text] = key.split(' at version ');
      const version = Number(text);
      if (stepsAt(id, version) === undefined) return false;
      return (newer.get(id) ?? 0) >= from(id, version) || !states.includes(stateOf(id));
    };
    /** New times set in a pause do not say that there is one, so only what comes after it takes its place. */
    const endOfPause = (id: string, version: number) => {
      const row = rowOf(id as ReservationId);
      const resumes = row && this.#resumes.get(this.#reservations.id(row, 'sale_id'));
      return resumes?.find((resumed) => resumed > version) ?? Number.POSITIVE_INFINITY;
    };
    for (const row of notices) {
      if (this.#notices.text(row, 'kind') === 'reminder.purchase-opened') {
        const key = `${this.#notices.id(row, 'subject_id')} at version ${this.#notices.number(row, 'round')}`;
        if (opened.has(key)) this.#fail('I12', `the opening was told twice of ${key} of its sale`);
        opened.add(key);
      }
      const [subject, round] = [this.#notices.id(row, 'subject_id'), this.#notices.number(row, 'round')];
      const kind = this.#notices.text(row, 'kind');
      for (const [rounds, kinds] of [
        [changed, changeKinds],
        [reminded, newerThanOpening],
      ] as const)
        if (kinds.has(kind)) rounds.set(subject, Math.max(rounds.get(subject) ?? 0, round));
      if (!changeKinds.has(this.#notices.text(row, 'kind'))) continue;
      const key = `${this.#notices.id(row, 'subject_id')} at version ${this.#notices.number(row, 'round')}`;
      const sinceMs = stepsAt(subject, round);
      const stored = rowOf(subject as ReservationId);
      const isLate =
        stored && this.#reservations.number(stored, 'decided_at_ms') <= (sinceMs ?? 0) + decidedByOldTermsMs;
      const overIn = this.#over.get(key);
      // In a step that came later, it cannot be told apart from what the change has ended, and a newer one may have brought it back.
      const isByStep =
        overIn !== undefined && [...(this.#inSteps.get(overIn)?.keys() ?? [])].some((version) => version >= round);
      if (overIn !== undefined && !isByStep)
        this.#fail('I12', `a change was told of ${key} of its sale, though the time to buy was over`);
      else if (!this.#due.has(key) && overIn === undefined && !isLate)
        this.#fail('I12', `a change was told of ${key} of its sale, which did not change then`);
      if (told.has(key)) this.#fail('I12', `a change was told twice of ${key} of its sale`);
      told.add(key);
    }
    for (const [key, id] of this.#openings) {
      const isConcerned = ['allocated', 'purchased'].includes(stateOf(id));
      if (!opened.has(key) && isConcerned && !isExcused(key, reminded, wasBought(id) ? [] : ['allocated']))
        this.#fail('I12', `nobody was told of the opening of ${key} of its sale`);
    }
    for (const [key, isPause] of this.#due) {
      const from = isPause ? endOfPause : undefined;
      if (!told.has(key) && !isExcused(key, changed, ['allocated', 'waitlisted'], from))
        this.#fail('I12', `nobody was told of the change of ${key} of its sale`);
    }
  }
}
