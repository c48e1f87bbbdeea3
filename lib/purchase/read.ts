/**
 * Reading purchases and their refunds: the owner is in every WHERE (invariant I10). Only an operator reads without one.
 */

import * as z from 'zod';
import type { Needs } from '#platform/environment/deps.ts';
import { type Page, type PageQuery, readCursor, toPage } from '#platform/handlers/pagination.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { CustomerId, PurchaseId } from '#platform/kernel/ids.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import { missesOf } from '#platform/resilience/unknown-ids.ts';
import type { Caller } from '#platform/security/access-token.ts';
import { isAtLeast } from '#platform/security/roles.ts';
import { openAction } from './action.ts';
import type {
  DisputeView,
  FailedRefund,
  FailedRefundQuery,
  PurchaseAccepted,
  PurchaseView,
  RefundView,
} from './purchase.shapes.ts';
import { findPurchase, listOwnPurchases, type PurchaseItem, type PurchaseRow, readItems } from './purchase.store.ts';
import { listFailedRefunds, type RefundRow, readRefunds } from './refund.store.ts';
import { listOpenDisputes } from './refund-dispute.store.ts';
import { costOf, reasonOf } from './refund-rules.ts';

const listName = 'purchases';
/** The creation time in milliseconds and the id of the last purchase on a page. */
const Position = z.tuple([z.int(), idOf<PurchaseId>()]);

const failedListName = 'failed-refunds';
const disputeListName = 'disputes';
/** The purchase and the key of the last refund on a page. */
const RefundPosition = z.tuple([idOf<PurchaseId>(), z.string().max(64)]);

/**
 * One of the caller's purchases; any purchase for a caller with the role `viewer` or a higher one. `too_many_requests` for a
 * caller who has asked for many that do not exist.
 */
export async function getPurchase(
  deps: Needs<'db' | 'clock' | 'once'>,
  caller: Caller,
  purchaseId: PurchaseId,
): Promise<PurchaseView | Refusal> {
  const misses = deps.once(missesOf);
  const mustWait = misses.refusal(caller.customerId);
  if (mustWait) return mustWait;
  const owner = isAtLeast(caller.role, 'viewer') ? undefined : caller.customerId;
  const purchase = await findPurchase(deps.db, purchaseId, owner);
  if (!purchase) {
    misses.note(caller.customerId);
    return refuse('not_found', 'There is no such purchase of yours.');
  }
  const [items, refunds] = await Promise.all([readItems(deps.db, [purchaseId]), readRefunds(deps.db, [purchaseId])]);
  return toView(purchase, items, refunds, deps.clock());
}

/** A page of the caller's own purchases, newest first. Refuses a cursor that is not its own. */
export async function listPurchases(
  { db, clock }: Needs<'db' | 'clock'>,
  customerId: CustomerId,
  query: PageQuery,
): Promise<Page<PurchaseView> | Refusal> {
  const after = readCursor(listName, query.cursor, Position);
  if (isRefusal(after)) return after;
  const rows = await listOwnPurchases(db, customerId, after, query.limit + 1);
  const ids = rows.map((row) => row.purchaseId);
  const nowMs = clock();
  const items = Map.groupBy(await readItems(db, ids), (item) => item.purchaseId);
  const refunds = Map.groupBy(await readRefunds(db, ids), (refund) => refund.purchaseId);
  return toPage(
    listName,
    rows,
    query.limit,
    (row) => [row.createdAtMs, row.purchaseId],
    (row) => toView(row, items.get(row.purchaseId) ?? [], refunds.get(row.purchaseId) ?? [], nowMs),
  );
}

/**
 * A page of the refunds that the provider refused and that wait for an operator, of all sales or of one. Refuses a cursor that
 * is not its own.
 */
export async function readFailedRefunds(
  { db }: Needs<'db'>,
  { saleId, cursor, limit }: FailedRefundQuery,
): Promise<Page<FailedRefund> | Refusal> {
  const after = readCursor(failedListName, cursor, RefundPosition);
  if (isRefusal(after)) return after;
  const rows = await listFailedRefunds(db, { saleId, after, limit: limit + 1 });
  const items = Map.groupBy(
    await readItems(db, [...new Set(rows.map((row) => row.purchaseId))]),
    (one) => one.purchaseId,
  );
  return toPage(
    failedListName,
    rows,
    limit,
    (row) => [row.purchaseId, row.refundKey],
    (row) => ({
      purchaseId: row.purchaseId,
      ...toRefundView(row, items.get(row.purchaseId) ?? [], row.currency),
    }),
  );
}

/**
 * A page of what the provider said and an operator must decide: captures that are not what was ordered, and refunds that
 * contradict their purchase. Refuses a cursor that is not its own.
 */
export async function readDisputes(
  { db }: Needs<'db'>,
  { cursor, limit }: PageQuery,
): Promise<Page<DisputeView> | Refusal> {
  const after = readCursor(disputeListName, cursor, RefundPosition);
  if (isRefusal(after)) return after;
  const rows = await listOpenDisputes(db, after, limit + 1);
  return toPage(
    disputeListName,
    rows,
    limit,
    (row) => [row.purchaseId, row.refundKey],
    ({ purchaseId, refundKey, reason, chargeId, amountMinor, currency, reference, ...row }) => ({
      purchaseId,
      refund: refundKey === '' ? null : refundKey,
      reason,
      told: { chargeId, amountMinor, currency, reference },
      ordered: { amountMinor: row.orderedMinor, currency: row.orderedCurrency },
      toldAt: toIso(row.toldAtMs),
    }),
  );
}

/** What a caller who has changed a purchase is answered: where it stands, what it costs, and where to look again. */
export function toAccepted(purchase: PurchaseRow): PurchaseAccepted {
  const { purchaseId, state } = purchase;
  return { purchaseId, state, amount: costOf(purchase), statusUrl: `/purchases/${purchaseId}` };
}

function toRefundView(refund: RefundRow, items: readonly PurchaseItem[], currency: string): RefundView {
  const { amountMinor, state, reason, failure, releases, createdAtMs, updatedAtMs } = refund;
  return {
    amount: { amountMinor, currency },
    state,
    reason,
    failure,
    units: (releases === 'all' ? items : releases).map(({ reservationId, units }) => ({
      reservationId,
      units: releases === 'all' ? null : units,
    })),
    createdAt: toIso(createdAtMs),
    updatedAt: toIso(updatedAtMs),
  };
}

function toView(purchase: PurchaseRow, items: PurchaseItem[], refunds: RefundRow[], nowMs: number): PurchaseView {
  const action = openAction(purchase, nowMs);
  const amount = costOf(purchase);
  const { purchaseId, state, currency, createdAtMs, updatedAtMs } = purchase;
  return {
    purchaseId,
    state,
    amount,
    items: items.map(({ reservationId, saleId, units, priceMinor }) => ({
      reservationId,
      saleId,
      units,
      price: { amountMinor: priceMinor, currency },
    })),
    reason: reasonOf(purchase, refunds),
    refunds: refunds.map((refund) => toRefundView(refund, items, amount.currency)),
    action: action ? { url: action.url, deadline: toIso(action.deadlineMs), transferTo: action.transferTo } : null,
    createdAt: toIso(createdAtMs),
    updatedAt: toIso(updatedAtMs),
  };
}
