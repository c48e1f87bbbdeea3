/**
 * The rules of refunds: what a purchase is owed for a sale that was called off, how much is left to give back, and where a
 * purchase stands with its refunds. Pure.
 *
 * Invariant I13: done and pending refunds together never exceed what was captured. What is owed for a called-off sale depends
 * on its share alone; where some of it is neither ordered, done nor waived, all that was captured goes or went
 * back, or waits for an operator.
 */
import type { ReservationId, SaleId } from '#platform/kernel/ids.ts';
import type { Amount } from '#platform/kernel/money.ts';
import type { PurchaseState, RefundState } from '#state/purchase-state.ts';
import type { PurchaseItem, PurchaseRow } from './purchase.store.ts';
import type { RefundedItem, RefundRow, Release } from './refund.store.ts';

type Asked = Pick<RefundRow, 'purchaseId' | 'refundKey' | 'amountMinor' | 'reason'> &
  Partial<Pick<RefundRow, 'saleId' | 'releases' | 'forItems' | 'account'>>;

/** A refund to be asked for; unless it says otherwise, all units of the purchase return with it. */
export function newRefund(asked: Asked, nowMs: number): RefundRow {
  const pending = {
    state: 'pending',
    failure: null,
    waivedMinor: 0,
    refusals: 0,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
  } as const;
  return { saleId: null, releases: 'all', forItems: null, account: null, ...asked, ...pending };
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

type Shared = Paid & Pick<PurchaseRow, 'purchaseId'>;

/**
 * What is still owed for a sale that was called off, as a refund; undefined if there is nothing to order. The first one brings
 * the units back, if they were bought.
 *
 * It is what was captured for the sale's units and is not ordered, done or waived yet, bounded by what is left beside pending
 * and done refunds. What the provider refused counts as pending until it is waived, since the same money is not asked for under
 * another name; but the refused share of another sale leaves room, and gets what is left if it is asked for again. As long as
 * another refund is not done, there is a refund of nothing at least, by which `missingShares` knows the sale; if it brings no
 * units either, it is done at once.
 */
export function shareOf(
  purchase: Shared,
  saleId: SaleId,
  items: readonly PurchaseItem[],
  refunds: readonly RefundRow[],
  nowMs: number,
  { isBought }: { isBought: boolean },
): RefundRow | undefined {
  const own = items.filter((item) => item.saleId === saleId);
  const captured = capturedFor(purchase, saleId, items);
  const owed = Math.max(0, captured - settledFor(saleId, items, refunds));
  const isOthersFailed = (one: RefundRow) => one.state === 'failed' && one.saleId !== null && one.saleId !== saleId;
  const beside = refunds.filter((one) => !isOthersFailed(one));
  const amountMinor = Math.min(owed, leftToRefund(purchase, beside));
  const isFirst = refunds.every((one) => one.saleId !== saleId);
  const bringsUnits = isBought && own.some((line) => unitsReturned(line, refunds) < line.units);
  const mayBeShort = captured > 0 && refunds.some((one) => one.state !== 'refunded');
  if (amountMinor === 0 && !(isFirst && (bringsUnits || mayBeShort))) return undefined;
  const releases =
    bringsUnits && isFirst ? own.map(({ reservationId }): Release => ({ reservationId, units: null })) : [];
  const refundKey = unusedKey(`sale:${saleId}`, refunds);
  const { purchaseId } = purchase;
  const share = newRefund({ purchaseId, refundKey, saleId, amountMinor, reason: 'sale_cancelled', releases }, nowMs);
  // With neither money nor units there is nothing to wait for.
  return amountMinor === 0 && !bringsUnits ? { ...share, state: 'refunded' } : share;
}

/**
 * What is owed for called-off sales and had found no room beside other refunds, where a refusal or a waiver has left some
 * since. Every change of refunds orders this, too.
 */
export function missingShares(
  purchase: Shared,
  items: readonly PurchaseItem[],
  refunds: readonly RefundRow[],
  nowMs: number,
): RefundRow[] {
  const missing: RefundRow[] = [];
  for (const saleId of new Set(refunds.flatMap((one) => one.saleId ?? []))) {
    const share = shareOf(purchase, saleId, items, [...refunds, ...missing], nowMs, { isBought: false });
    if (share) missing.push(share);
  }
  return missing;
}

/** A key for another refund of the same kind: a purchase that is refunded twice for one reason needs two. */
export function unusedKey(kind: string, refunds: readonly RefundRow[]): string {
  const used = new Set(refunds.map((one) => one.refundKey));
  let key = kind;
  for (let n = 2; used.has(key); n++) key = `${kind}-${n}`;
  return key;
}

/** What was, is or was to be given back of what was captured for a sale: ordered, done or waived. */
function settledFor(saleId: SaleId, items: readonly PurchaseItem[], refunds: readonly RefundRow[]): number {
  const priceOf = (units: readonly RefundedItem[], isCounted: (item: PurchaseItem) => boolean) =>
    units.reduce((sum, one) => {
      const item = items.find(({ reservationId }) => reservationId === one.reservationId);
      return sum + (item && isCounted(item) ? one.units * item.priceMinor : 0);
    }, 0);
  const isOwn = (item: PurchaseItem) => item.saleId === saleId;
  const isOfOwn = ({ reservationId }: Release) =>
    items.some((item) => isOwn(item) && item.reservationId === reservationId);
  const partOf = (refund: RefundRow): number => {
    const { releases, forItems } = refund;
    const whole = refund.amountMinor + waivedOf(refund);
    if (refund.saleId !== null) return refund.saleId === saleId ? whole : 0;
    if (forItems) {
      const [own, all] = [priceOf(forItems, isOwn), priceOf(forItems, () => true)];
      // One that was tried again may be less than the price. The product can exceed a safe integer.
      return whole >= all ? own : Number((BigInt(whole) * BigInt(own)) / BigInt(all));
    }
    // All that was left: as long as it goes or went back, nothing is left for shares.
    if (releases === 'all') return waivedOf(refund) > 0 ? Number.POSITIVE_INFINITY : 0;
    // Any other amount is goodwill, for no sale in particular.
    return releases.length > 0 && releases.every(isOfOwn) ? whole : 0;
  };
  return refunds.reduce((sum, refund) => sum + partOf(refund), 0);
}

/** How much of a refund was waived. An older build did not say how much, and waived all of it. */
function waivedOf({ reason, waivedMinor }: RefundRow): number {
  return reason === waivedReason && waivedMinor === 0 ? Number.POSITIVE_INFINITY : waivedMinor;
}

const waivedReason = 'closed_by_operator';

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
      const unpaid = { amountMinor: 0, state: 'pending', reason: waivedReason, failure: null } as const;
      return { ...one, ...unpaid, waivedMinor: one.amountMinor, updatedAtMs: nowMs };
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
