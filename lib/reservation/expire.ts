/**
 * Expiry: ends what is over in a sale, a bounded number of reservations per transaction, and offers the released units to
 * the waitlist.
 */

import { type Committed, nothingChanged, type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { lockSales, type SaleRow } from '#sale/sale.store.ts';
import { deadlineAtMs } from '#sale/sale-clock.ts';
import { endAndOffer, rowsPerTransaction } from './release.ts';
import {
  lockEndedOffers,
  lockReservations,
  lockUnpaid,
  type ReservationRow,
  readWaiting,
} from './reservation.store.ts';

/** What one transaction has done, and where the next continues. */
interface Step extends Committed {
  readonly ended: number;
  /** The last allocated reservation that ended because the whole sale is over. */
  readonly afterId: string | undefined;
}

/**
 * Ends what is over in a sale: offers past their deadline, allocations past their time to pay; after the purchase window everything that is not bought; in a
 * cancelled sale everything. Offers what is left to the waitlist. Harmless at any time and any number of times; a
 * paused sale is left as it is. Goes on until `deadlineMs`; returns how many reservations ended.
 */
export async function expireSale(deps: WriteNeeds, saleId: SaleId, deadlineMs: number): Promise<number> {
  let ended = 0;
  let afterId: string | undefined;
  for (;;) {
    const step = await writeThrough(deps, (tx, nowMs) => endSome(tx, saleId, afterId, nowMs));
    ended += step.ended;
    afterId = step.afterId ?? afterId;
    // Progress is a row that ended or an offer that was made; without either there is nothing left to do.
    if (step.reservations.length === 0 || deps.clock() >= deadlineMs) return ended;
  }
}

/**
 * How a reservation with units ends that is over in a sale, or undefined if it is not, or the sale is paused. For one that a
 * purchase has just left, so that its units do not wait for the next look at the sale. Pure.
 */
export function endOf(
  sale: SaleRow,
  row: Pick<ReservationRow, 'deadlineMs'>,
  nowMs: number,
): { to: 'cancelled' | 'expired'; reason: string } | undefined {
  if (sale.status === 'paused') return undefined;
  const whole = sale.status === 'cancelled' || nowMs >= sale.purchaseClosesAtMs;
  if (!whole && nowMs < deadlineAtMs(sale, row.deadlineMs)) return undefined;
  return { to: sale.status === 'cancelled' ? 'cancelled' : 'expired', reason: reasonOf(sale, whole) };
}

async function endSome(tx: Tx, saleId: SaleId, afterId: string | undefined, nowMs: number): Promise<Step> {
  const sale = (await lockSales(tx, [saleId])).get(saleId);
  if (!sale || sale.status === 'paused') return { ...nothingChanged, ended: 0, afterId: undefined };
  const cancelled = sale.status === 'cancelled';
  const whole = cancelled || nowMs >= sale.purchaseClosesAtMs;
  const rows = await (whole
    ? lockRemaining(tx, saleId, afterId)
    : lockEndedOffers(tx, sale, nowMs, rowsPerTransaction));
  const committed = await endAndOffer(
    tx,
    sale,
    rows,
    cancelled ? 'cancelled' : 'expired',
    reasonOf(sale, whole),
    nowMs,
  );
  const last = whole ? rows.findLast((row) => row.state === 'allocated') : undefined;
  return { ...committed, ended: rows.length, afterId: last?.reservationId };
}

function reasonOf(sale: SaleRow, whole: boolean): string {
  if (sale.status === 'cancelled') return 'sale_cancelled';
  return whole ? 'window_closed' : 'deadline_passed';
}

/** Reservations of a sale that is over: those with units, in the order of their ids, then those on the waitlist. */
async function lockRemaining(tx: Tx, saleId: SaleId, afterId: string | undefined): Promise<ReservationRow[]> {
  const allocated = await lockUnpaid(tx, saleId, afterId, rowsPerTransaction);
  const waiting = await readWaiting(tx, saleId, rowsPerTransaction - allocated.length);
  const waitingRows = await lockReservations(
    tx,
    waiting.map((one) => one.reservationId),
  );
  return [...allocated, ...waitingRows];
}
