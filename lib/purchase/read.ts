/**
 * Reading purchases: the owner is in every WHERE (invariant I10). Only an operator reads without one.
 */

import * as z from 'zod';
import type { Needs } from '#platform/environment/deps.ts';
import { type Page, type PageQuery, readCursor, toPage } from '#platform/handlers/pagination.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { CustomerId, PurchaseId } from '#platform/kernel/ids.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import { missesOf } from '#platform/resilience/misses.ts';
import type { Caller } from '#platform/security/access-token.ts';
import { openAction } from './action.ts';
import type { PurchaseView } from './purchase.shapes.ts';
import { findPurchase, listOwnPurchases, type PurchaseItem, type PurchaseRow, readItems } from './purchase.store.ts';
import { costOf } from './refund-rules.ts';

const listName = 'purchases';
/** The creation time in milliseconds and the id of the last purchase on a page. */
const Position = z.tuple([z.int(), idOf<PurchaseId>()]);

/**
 * One of the caller's purchases; for an operator, any purchase. `too_many_requests` for a caller who has asked for many that
 * do not exist.
 */
export async function getPurchase(
  deps: Needs<'db' | 'clock' | 'once'>,
  caller: Caller,
  purchaseId: PurchaseId,
): Promise<PurchaseView | Refusal> {
  const misses = deps.once(missesOf);
  const mustWait = misses.refusal(caller.customerId);
  if (mustWait) return mustWait;
  const owner = caller.role === 'operator' ? undefined : caller.customerId;
  const purchase = await findPurchase(deps.db, purchaseId, owner);
  if (!purchase) {
    misses.note(caller.customerId);
    return refuse('not_found', 'There is no such purchase of yours.');
  }
  return toView(purchase, await readItems(deps.db, [purchaseId]), deps.clock());
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
  return toPage(
    listName,
    rows,
    query.limit,
    (row) => [row.createdAtMs, row.purchaseId],
    (row) => toView(row, items.get(row.purchaseId) ?? [], nowMs),
  );
}

function toView(purchase: PurchaseRow, items: PurchaseItem[], nowMs: number): PurchaseView {
  const action = openAction(purchase, nowMs);
  const { purchaseId, state, currency, reason, createdAtMs, updatedAtMs } = purchase;
  return {
    purchaseId,
    state,
    amount: costOf(purchase),
    items: items.map(({ reservationId, saleId, units, priceMinor }) => ({
      reservationId,
      saleId,
      units,
      price: { amountMinor: priceMinor, currency },
    })),
    reason,
    action: action ? { url: action.url, deadline: toIso(action.deadlineMs) } : null,
    createdAt: toIso(createdAtMs),
    updatedAt: toIso(updatedAtMs),
  };
}
