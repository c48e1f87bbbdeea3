/**
 * Giving a captured purchase back, on an operator's order. The order is committed first, as a row for each refund; the pay
 * worker then asks the provider until it has answered, and only then do the units return to the sale.
 *
 * Invariant I13: done and pending refunds together never exceed what was captured.
 */

import { createHash } from 'node:crypto';
import { changeOf, type Keep, keepNothing } from '#idempotency/kept-answer.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { PurchaseId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { readReservations } from '#reservation/reservation.store.ts';
import { readForAudit } from './for-audit.ts';
import { sendCommands } from './pay-queue.ts';
import type { BankAccount, PurchaseAccepted, RefundRequest } from './purchase.shapes.ts';
import {
  lockPurchases,
  movePurchases,
  type PurchaseItem,
  type PurchaseMove,
  type PurchaseRow,
  readItems,
} from './purchase.store.ts';
import { toAccepted } from './read.ts';
import {
  insertRefunds,
  type RefundedItem,
  type RefundRow,
  type Release,
  readRefunds,
  updateRefunds,
} from './refund.store.ts';
import { findRefundDispute } from './refund-dispute.store.ts';
import {
  costOf,
  costsOtherThanOrdered,
  leftToRefund,
  missingShares,
  newRefund,
  shareOf,
  triedAgain,
  unitsPaidBack,
  unitsReturned,
  unusedKey,
  waived,
} from './refund-rules.ts';

/**
 * Orders the refund that an operator asks for: everything, the part that the request names, or what the provider has refused,
 * again or waived. The answer is given to `keep` in the same transaction.
 */
export async function refundOnOrder(
  deps: Needs<'db' | 'clock' | 'queue'>,
  purchaseId: PurchaseId,
  idempotencyKey: string,
  request: RefundRequest,
  keep: Keep = keepNothing,
): Promise<PurchaseAccepted | Refusal> {
  const ordered = await deps.db.transaction(async (tx): Promise<Ordered | Refusal> => {
    // Locked already, so that what is recorded as before is what the order finds.
    await lockPurchases(tx, [purchaseId]);
    const before = await readForAudit(tx, purchaseId);
    const purchase = await order(tx, purchaseId, idempotencyKey, request, deps.clock());
    if (isRefusal(purchase)) return purchase;
    const change = changeOf(purchaseId, before, await readForAudit(tx, purchaseId));
    return { purchase, answer: await keep(tx, toAccepted(purchase), change) };
  });
  if (isRefusal(ordered)) return ordered;
  if (ordered.purchase.state === 'refunding') await sendCommands(deps, [ordered.purchase]);
  return ordered.answer;
}

function order(
  tx: Tx,
  purchaseId: PurchaseId,
  idempotencyKey: string,
  request: RefundRequest,
  nowMs: number,
): Promise<PurchaseRow | Refusal> {
  const { account = null } = request;
  if (request.retryFailed) return orderFailed(tx, purchaseId, idempotencyKey, triedAgain, account, nowMs);
  if (request.waiveFailed) return orderFailed(tx, purchaseId, idempotencyKey, waived, null, nowMs);
  const isWhole = !request.items && !request.cancel && request.amountMinor === undefined;
  return isWhole
    ? orderRest(tx, purchaseId, idempotencyKey, account, nowMs)
    : orderPart(tx, purchaseId, idempotencyKey, request, nowMs);
}

/** A purchase of which something is given back, and what the operator is told. */
interface Ordered {
  readonly purchase: PurchaseRow;
  readonly answer: PurchaseAccepted;
}

/** The key of an operator's refund under this Idempotency-Key. */
function keyOfPart(idempotencyKey: string): string {
  return `part-${createHash('sha256').update(idempotencyKey).digest('hex').slice(0, 40)}`;
}

/**
 * Orders that everything is given back: what the provider has refused is asked for again, and all that is not ordered yet
 * is ordered, money and units. What is pending goes on. Repeating it changes nothing once everything is ordered.
 */
