/**
 * Offers: released units go to the waitlist in ticket order, in the transaction that released them, so that no other
 * request can get them first. Pure; `release.ts` carries the decisions out.
 */
import type { SaleRow } from '#sale/sale.store.ts';
import { toSaleTime } from '#sale/sale-clock.ts';
import { byPlace, type Offer, type Waiting } from './reservation.store.ts';

/** The deadline of an offer made now: its life starts no earlier than the purchase window and ends no later. */
export function offerDeadlineMs(
  sale: Pick<SaleRow, 'purchaseOpensAtMs' | 'purchaseClosesAtMs' | 'offerLifeMs'>,
  nowMs: number,
): number {
  return Math.min(Math.max(nowMs, sale.purchaseOpensAtMs) + sale.offerLifeMs, sale.purchaseClosesAtMs);
}

/** Whether units may be offered in a sale now: neither while it is paused, nor after its cut-off before the close. */
export function mayOffer(
  sale: Pick<SaleRow, 'status' | 'purchaseClosesAtMs' | 'offerCutoffMs'>,
  nowMs: number,
): boolean {
  return sale.status === 'active' && nowMs < sale.purchaseClosesAtMs - sale.offerCutoffMs;
}

/**
 * Offers `available` units to the waitlist in ticket order. A reservation whose minimum does not fit keeps its place and
 * does not block those behind it.
 */
export function decideOffers(sale: SaleRow, available: number, waiting: readonly Waiting[], nowMs: number): Offer[] {
  if (!mayOffer(sale, nowMs)) return [];
  const deadlineMs = offerDeadlineMs(sale, nowMs);
  // Stored without the close as a limit: an offer that the close cuts short gets longer when the close moves to later.
  const storedDeadlineMs = toSaleTime(sale, Math.max(nowMs, sale.purchaseOpensAtMs) + sale.offerLifeMs);
  const offers: Offer[] = [];
  let left = available;
  for (const one of [...waiting].sort(byPlace)) {
    const units = Math.min(one.quantity, left);
    if (units < one.atLeast || units === 0) continue;
    offers.push({ waiting: one, units, deadlineMs, storedDeadlineMs });
    left -= units;
  }
  return offers;
}
