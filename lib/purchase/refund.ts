/**
 * Giving a captured purchase back, on an operator's order. The order is committed first, as a row for each refund; the pay
 * worker then asks the provider until it has answered, and only then do the units return to the sale.
 *
 * Invariant I13: done and pending refunds together never exceed what was captured.
 */

import { createHash } from 'node:crypto';
import type { Needs } from '#platform/environment/deps.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { PurchaseId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { sendCommands } from './pay-queue.ts';
import type { PurchaseAccepted, RefundRequest } from './purchase.shapes.ts';
import {
  lockPurchases,
  movePurchases,
  type PurchaseItem,
  type PurchaseMove,
  type PurchaseRow,
  readItems,
} from './purchase.store.ts';
import {
  insertRefunds,
  type RefundedItem,
  type RefundRow,
  type Release,
  readRefunds,
  updateRefunds,
} from './refund.store.ts';
import {
  costOf,
  costsOtherThanOrdered,
  leftToRefund,
  newRefund,
  shareOf,
  unitsPaidBack,
  unitsReturned,
} from './refund-rules.ts';

/** Orders the refund that an operator asks for: all that is left, or the part that the request names. */
export async function refundOnOrder(
  deps: Needs<'db' | 'clock' | 'queue'>,
  purchaseId: PurchaseId,
  idempotencyKey: string,
  request: RefundRequest,
): Promise<PurchaseAccepted | Refusal> {
  const { items, amountMinor, cancel } = request;
  if (!items && !cancel && amountMinor === undefined) return refundPurchase(deps, purchaseId);
  return refundPart(deps, purchaseId, idempotencyKey, request);
}

/**
 * Orders a refund of all that is left of a purchase, with its units. Repeating it answers the same; after the provider has
 * refused a refund, it is the order to try again.
 */
export async function refundPurchase(
  deps: Needs<'db' | 'clock' | 'queue'>,
  purchaseId: PurchaseId,
): Promise<PurchaseAccepted | Refusal> {
  const purchase = await deps.db.transaction(async (tx): Promise<PurchaseRow | Refusal> => {
    const [current] = await lockPurchases(tx, [purchaseId]);
    if (!current) return refuse('not_found', 'There is no such purchase.');
    const refusal = refuseUnlessPaid(current);
    if (refusal) return refusal;
    if (current.state === 'refunded' || current.state === 'refunding') return current;
    const nowMs = deps.clock();
    const refunds = await readRefunds(tx, [purchaseId]);
    const failed = refunds.filter((one) => one.state === 'failed');
    await updateRefunds(
      tx,
      failed.map((one) => ({ ...one, ...{ state: 'pending', failure: null, updatedAtMs: nowMs } })),
    );
    if (failed.length === 0) {
      const reason = 'refund_ordered';
      const amountMinor = leftToRefund(current, refunds);
      await insertRefunds(tx, [newRefund({ purchaseId, refundKey: 'refund', amountMinor, reason }, nowMs)]);
    }
    return orderBack(tx, current, current.reason ?? 'refund_ordered', nowMs);
  });
  return isRefusal(purchase) ? purchase : answer(deps, purchase);
}

/**
 * Orders a partial refund: the price of some units, or an amount; `cancel` names the units that return with it, and may come
 * without any money. One Idempotency-Key orders once. Refuses with `illegal_state` if the purchase was not paid, or if the
 * refund exceeds the money or units that are left after pending refunds, and with `idempotency_key_reused` for another order
 * under the same key.
 */