async function orderRest(
  tx: Tx,
  purchaseId: PurchaseId,
  idempotencyKey: string,
  account: BankAccount | null,
  nowMs: number,
): Promise<PurchaseRow | Refusal> {
  const paid = await lockPaid(tx, purchaseId, idempotencyKey);
  if (isRefusal(paid)) return paid;
  const { current, refunds } = paid;
  // An older build kept no rows of what it gave back, and gave back the whole.
  if (current.state === 'refunded' && refunds.length === 0) return current;
  const again = to(account, triedAgain(current, refunds, nowMs));
  const disputed = await refuseIfDisputed(tx, again);
  if (disputed) return disputed;
  const ordered = [...refunds.filter((one) => one.state !== 'failed'), ...again];
  const amountMinor = current.state === 'refunded' ? 0 : leftToRefund(current, ordered);
  const isLeft = amountMinor > 0 || (await hasUnitsLeft(tx, purchaseId, ordered));
  if (again.length === 0 && !isLeft) return current;
  await updateRefunds(tx, again);
  if (isLeft) {
    const refundKey = unusedKey('refund', refunds);
    const reason = 'refund_ordered';
    await insertRefunds(tx, [newRefund({ purchaseId, refundKey, amountMinor, reason, account }, nowMs)]);
  }
  return orderBack(tx, current, current.reason ?? 'refund_ordered', nowMs);
}

/**
 * Whether a refund that would be tried again is disputed, as the provider says now that it went back: trying again could pay
 * twice (invariant I13), so an operator decides about that first.
 */
async function refuseIfDisputed(tx: Tx, again: readonly RefundRow[]): Promise<Refusal | undefined> {
  for (const { purchaseId, refundKey } of again) {
    const dispute = await findRefundDispute(tx, purchaseId, refundKey);
    if (dispute?.state !== 'open') continue;
    return refuse('illegal_state', 'The provider tells that a refused refund went back; decide the dispute first.', {
      refund: refundKey,
      reason: dispute.reason,
    });
  }
  return undefined;
}

/**
 * Orders what becomes of the refunds that the provider has refused, and besides only what is missing of called-off sales'
 * shares. Refuses with `illegal_state` if it has refused none, or if one to be tried again is disputed.
 */
async function orderFailed(
  tx: Tx,
  purchaseId: PurchaseId,
  idempotencyKey: string,
  changed: typeof triedAgain | typeof waived,
  account: BankAccount | null,
  nowMs: number,
): Promise<PurchaseRow | Refusal> {
  const paid = await lockPaid(tx, purchaseId, idempotencyKey);
  if (isRefusal(paid)) return paid;
  const { current, refunds } = paid;
  const ordered = to(account, changed(current, refunds, nowMs));
  if (ordered.length === 0) return refuse('illegal_state', 'The provider has refused no refund of this purchase.');
  const disputed = changed === triedAgain ? await refuseIfDisputed(tx, ordered) : undefined;
  if (disputed) return disputed;
  await updateRefunds(tx, ordered);
  const after = [...refunds.filter((one) => one.state !== 'failed'), ...ordered];
  await insertRefunds(tx, missingShares(current, await readItems(tx, [purchaseId]), after, nowMs));
  // The rows keep the new amounts alone.
  const briefly = ({ refundKey, amountMinor, reason }: RefundRow) => ({ refundKey, amountMinor, reason });
  const refused = refunds.filter((one) => one.state === 'failed').map(briefly);
  log.warn('an operator decided about refused refunds', { purchaseId, refused, ordered: ordered.map(briefly) });
  return orderBack(tx, current, current.reason ?? 'refund_ordered', nowMs);
}

/** Refunds whose money goes to this account. */
function to(account: BankAccount | null, refunds: readonly RefundRow[]): RefundRow[] {
  return refunds.map((refund) => ({ ...refund, account }));
}

/** A purchase that was paid, with its row locked, and its refunds; or why it cannot be refunded under this key. */
async function lockPaid(
  tx: Tx,
  purchaseId: PurchaseId,
  idempotencyKey: string,
): Promise<{ current: PurchaseRow; refunds: RefundRow[] } | Refusal> {
  const [current] = await lockPurchases(tx, [purchaseId]);
  if (!current) return refuse('not_found', 'There is no such purchase.');
  const refusal = refuseUnlessPaid(current);
  if (refusal) return refusal;
  const refunds = await readRefunds(tx, [purchaseId]);
  if (idempotencyKey && refunds.some((one) => one.refundKey === keyOfPart(idempotencyKey))) return keyReused();
  return { current, refunds };
}

/** Whether some of the units that a purchase has bought are not ordered back with these refunds. */
async function hasUnitsLeft(tx: Tx, purchaseId: PurchaseId, refunds: readonly RefundRow[]): Promise<boolean> {
  const lines = await readItems(tx, [purchaseId]);
  const kept = lines.filter((line) => unitsReturned(line, refunds) < line.units);
  const rows = await readReservations(
    tx,
    kept.map((line) => line.reservationId),
  );
  return [...rows.values()].some((row) => row.state === 'purchased' && row.purchaseId === purchaseId);
}

