/**
 * The phase of a sale, by the clock. Invariant I8: what a customer may do is decided at each request by comparing the time
 * with the sale's times, never by a phase that a trigger has stored.
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

/** The phase of a sale at a time. Where the periods overlap, purchasing takes precedence over reserving. */
export function phaseAt(times: SaleTimes, nowMs: number): SalePhase {
  if (nowMs >= times.purchaseClosesAtMs) return 'closed';
  if (nowMs >= times.purchaseOpensAtMs) return 'purchasing';
  if (nowMs >= times.reserveClosesAtMs) return 'reserved';
  if (nowMs >= times.reserveOpensAtMs) return 'reserving';
  return 'scheduled';
}

/** Why units cannot be bought at this time; undefined if they can. `deadlineMs` is the deadline of an offer, if any. */
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

/** The boundaries of a sale that are still to come, earliest first: its publication, its times, the reminder before the close. */
export function boundariesAfter(times: SaleTimes & { readonly publicFromMs: number | null }, nowMs: number): number[] {
  const boundaries = [
    times.publicFromMs ?? 0,
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