async function refundPart(
  deps: Needs<'db' | 'clock' | 'queue'>,
  purchaseId: PurchaseId,
  idempotencyKey: string,
  request: RefundRequest,
): Promise<PurchaseAccepted | Refusal> {
  const refundKey = `part-${createHash('sha256').update(idempotencyKey).digest('hex').slice(0, 40)}`;
  const purchase = await deps.db.transaction(async (tx): Promise<PurchaseRow | Refusal> => {
    const [current] = await lockPurchases(tx, [purchaseId]);
    if (!current) return refuse('not_found', 'There is no such purchase.');
    if (!idempotencyKey) return refuse('idempotency_key_missing', 'A refund of a part needs an Idempotency-Key.');
    const refusal = refuseUnlessPaid(current);
    if (refusal) return refusal;
    const nowMs = deps.clock();
    const refunds = await readRefunds(tx, [purchaseId]);
    const lines = await readItems(tx, [purchaseId]);
    const order = judgePart(request, lines);
    if (isRefusal(order)) return order;
    const known = refunds.find((one) => one.refundKey === refundKey);
    if (known) {
      return isSameOrder(known, order)
        ? current
        : refuse('idempotency_key_reused', 'This Idempotency-Key was used for another refund.');
    }
    if (order.forItems && order.amountMinor > 0 && costsOtherThanOrdered(current)) {
      return refuse('illegal_state', 'What was captured is not the price of its units; name an amount.', {
        captured: costOf(current),
      });
    }
    const excess = refusalOfExcess(order, lines, refunds, leftToRefund(current, refunds));
    if (excess) return excess;
    const reason = 'refund_ordered';
    await insertRefunds(tx, [newRefund({ purchaseId, refundKey, reason, ...order }, nowMs)]);
    return current.state === 'refunding' ? current : orderBack(tx, current, reason, nowMs);
  });
  return isRefusal(purchase) ? purchase : answer(deps, purchase);
}

/** A partial refund: money, units, or both. */
interface Part {
  readonly amountMinor: number;
  readonly releases: readonly Release[];
  readonly forItems: readonly RefundedItem[] | null;
}

/** The amount of a partial refund and the units that return with it, or what is wrong with it. Pure. */
function judgePart({ items, amountMinor, cancel = [] }: RefundRequest, lines: readonly PurchaseItem[]): Part | Refusal {
  const byId = (one: { reservationId: ReservationId }, other: { reservationId: ReservationId }) =>
    one.reservationId < other.reservationId ? -1 : 1;
  const forItems = items ? [...items].sort(byId) : null;
  const releases = cancel
    .map((entry): Release => (typeof entry === 'string' ? { reservationId: entry, units: null } : entry))
    .sort(byId);
  const lineOf = (id: ReservationId) => lines.find((line) => line.reservationId === id);
  if (![...releases, ...(forItems ?? [])].every((one) => (one.units ?? 1) <= (lineOf(one.reservationId)?.units ?? 0))) {
    return refuse('invalid_input', 'The purchase does not have these units.');
  }
  const price = (forItems ?? []).reduce(
    (sum, { reservationId, units }) => sum + units * (lineOf(reservationId)?.priceMinor ?? 0),
    0,
  );
  if (forItems && price === 0 && releases.length === 0) return refuse('invalid_input', 'These units cost nothing.');
  return { amountMinor: amountMinor ?? price, releases, forItems };
}

/**
 * Whether a refund is the one that is ordered again under its key. Refunds of older builds have no items and are compared by
 * amount.
 */
function isSameOrder(known: RefundRow, order: Part): boolean {
  const same = (one: unknown, other: unknown) => JSON.stringify(one) === JSON.stringify(other);
  return (
    known.amountMinor === order.amountMinor &&
    same(known.releases, order.releases) &&
    (known.forItems === null || same(known.forItems, order.forItems))
  );
}

