/**
 * Expiry: ends what is over in a sale, a bounded number of reservations per transaction, and offers the released units to
 * the waitlist.
 *
 * Expired reservations are looked up before the sale is locked, and judged again under the lock. So the lock is held only
 * for the rows that end, however many others the sale has.
 */

import { type Committed, nothingChanged, type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import type { ReservationId, SaleId } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { beginPaced } from '#platform/resilience/pace.ts';
import { lockSales, readSales, type SaleRow } from '#sale/sale.store.ts';
import { deadlineAtMs } from '#sale/sale-clock.ts';
import { endAndOffer, rowsPerTransaction } from './release.ts';
import {
  lockEndedOffers,
  lockOpen,
  lockReservations,
  type ReservationRow,
  readEndedOffers,
  readPage,
  unbindFromPurchases,
} from './reservation.store.ts';

/** How many reservations of a sale that is over one transaction looks at. */
export function rowsPerPage(): number {
  return rowsPerTransaction;
}

/** What one transaction has ended. */
interface Step extends Committed {
  readonly ended: number;
}

/** What one transaction has ended in a sale that is over, and where the next one continues. */
export interface PageEnded extends Step {
  /** The last reservation that was looked at; undefined where none was left. */
  readonly afterId: ReservationId | undefined;
  /** Whether it was the last of the sale. */
  readonly isLast: boolean;
}

const nothingLeft: PageEnded = { ...nothingChanged, ended: 0, afterId: undefined, isLast: true };

/**
 * Ends what is over in a sale: offers past their deadline and allocations past their time to pay; after the purchase window
 * everything that is not bought; in a cancelled sale everything. Offers what is left to the waitlist. Safe at any time and
 * any number of times; a paused sale is left as it is. Goes on until `deadlineMs`; returns how many reservations ended.
 */
export async function expireSale(deps: WriteNeeds, saleId: SaleId, deadlineMs: number): Promise<number> {
  let { ended } = await expireOffers(deps, saleId, deadlineMs);
  for (let afterId: ReservationId | undefined; ; ) {
    const from = afterId;
    const page = await writeThrough(deps, async (tx, nowMs) => (await endPage(tx, saleId, from, nowMs)) ?? nothingLeft);
    ended += page.ended;
    if (page.isLast || deps.clock() >= deadlineMs) return ended;
    afterId = page.afterId;
  }
}

/** What some transactions have ended in a sale that goes on. */
export interface Expired {
  readonly ended: number;
  /** Whether something may be left: what was done was as much as is done at a time. */
  readonly isLeft: boolean;
}

/**
 * Ends offers and allocations that are past their deadline in a sale that goes on, and offers what is available, until
 * nothing is left or `deadlineMs` is reached.
 */
export async function expireOffers(deps: WriteNeeds, saleId: SaleId, deadlineMs: number): Promise<Expired> {
  const rest = beginPaced(deps.clock);
  for (let total = 0; ; ) {
    const { ended, isLeft } = await expireSomeOffers(deps, saleId);
    total += ended;
    if (!isLeft || deps.clock() >= deadlineMs) return { ended: total, isLeft };
    await rest(deadlineMs);
  }
}

/** The same in one transaction, which ends and offers no more than does not lock the sale for long. */
export async function expireSomeOffers(deps: WriteNeeds, saleId: SaleId): Promise<Expired> {
  return writeThrough(deps, (tx, nowMs) => endOffers(tx, saleId, nowMs));
}

/** Whether everything that is not bought ends: the sale was called off, or its purchase window is over. Pure. */
export function isOver(sale: Pick<SaleRow, 'status' | 'purchaseClosesAtMs'>, nowMs: number): boolean {
  return sale.status === 'cancelled' || (sale.status === 'active' && nowMs >= sale.purchaseClosesAtMs);
}

/**
 * How a reservation with units ends, or undefined if it is not over, the sale is paused, or times got shorter and not
 * all customers have been told yet (invariant I12). For a reservation that a purchase
 * has just left, so that its units do not wait for the next look at the sale. Pure.
 */
export function endOf(
  sale: SaleRow,
  row: Pick<ReservationRow, 'deadlineMs'>,
  nowMs: number,
): { to: 'cancelled' | 'expired'; reason: string } | undefined {
  if (sale.status === 'paused' || (sale.endsWait && sale.status === 'active')) return undefined;
  const whole = isOver(sale, nowMs);
  if (!whole && nowMs < deadlineAtMs(sale, row.deadlineMs)) return undefined;
  if (sale.status === 'cancelled') return { to: 'cancelled', reason: 'sale_cancelled' };
  return { to: 'expired', reason: whole ? 'window_closed' : 'deadline_passed' };
}

/**
 * Ends what is open on a page of the reservations of a sale that is over, starting after `afterId`. Undefined for a sale
 * that goes on, is paused, or has not told all customers of shorter times yet. What a purchase is paying for is left to the
 * purchase, unless the sale was called off: nothing of it can be bought any more, so the purchase loses it at once.
 */
export async function endPage(
  tx: Tx,
  saleId: SaleId,
  afterId: ReservationId | undefined,
  nowMs: number,
): Promise<PageEnded | undefined> {
  const seen = (await readSales(tx, [saleId])).get(saleId);
  if (!seen || !isOver(seen, nowMs)) return undefined;
  if (seen.allocated === 0 && seen.waitlisted === 0) return nothingLeft;
  const page = await readPage(tx, saleId, afterId, rowsPerPage());
  const rest = { afterId: page.at(-1)?.reservationId, isLast: page.length < rowsPerPage() };
  const open = page.filter(({ state }) => state === 'allocated' || state === 'waitlisted');
  if (open.length === 0) return { ...nothingChanged, ended: 0, ...rest };
  const sale = (await lockSales(tx, [saleId])).get(saleId);
  const end = sale && endOf(sale, { deadlineMs: null }, nowMs);
  if (!sale || !end) return undefined;
  const ids = open.map((row) => row.reservationId);
  const rows = await lockOpen(tx, ids);
  const ended = await endAndOffer(tx, sale, rows, end.to, end.reason, nowMs);
  if (end.to !== 'cancelled') return { ...ended, ended: rows.length, ...rest };
  const lost = await endBeingPaid(tx, sale, ids, nowMs);
  return {
    stocks: [...ended.stocks, ...lost.stocks],
    reservations: [...ended.reservations, ...lost.reservations],
    events: [...ended.events, ...lost.events],
    ended: rows.length + lost.ended,
    ...rest,
  };
}

/** Ends those of a called-off sale's reservations that purchases are paying for. The sale must be locked. */
async function endBeingPaid(tx: Tx, sale: SaleRow, ids: readonly ReservationId[], nowMs: number): Promise<Step> {
  const rows = (await lockReservations(tx, ids)).filter((row) => row.state === 'allocated' && row.purchaseId !== null);
  if (rows.length === 0) return { ...nothingChanged, ended: 0 };
  await unbindFromPurchases(tx, rows, [...new Set(rows.flatMap((row) => row.purchaseId ?? []))]);
  const free = rows.map((row) => ({ ...row, purchaseId: null }));
  const ended = await endAndOffer(tx, sale, free, 'cancelled', 'sale_cancelled_while_paying', nowMs);
  return { ...ended, ended: rows.length };
}

/** Ends some offers and allocations whose time is over, and offers some of what is available. */
async function endOffers(tx: Tx, saleId: SaleId, nowMs: number): Promise<Step & Expired> {
  const nothing = { ...nothingChanged, ended: 0, isLeft: false };
  const seen = (await readSales(tx, [saleId])).get(saleId);
  if (seen?.status !== 'active' || isOver(seen, nowMs)) return nothing;
  const over = seen.endsWait ? [] : await readEndedOffers(tx, seen, nowMs, rowsPerTransaction);
  if (over.length === 0 && (seen.available === 0 || seen.waitlisted === 0)) return nothing;
  const sale = (await lockSales(tx, [saleId])).get(saleId);
  if (sale?.status !== 'active' || isOver(sale, nowMs)) return nothing;
  const rows = sale.endsWait ? [] : await lockEndedOffers(tx, sale, nowMs, over);
  const done = await endAndOffer(tx, sale, rows, 'expired', 'deadline_passed', nowMs);
  const offers = done.reservations.length - rows.length;
  const isLeft = over.length === rowsPerTransaction || offers === rowsPerTransaction;
  return { ...done, ended: rows.length, isLeft };
}
