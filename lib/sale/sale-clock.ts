/**
 * A sale's own clock (invariant I12). It stands still while the sale is paused, and while an open window is closed until a
 * new opening. Deadlines are stored in the sale's time, so a pause or a move changes one row, however many people hold
 * units.
 *
 * `clockOffsetMs` turns a stored deadline into a wall-clock time: it is the total for which the sale's clock has stood still
 * or was moved. Pure.
 */
import { phaseAt, remindBeforeMs, type SaleTimes } from './phase.ts';
import type { SaleRow } from './sale.store.ts';
import { salePhases } from './sale.table.ts';

/** The fields of a sale that say how its clock stands. */
type Clock = Pick<SaleRow, 'status' | 'pausedAtMs' | 'clockOffsetMs'> & SaleTimes;

/** The fields of a sale's row that a change of its times changes. */
export type ClockChange = SaleTimes & Pick<SaleRow, 'pausedAtMs' | 'clockOffsetMs' | 'phase' | 'remindedAtMs'>;

/** The time that counts in a sale: now, or where the clock of a paused one stands. */
export function saleNowMs(sale: Pick<Clock, 'status' | 'pausedAtMs'>, nowMs: number): number {
  return sale.status === 'paused' && sale.pausedAtMs !== null ? Math.min(nowMs, sale.pausedAtMs) : nowMs;
}

/** A wall-clock time in the sale's own time, as deadlines are stored. */
export function toSaleTime(sale: Pick<Clock, 'clockOffsetMs'>, atMs: number): number {
  return atMs - sale.clockOffsetMs;
}

/**
 * Until when units can be bought, by the wall clock; in a paused sale, as if it were resumed when its clock stopped. A stored
 * deadline moves with the sale's clock, and the close cuts it short. Null means that only the close ends it.
 */
export function deadlineAtMs(
  sale: Pick<Clock, 'clockOffsetMs' | 'purchaseClosesAtMs'>,
  storedMs: number | null,
): number {
  return storedMs === null ? sale.purchaseClosesAtMs : Math.min(storedMs + sale.clockOffsetMs, sale.purchaseClosesAtMs);
}

/**
 * Until when units can be bought, as it is shown: in a paused sale, as if it were resumed now. So no customer is shown a time that
 * has passed while the sale's clock stands still, and the end of the pause tells the time that was shown then.
 */
export function shownDeadlineMs(
  sale: Pick<Clock, 'status' | 'pausedAtMs' | 'clockOffsetMs' | 'purchaseClosesAtMs'>,
  storedMs: number | null,
  nowMs: number,
): number {
  return deadlineAtMs(
    {
      clockOffsetMs: sale.clockOffsetMs + pausedForMs(sale, nowMs),
      purchaseClosesAtMs: laterByPause(sale, sale.purchaseClosesAtMs, nowMs),
    },
    storedMs,
  );
}

/** For how long the clock of a sale has stood still in a pause. */
function pausedForMs({ status, pausedAtMs }: Pick<Clock, 'status' | 'pausedAtMs'>, nowMs: number): number {
  return status === 'paused' && pausedAtMs !== null ? Math.max(0, nowMs - pausedAtMs) : 0;
}

/** A time of a sale if its pause ended now. */
function laterByPause(sale: Pick<Clock, 'status' | 'pausedAtMs'>, atMs: number, nowMs: number): number {
  return sale.pausedAtMs !== null && atMs > sale.pausedAtMs ? atMs + pausedForMs(sale, nowMs) : atMs;
}

/** The times of a sale whose pause ends now: what was still to come when it began is later by its length. */
export function giveBackPause(sale: Clock, nowMs: number): SaleTimes & Pick<SaleRow, 'clockOffsetMs'> {
  const later = (atMs: number) => laterByPause(sale, atMs, nowMs);
  return {
    reserveOpensAtMs: later(sale.reserveOpensAtMs),
    reserveClosesAtMs: later(sale.reserveClosesAtMs),
    purchaseOpensAtMs: later(sale.purchaseOpensAtMs),
    purchaseClosesAtMs: later(sale.purchaseClosesAtMs),
    clockOffsetMs: sale.clockOffsetMs + pausedForMs(sale, nowMs),
  };
}

/** Whether a customer has less time to buy after a change than they were told before, or were shown in a pause. */
export function isShorter(
  before: Clock,
  after: Pick<Clock, 'clockOffsetMs' | 'purchaseClosesAtMs'>,
  nowMs: number,
): boolean {
  const told = giveBackPause(before, nowMs);
  return after.purchaseClosesAtMs < told.purchaseClosesAtMs || after.clockOffsetMs < told.clockOffsetMs;
}

/**
 * What moving a sale's times to `wanted` changes in its row. Deadlines move with an opening that is still to come. A window
 * that closes until a new opening stops the clock until then. The stored phase goes back to where the new times say, and so
 * does the reminder of a close that moves or is still far, so that both are announced again. In a pause, the time given back
 * so far is settled first: `wanted` are times as of now. `shiftMs` moves the deadlines in an open window, if all times to
 * come are shifted.
 */
export function moveTimes(
  sale: Clock & Pick<SaleRow, 'phase' | 'remindedAtMs'>,
  wanted: Partial<SaleTimes>,
  nowMs: number,
  shiftMs = 0,
): ClockChange {
  const before = giveBackPause(sale, nowMs);
  const times: SaleTimes = { ...before, ...wanted };
  const isOpen = before.purchaseOpensAtMs <= nowMs && times.purchaseOpensAtMs <= nowMs;
  const openingMovesMs = Math.max(times.purchaseOpensAtMs, nowMs) - Math.max(before.purchaseOpensAtMs, nowMs);
  const remindsAtMs = times.purchaseClosesAtMs - remindBeforeMs(times);
  return {
    reserveOpensAtMs: times.reserveOpensAtMs,
    reserveClosesAtMs: times.reserveClosesAtMs,
    purchaseOpensAtMs: times.purchaseOpensAtMs,
    purchaseClosesAtMs: times.purchaseClosesAtMs,
    clockOffsetMs: before.clockOffsetMs + (isOpen ? shiftMs : openingMovesMs),
    pausedAtMs: sale.status === 'paused' ? nowMs : null,
    phase: earlierPhase(sale.phase, phaseAt(times, nowMs)),
    remindedAtMs:
      remindsAtMs > nowMs || times.purchaseClosesAtMs !== sale.purchaseClosesAtMs ? null : sale.remindedAtMs,
  };
}

function earlierPhase(one: SaleRow['phase'], other: SaleRow['phase']): SaleRow['phase'] {
  return salePhases.indexOf(one) <= salePhases.indexOf(other) ? one : other;
}