/** Why a part exceeds what is left, or undefined if it does not. Pure. */
function refusalOfExcess(
  { amountMinor, forItems, releases }: Part,
  lines: readonly PurchaseItem[],
  refunds: readonly RefundRow[],
  leftMinor: number,
): Refusal | undefined {
  if (amountMinor > leftMinor) {
    return refuse('illegal_state', 'That is more than is left of what was captured.', { leftMinor });
  }
  for (const line of lines) {
    const { reservationId, units: bought } = line;
    const wanted = (of: readonly (RefundedItem | Release)[]) =>
      of.find((one) => one.reservationId === reservationId)?.units ?? 0;
    const unpaid = bought - unitsPaidBack(reservationId, refunds);
    if (wanted(forItems ?? []) > unpaid) {
      const facts = { reservationId, leftUnits: unpaid };
      return refuse('illegal_state', 'The price of so many units is not left; name an amount for more.', facts);
    }
    const unreturned = bought - unitsReturned(line, refunds);
    if (wanted(releases) > unreturned) {
      const facts = { reservationId, leftUnits: unreturned };
      return refuse('illegal_state', 'So many of its units are not left to return.', facts);
    }
  }
  return undefined;
}

/** Why a purchase cannot be refunded, or undefined if it can. */
function refuseUnlessPaid({ state }: PurchaseRow): Refusal | undefined {
  if (['captured', 'refunding', 'refunded', 'refund_failed'].includes(state)) return undefined;
  if (state === 'disputed') return refuse('illegal_state', 'Decide the dispute about this purchase first.', { state });
  return refuse('illegal_state', `Nothing was taken for a purchase that is ${state}.`, { state });
}

/** Moves a purchase whose row is locked to `refunding`; its pending refunds must have been written. */
async function orderBack(tx: Tx, current: PurchaseRow, reason: string, nowMs: number): Promise<PurchaseRow> {
  const { chargeId } = current;
  await movePurchases(tx, [{ from: current, to: 'refunding', chargeId, reason }], nowMs);
  return { ...current, state: 'refunding', reason, version: current.version + 1 };
}

async function answer(deps: Needs<'queue'>, purchase: PurchaseRow): Promise<PurchaseAccepted> {
  if (purchase.state === 'refunding') await sendCommands(deps, [purchase]);
  const { purchaseId, state } = purchase;
  return { purchaseId, state, amount: costOf(purchase), statusUrl: `/purchases/${purchaseId}` };
}

/**
 * Orders the refunds that these purchases are owed for a sale that was called off: each its share of that sale, once, and
 * never more than is left. The sale must be locked. Returns the purchases with a new order.
 */
export async function orderSharesBack(
  tx: Tx,
  saleId: SaleId,
  purchaseIds: readonly PurchaseId[],
  nowMs: number,
): Promise<PurchaseRow[]> {
  if (purchaseIds.length === 0) return [];
  const purchases = await lockPurchases(tx, purchaseIds);
  const items = Map.groupBy(await readItems(tx, purchaseIds), (item) => item.purchaseId);
  const refunds = Map.groupBy(await readRefunds(tx, purchaseIds), (refund) => refund.purchaseId);
  const owed = purchases.flatMap((purchase) => {
    const { purchaseId } = purchase;
    if (refuseUnlessPaid(purchase)) return [];
    const given = refunds.get(purchaseId) ?? [];
    const share = shareOf(purchaseId, saleId, items.get(purchaseId) ?? [], given, nowMs);
    const amountMinor = Math.min(share.amountMinor, leftToRefund(purchase, given));
    // If no money is owed, the units return all the same, unless they have already.
    const isOver = purchase.state === 'refunded' || given.some((one) => one.releases === 'all');
    if ((amountMinor === 0 && isOver) || given.some((one) => one.refundKey === share.refundKey)) return [];
    return [{ purchase, refund: { ...share, amountMinor } }];
  });
  await insertRefunds(
    tx,
    owed.map(({ refund }) => refund),
  );
  const reason = 'sale_cancelled';
  const moving = owed.map(({ purchase }) => purchase).filter((purchase) => purchase.state !== 'refunding');
  const moves = moving.map((from): PurchaseMove => ({ from, to: 'refunding', chargeId: from.chargeId, reason }));
  await movePurchases(tx, moves, nowMs);
  return owed.map(({ purchase }) =>
    purchase.state === 'refunding'
      ? purchase
      : { ...purchase, state: 'refunding', reason, version: purchase.version + 1 },
  );
}
