/**
 * A sale's own clock (invariant I12): it stands still while the sale is paused, and while a window that was open is closed
 * again. Deadlines are kept in its time, so that a pause or a move is a change of one row, however many people hold units.
 *
 * A deadline in the sale's time becomes one of the wall clock by `clockOffsetMs`, the sum of all that the sale's clock has
 * stood still or was moved by. Pure.
 */
import { phaseAt, remindBeforeMs, type SaleTimes } from './phase.ts';
import type { SaleRow } from './sale.store.ts';
import { salePhases } from './sale.table.ts';

/** What says how a sale's clock stands. */
type Clock = Pick<SaleRow, 'status' | 'pausedAtMs' | 'clockOffsetMs'> & SaleTimes;

/** What a change of a sale's times changes in its row. */
export type ClockChange = SaleTimes & Pick<SaleRow, 'pausedAtMs' | 'clockOffsetMs' | 'phase' | 'remindedAtMs'>;

/** The time that counts in a sale: the wall clock's, or the beginning of its pause. */
export function saleNowMs(sale: Pick<Clock, 'status' | 'pausedAtMs'>, nowMs: number): number {
  return sale.status === 'paused' && sale.pausedAtMs !== null ? Math.min(nowMs, sale.pausedAtMs) : nowMs;
}

/** A time of the wall clock in the sale's own time, as deadlines are stored. */
export function toSaleTime(sale: Pick<Clock, 'clockOffsetMs'>, atMs: number): number {
  return atMs - sale.clockOffsetMs;
}

/**
 * Until when units can be bought, by the wall clock as it would be if a paused sale were resumed now at the latest: a
 * stored deadline moves with the sale's clock, and none lies after the close. Null is units whose only end is the close.
 */
export function deadlineAtMs(
  sale: Pick<Clock, 'clockOffsetMs' | 'purchaseClosesAtMs'>,
  storedMs: number | null,
): number {
  return storedMs === null ? sale.purchaseClosesAtMs : Math.min(storedMs + sale.clockOffsetMs, sale.purchaseClosesAtMs);
}

/** The times of a sale whose pause ends now: what was still to come when it began is later by its length. */
export function giveBackPause(sale: Clock, nowMs: number): SaleTimes & Pick<SaleRow, 'clockOffsetMs'> {
  const { pausedAtMs } = sale;
  const pausedForMs = sale.status === 'paused' && pausedAtMs !== null ? Math.max(0, nowMs - pausedAtMs) : 0;
  const later = (atMs: number) => (pausedAtMs !== null && atMs > pausedAtMs ? atMs + pausedForMs : atMs);
  return {
    reserveOpensAtMs: later(sale.reserveOpensAtMs),
    reserveClosesAtMs: later(sale.reserveClosesAtMs),
    purchaseOpensAtMs: later(sale.purchaseOpensAtMs),
    purchaseClosesAtMs: later(sale.purchaseClosesAtMs),
    clockOffsetMs: sale.clockOffsetMs + pausedForMs,
  };
}

/**
 * What moving a sale's times to `wanted` changes in its row. Deadlines move with the opening as long as it is to come; a
 * window that closes again until a new opening stops the clock until then. What was announced for the old times will be
 * announced again: the stored phase goes back to where the new times say, and so does the reminder if it is still to come.
 * In a pause, the time given back so far is settled first, so that `wanted` are times as of now. `shiftMs` is what moves
 * the deadlines in an open window, where all that is to come is shifted.
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
    remindedAtMs: remindsAtMs > nowMs ? null : sale.remindedAtMs,
  };
}

function earlierPhase(one: SaleRow['phase'], other: SaleRow['phase']): SaleRow['phase'] {
  return salePhases.indexOf(one) <= salePhases.indexOf(other) ? one : other;
}
