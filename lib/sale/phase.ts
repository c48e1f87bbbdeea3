/**
 * Where a sale stands, by the clock. Invariant I8: what a customer may do is judged by comparing a time with the sale's
 * own times at each request, never by something that a trigger has set.
 */

import { toIso } from '#platform/kernel/clock.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { salePhases } from './sale.table.ts';

export type SalePhase = (typeof salePhases)[number];

export interface SaleTimes {
  readonly reserveOpensAtMs: number;
  readonly reserveClosesAtMs: number;
  readonly purchaseOpensAtMs: number;
  readonly purchaseClosesAtMs: number;
}

/** The phase of a sale at a time. Purchasing wins where reserving goes on into the purchase window. */
export function phaseAt(times: SaleTimes, nowMs: number): SalePhase {
  if (nowMs >= times.purchaseClosesAtMs) return 'closed';
  if (nowMs >= times.purchaseOpensAtMs) return 'purchasing';
  if (nowMs >= times.reserveClosesAtMs) return 'reserved';
  if (nowMs >= times.reserveOpensAtMs) return 'reserving';
  return 'scheduled';
}

/** Why nothing can be bought at this time, or undefined if it can. The deadline is an offer's own, if it has one. */
export function purchaseRefusal(
  sale: SaleTimes & { status: string },
  deadlineMs: number | null,
  nowMs: number,
): Refusal | undefined {
  if (sale.status === 'cancelled') return refuse('sale_cancelled', 'The sale was cancelled.');
  if (sale.status === 'paused') return refuse('sale_paused', 'The sale is paused; your units stay set aside.');
  if (nowMs < sale.purchaseOpensAtMs) {
    return refuse('window_not_open', `The purchase window opens at ${toIso(sale.purchaseOpensAtMs)}.`);
  }
  if (nowMs >= sale.purchaseClosesAtMs) {
    return refuse('window_closed', `The purchase window closed at ${toIso(sale.purchaseClosesAtMs)}.`);
  }
  if (deadlineMs !== null && nowMs >= deadlineMs) {
    return refuse('deadline_passed', `The offer ended at ${toIso(deadlineMs)}.`);
  }
  return undefined;
}

/** The next moment at which something happens in a sale, if any is still to come. */
export function boundariesAfter(times: SaleTimes, nowMs: number): number[] {
  const boundaries = [
    times.reserveOpensAtMs,
    times.reserveClosesAtMs,
    times.purchaseOpensAtMs,
    times.purchaseClosesAtMs,
  ];
  return [...boundaries, times.purchaseClosesAtMs - remindBeforeMs(times)]
    .filter((at) => at > nowMs)
    .sort((a, b) => a - b);
}

/** How long before the close customers are reminded: a fifth of the window, and at most an hour. */
export function remindBeforeMs(times: SaleTimes): number {
  return Math.min(3_600_000, Math.floor((times.purchaseClosesAtMs - times.purchaseOpensAtMs) / 5));
}
