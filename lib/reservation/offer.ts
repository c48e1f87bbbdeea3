/**
 * Offers: released units go to the waitlist in ticket order, in the same transaction that released them, so that nobody
 * can come in between. Pure; `release.ts` carries the decisions out.
 */
import type { SaleRow } from '#sale/sale.store.ts';
import { toSaleTime } from '#sale/sale-clock.ts';
import type { Offer, Waiting } from './reservation.store.ts';

/** Until when an offer made now can be bought: its time starts when its units can be bought at all, and ends with the window. */
export function offerDeadlineMs(
  sale: Pick<SaleRow, 'purchaseOpensAtMs' | 'purchaseClosesAtMs' | 'offerLifeMs'>,
  nowMs: number,
): number {
  return Math.min(Math.max(nowMs, sale.purchaseOpensAtMs) + sale.offerLifeMs, sale.purchaseClosesAtMs);
}

/**
 * Shares `available` units among those who wait, in ticket order. Someone whose minimum does not fit keeps the place and
 * does not keep others from units that they can use.
 */
export function decideOffers(sale: SaleRow, available: number, waiting: readonly Waiting[], nowMs: number): Offer[] {
  if (sale.status !== 'active' || nowMs >= sale.purchaseClosesAtMs - sale.offerCutoffMs) return [];
  const deadlineMs = offerDeadlineMs(sale, nowMs);
  // Kept without the cap of the close: an offer that the close cuts short gets longer when the close is moved away.
  const storedDeadlineMs = toSaleTime(sale, Math.max(nowMs, sale.purchaseOpensAtMs) + sale.offerLifeMs);
  const offers: Offer[] = [];
  let left = available;
  for (const one of [...waiting].sort((a, b) => a.ticket - b.ticket || (a.reservationId < b.reservationId ? -1 : 1))) {
    const units = Math.min(one.quantity, left);
    if (units < one.atLeast || units === 0) continue;
    offers.push({ waiting: one, units, deadlineMs, storedDeadlineMs });
    left -= units;
  }
  return offers;
}
