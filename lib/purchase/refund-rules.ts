/**
 * The rules of refunds: what a purchase is owed for a sale that was called off, how much is left to give back, and where a
 * purchase stands with its refunds. Pure.
 *
 * Invariant I13: done and pending refunds together never exceed what was captured.
 */
import type { ReservationId, SaleId } from '#platform/kernel/ids.ts';
import type { Amount } from '#platform/kernel/money.ts';
import type { PurchaseState, RefundState } from '#state/purchase-state.ts';
import type { PurchaseItem, PurchaseRow } from './purchase.store.ts';
import type { RefundRow, Release } from './refund.store.ts';

type Asked = Pick<RefundRow, 'purchaseId' | 'refundKey' | 'amountMinor' | 'reason'> &
  Partial<Pick<RefundRow, 'saleId' | 'releases' | 'forItems'>>;

/** A refund to be asked for; unless it says otherwise, all units of the purchase return with it. */
export function newRefund(asked: Asked, nowMs: number): RefundRow {
  const pending = { state: 'pending', failure: null, refusals: 0, createdAtMs: nowMs, updatedAtMs: nowMs } as const;
  return { saleId: null, releases: 'all', forItems: null, ...asked, ...pending };
}

type Paid = Pick<PurchaseRow, 'capturedMinor' | 'amountMinor'>;

/**
 * How much of what was captured paid for the items of one sale: their price, or if something else was captured than was
 * ordered, their part of it. The parts of all sales add up to what was captured.
 */
function capturedFor(purchase: Paid, saleId: SaleId, items: readonly PurchaseItem[]): number {
  const saleIds = [...new Set(items.map((item) => item.saleId))].sort();
  const position = saleIds.indexOf(saleId);
  if (position < 0) return 0;
  const priceOf = (ids: readonly SaleId[]) =>
    items.reduce((sum, item) => sum + (ids.includes(item.saleId) ? item.units * item.priceMinor : 0), 0);
  const [captured, ordered] = [capturedOf(purchase), priceOf(saleIds)];
  // Rounding sums instead of parts loses nothing. The product can exceed a safe integer.
  const upTo = (count: number) =>
    ordered === 0
      ? captured * Math.min(count, 1)
      : Number((BigInt(captured) * BigInt(priceOf(saleIds.slice(0, count)))) / BigInt(ordered));
  return upTo(position + 1) - upTo(position);
}

/**
 * What is owed for a sale that was called off: what was captured for its units and not refunded before, possibly nothing, and
 * never more than is left. The units return with the money.
 */
export function shareOf(
  purchase: Paid & Pick<PurchaseRow, 'purchaseId'>,
  saleId: SaleId,
  items: readonly PurchaseItem[],
  refunds: readonly RefundRow[],
  nowMs: number,
): RefundRow {
  const own = items.filter((item) => item.saleId === saleId);
  const unpaid = Math.max(0, capturedFor(purchase, saleId, items) - paidBackFor(own, refunds));
  const amountMinor = Math.min(unpaid, leftToRefund(purchase, refunds));
  const { purchaseId } = purchase;
  const releases = own.map(({ reservationId }): Release => ({ reservationId, units: null }));
  return newRefund(
    { purchaseId, refundKey: `sale:${saleId}`, saleId, amountMinor, reason: 'sale_cancelled', releases },
    nowMs,
  );
}

/**
 * What was, or will be, refunded of what these items cost: the price of their units, and amounts with which units of these
 * items alone return. Any other amount is goodwill, for no sale in particular.
 */
function paidBackFor(items: readonly PurchaseItem[], refunds: readonly RefundRow[]): number {
  const prices = items.map((item) => unitsPaidBack(item.reservationId, refunds) * item.priceMinor);
  const isOfItems = ({ reservationId }: Release) => items.some((item) => item.reservationId === reservationId);
  const amounts = refunds
    .filter(({ forItems, releases }) => {
      return forItems === null && releases !== 'all' && releases.length > 0 && releases.every(isOfItems);
    })
    .map(({ amountMinor }) => amountMinor);
  return [...prices, ...amounts].reduce((sum, one) => sum + one, 0);
}

/** For how many units of a reservation the price was, or will be, refunded. */
export function unitsPaidBack(reservationId: ReservationId, refunds: readonly RefundRow[]): number {
  const items = refunds.flatMap(({ forItems }) => forItems ?? []);
  return items.reduce((sum, item) => sum + (item.reservationId === reservationId ? item.units : 0), 0);
}

/** How many units of an item have returned, or will return. */
export function unitsReturned(
  { reservationId, units: bought }: Pick<PurchaseItem, 'reservationId' | 'units'>,
  refunds: readonly RefundRow[],
): number {
  const returned = refunds.map(({ releases }) => unitsToReturn({ releases }, { reservationId, units: bought }));
  return Math.min(
    bought,
    returned.reduce((sum, units) => sum + units, 0),
  );
}

