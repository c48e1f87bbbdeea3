/**
 * I12, the clock, in the model: a pause gives its time back and nothing goes on in it; whoever holds units or waits when
 * times move is told once for each change, and of nothing else.
 */
import type { ReservationId } from '#platform/kernel/ids.ts';
import type { Row } from '../world/mysql.ts';
import type { Columns } from './checker.ts';

const changeKinds = new Set(['reminder.rescheduled', 'reminder.paused', 'reminder.resumed']);
/** A shorter pause may begin and end in one millisecond of its transactions. */
const pauseThatCountsMs = 2_000;

export class ClockCheck {
  readonly #sales: Columns;
  readonly #reservations: Columns;
  readonly #notices: Columns;
  readonly #fail: (invariant: string, detail: string) => void;
  /** What must be told: reservation and version of the sale. */
  readonly #due = new Set<string>();

  constructor(
    columns: { readonly sales: Columns; readonly reservations: Columns; readonly notices: Columns },
    fail: (invariant: string, detail: string) => void,
  ) {
    this.#sales = columns.sales;
    this.#reservations = columns.reservations;
    this.#notices = columns.notices;
    this.#fail = fail;
  }

  /** Forgets what is due. */
  reset(): void {
    this.#due.clear();
  }

  /** A sale's row has changed, with these reservations as they are then. */
  saleChanged(before: Row, after: Row, reservations: ReadonlyMap<ReservationId, Row>, nowMs: number): void {
    const [statusBefore, status] = [this.#sales.text(before, 'status'), this.#sales.text(after, 'status')];
    const by = (column: string) => this.#sales.number(after, column) - this.#sales.number(before, column);
    const id = this.#sales.id(after, 'id');
    const moved = by('clock_offset_ms') !== 0 || by('purchase_opens_at_ms') !== 0 || by('purchase_closes_at_ms') !== 0;
    if (statusBefore === 'paused' && status === 'paused' && !moved) {
      if (this.#sales.text(before, 'phase') !== this.#sales.text(after, 'phase'))
        this.#fail('I12', `sale ${id} went on in its pause`);
    }
    if (statusBefore === 'paused' && status === 'active') {
      const pausedAtMs = Number(this.#sales.value(before, 'paused_at_ms') ?? nowMs);
      const toCome = this.#sales.number(before, 'purchase_closes_at_ms') > pausedAtMs;
      const givenBackMs = by('clock_offset_ms');
      if (nowMs - pausedAtMs >= pauseThatCountsMs && givenBackMs <= 0)
        this.#fail('I12', `the pause of sale ${id} was not given back`);
      if (toCome && by('purchase_closes_at_ms') !== givenBackMs)
        this.#fail('I12', `the close of sale ${id} did not move with its deadlines`);
    }
    if (status === 'cancelled' || !(moved || statusBefore !== status)) return;
    const version = this.#sales.number(after, 'version');
    for (const [reservationId, row] of reservations) {
      if (['allocated', 'waitlisted'].includes(this.#reservations.text(row, 'state')))
        this.#due.add(`${reservationId} at version ${version}`);
    }
  }

  /** Everything has been told by now, once each. */
  atRest(notices: Iterable<Row>): void {
    const told = new Set<string>();
    for (const row of notices) {
      if (!changeKinds.has(this.#notices.text(row, 'kind'))) continue;
      const key = `${this.#notices.id(row, 'subject_id')} at version ${this.#notices.number(row, 'round')}`;
      if (!this.#due.has(key)) this.#fail('I12', `a change was told of ${key} of its sale, which did not change then`);
      if (told.has(key)) this.#fail('I12', `a change was told twice of ${key} of its sale`);
      told.add(key);
    }
    for (const key of this.#due) {
      if (!told.has(key)) this.#fail('I12', `nobody was told of the change of ${key} of its sale`);
    }
  }
}