/**
 * Orders a partial refund: the price of some units, or an amount; `cancel` names the units that return with it, and may come
 * without any money. One Idempotency-Key orders once. Refuses with `illegal_state` if the purchase was not paid, or if the
 * refund exceeds the money or units that are left after pending refunds, with `idempotency_key_reused` for another order under
 * the same key, and with `unprocessable` without a key: the document cannot say that only some refunds need one.
 */
async function orderPart(
  tx: Tx,
  purchaseId: PurchaseId,
  idempotencyKey: string,
  request: RefundRequest,
  nowMs: number,
): Promise<PurchaseRow | Refusal> {
  const [current] = await lockPurchases(tx, [purchaseId]);
  if (!current) return refuse('not_found', 'There is no such purchase.');
  if (!idempotencyKey) return refuse('unprocessable', 'A refund of a part needs an Idempotency-Key.');
  const refusal = refuseUnlessPaid(current);
  if (refusal) return refusal;
  const refundKey = keyOfPart(idempotencyKey);
  const refunds = await readRefunds(tx, [purchaseId]);
  const lines = await readItems(tx, [purchaseId]);
  const order = judgePart(request, lines);
  if (isRefusal(order)) return order;
  const known = refunds.find((one) => one.refundKey === refundKey);
  if (known) return isSameOrder(known, order) ? current : keyReused();
  if (order.forItems && order.amountMinor > 0 && costsOtherThanOrdered(current)) {
    return refuse('illegal_state', 'What was captured differs from the price of its units; name an amount.', {
      captured: costOf(current),
    });
  }
  const excess = refusalOfExcess(order, lines, refunds, leftToRefund(current, refunds));
  if (excess) return excess;
  const reason = 'refund_ordered';
  const { account = null } = request;
  await insertRefunds(tx, [newRefund({ purchaseId, refundKey, reason, account, ...order }, nowMs)]);
  return orderBack(tx, current, reason, nowMs);
}

function keyReused(): Refusal {
  return refuse('idempotency_key_reused', 'This Idempotency-Key was used for another refund.');
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
    return refuse('unprocessable', 'The purchase does not have these units.');
  }
  const price = (forItems ?? []).reduce(
    (sum, { reservationId, units }) => sum + units * (lineOf(reservationId)?.priceMinor ?? 0),
    0,
  );
  if (forItems && price === 0 && releases.length === 0) return refuse('unprocessable', 'These units cost nothing.');
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
    const own = <One extends RefundedItem | Release>(of: readonly One[]) =>
      of.find((one) => one.reservationId === reservationId);
    const unpaid = bought - unitsPaidBack(reservationId, refunds);
    if ((own(forItems ?? [])?.units ?? 0) > unpaid) {
      const facts = { reservationId, leftUnits: unpaid };
      return refuse(
        'illegal_state',
        'Not enough of what was captured is left for the price of these units; name an amount.',
        facts,
      );
    }
    const unreturned = bought - unitsReturned(line, refunds);
    const returning = own(releases);
    // Without a number all that is left returns, and something must be left.
    if (returning && (returning.units ?? Math.max(1, unreturned)) > unreturned) {
      const facts = { reservationId, leftUnits: unreturned };
      return refuse('illegal_state', 'It does not have that many units left to return.', facts);
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
  if (current.state === 'refunding') return current;
  const { chargeId } = current;
  await movePurchases(tx, [{ from: current, to: 'refunding', chargeId, reason }], nowMs);
  return { ...current, state: 'refunding', reason, version: current.version + 1 };
}

/**
 * Orders the refunds that these purchases are owed for a sale that was called off: each its share of that sale, once, and
 * never more than is left; what finds no room is ordered when there is some. The sale must be locked. Returns the purchases
 * with a new order.
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
    const lines = items.get(purchaseId) ?? [];
    // An older build kept no rows of what it gave back, and gave back the whole.
    if (purchase.state === 'refunded' && given.length === 0) return [];
    const refund = shareOf(purchase, saleId, lines, given, nowMs, { isBought: true });
    return refund ? [{ purchase, refund }] : [];
  });
  await insertRefunds(
    tx,
    owed.map(({ refund }) => refund),
  );
  const reason = 'sale_cancelled';
  // What only says which sale was called off leaves its purchase as it is.
  const ordered = owed.filter(({ refund }) => refund.state === 'pending').map(({ purchase }) => purchase);
  const moving = ordered.filter((purchase) => purchase.state !== 'refunding');
  const moves = moving.map((from): PurchaseMove => ({ from, to: 'refunding', chargeId: from.chargeId, reason }));
  await movePurchases(tx, moves, nowMs);
  return ordered.map((purchase) =>
    purchase.state === 'refunding'
      ? purchase
      : { ...purchase, state: 'refunding', reason, version: purchase.version + 1 },
  );
}