/** How many of a reservation's units return with a refund. Pure. */
export function unitsToReturn(
  { releases }: Pick<RefundRow, 'releases'>,
  row: { reservationId: ReservationId; units: number },
): number {
  if (releases === 'all') return row.units;
  const own = releases.find((one) => one.reservationId === row.reservationId);
  return own ? Math.min(own.units ?? row.units, row.units) : 0;
}

/** What was captured for a purchase, minor units. */
export function capturedOf({ capturedMinor, amountMinor }: Paid): number {
  return capturedMinor ?? amountMinor;
}

type Cost = Pick<PurchaseRow, 'amountMinor' | 'currency' | 'capturedMinor' | 'capturedCurrency'>;

/** What a purchase costs: what was captured, which an accepted dispute may make differ from the order; until then, the order. */
export function costOf({ amountMinor, currency, capturedMinor, capturedCurrency }: Cost): Amount {
  return { amountMinor: capturedMinor ?? amountMinor, currency: capturedCurrency ?? currency };
}

/** Whether something other than the order was captured, so that its prices say nothing of the money. */
export function costsOtherThanOrdered(purchase: Cost): boolean {
  const cost = costOf(purchase);
  return cost.amountMinor !== purchase.amountMinor || cost.currency !== purchase.currency;
}

/** How much of these refunds has gone back, minor units. */
export function givenBackOf(refunds: readonly RefundRow[]): number {
  return refunds.reduce((sum, one) => sum + (one.state === 'refunded' ? one.amountMinor : 0), 0);
}

/**
 * What may still be refunded: what was captured, less done and pending refunds. A refund that the provider refused counts as
 * pending, since it can be tried again.
 */
export function leftToRefund(purchase: Paid, refunds: readonly RefundRow[]): number {
  const given = refunds.reduce((sum, one) => sum + one.amountMinor, 0);
  return Math.max(0, capturedOf(purchase) - given);
}

/**
 * Why a purchase is in its state. What was taken and is kept has no reason; what goes or went back has that of its latest
 * refund, and a refused refund that of the provider. Pure.
 */
export function reasonOf(
  { state, reason }: Pick<PurchaseRow, 'state' | 'reason'>,
  refunds: readonly RefundRow[],
): string | null {
  const latest = (wanted: RefundState) =>
    refunds
      .filter((one) => one.state === wanted)
      .reduce<RefundRow | undefined>(
        (last, one) => (last && last.updatedAtMs > one.updatedAtMs ? last : one),
        undefined,
      );
  switch (state) {
    case 'captured':
      return null;
    case 'refunding':
      return latest('pending')?.reason ?? reason;
    case 'refunded':
      return latest('refunded')?.reason ?? reason;
    case 'refund_failed':
      return latest('failed')?.failure ?? reason;
    default:
      return reason;
  }
}

/**
 * The refunds that the provider has refused, to be asked for again. What was given back at the provider meanwhile is not
 * given back twice: the amount is at most what is left.
 */
export function triedAgain(purchase: Paid, refunds: readonly RefundRow[], nowMs: number): RefundRow[] {
  let leftMinor = leftToRefund(
    purchase,
    refunds.filter((one) => one.state !== 'failed'),
  );
  return refunds
    .filter((one) => one.state === 'failed')
    .map((one) => {
      const amountMinor = Math.min(one.amountMinor, leftMinor);
      leftMinor -= amountMinor;
      return { ...one, ...({ amountMinor, state: 'pending', failure: null, updatedAtMs: nowMs } as const) };
    });
}

/**
 * The refunds that the provider has refused, to be done without money: it was given back in another way, or is not given back.
 * Only their units return.
 */
export function waived(_: Paid, refunds: readonly RefundRow[], nowMs: number): RefundRow[] {
  return refunds
    .filter((one) => one.state === 'failed')
    .map((one) => {
      const unpaid = { amountMinor: 0, state: 'pending', reason: 'closed_by_operator', failure: null } as const;
      return { ...one, ...unpaid, updatedAtMs: nowMs };
    });
}

/** The state of a captured purchase with these refunds, which are all that it has. */
export function stateAfterRefunds(
  purchase: Pick<PurchaseRow, 'state' | 'capturedMinor' | 'amountMinor'>,
  refunds: readonly RefundRow[],
): PurchaseState {
  if (refunds.some((one) => one.state === 'pending')) return 'refunding';
  const given = givenBackOf(refunds);
  // A free purchase has no money to refund: it is refunded when all of its units have returned.
  const isOver = capturedOf(purchase) > 0 || refunds.some((one) => one.releases === 'all');
  if (given >= capturedOf(purchase) && isOver) return 'refunded';
  // A partial refund from before the capture was known, or decided upon, decides nothing.
  const isBought = ['captured', 'refunding', 'refund_failed'].includes(purchase.state);
  if (purchase.state === 'disputed' || (purchase.capturedMinor === null && !isBought)) return purchase.state;
  return refunds.some((one) => one.state === 'failed') ? 'refund_failed' : 'captured';
}
