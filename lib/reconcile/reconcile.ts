/**
 * Reconcile: compares MySQL, ledger, mirror and gate, reports each difference with its likely cause, and repairs the
 * mirror. MySQL's stock is never changed here: if its own books do not add up, an operator must investigate.
 *
 * It allows for what is in flight. A commit reaches the mirror slightly later, so a difference counts only if a second read
 * finds the same; queued requests are claims that MySQL does not have yet; and the gate's counters are recounted only while
 * a sale is quiet. Every repair is a conditional write against the value that was read (invariant I6). A claim that no
 * message is going to decide is taken back, so that it does not block others for ever.
 */
import * as z from 'zod';
import type { Delivered, MustRepeat } from '#platform/handlers/queue.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import { measure } from '#platform/kernel/metrics.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import { keys } from '#platform/redis/keys.ts';
import { listSaleIds, raiseEpochs } from '#sale/sale.store.ts';
import { bucketsOf, saleTag } from '#sale/sale-id.ts';
import { checkBooks } from './check-books.ts';
import { checkClaims, type ReconcileNeeds } from './check-claims.ts';
import { checkStock } from './check-stock.ts';
import { checkTerms } from './check-terms.ts';
import { Drift } from './drift.ts';

export const ReconcileReport = z.object({
  sales: z.number().int(),
  reservations: z.number().int(),
  drifts: z.array(Drift),
  /** False if time ran out before every sale was checked. */
  complete: z.boolean(),
});
export type ReconcileReport = z.infer<typeof ReconcileReport>;

/** What an operator may ask: one sale or all, and whether MySQL was just restored from a backup. */
export const ReconcileRequest = z.strictObject({
  saleId: idOf<SaleId>().optional(),
  restored: z.boolean().default(false),
});
export type ReconcileRequest = z.output<typeof ReconcileRequest>;

/** The triggers: the schedule, or a message that Redis has lost a sale. */
export const ReconcileTrigger = z.union([
  z.object({ saleId: idOf<SaleId>() }),
  z.object({ 'detail-type': z.literal('Scheduled Event') }),
]);
export type ReconcileTrigger = z.infer<typeof ReconcileTrigger>;

/** Reconciles the sales of a batch of triggers, each once. */
export async function reconcileOnTrigger(
  deps: ReconcileNeeds,
  batch: readonly Delivered<ReconcileTrigger>[],
  deadlineMs: number,
): Promise<MustRepeat> {
  const named = new Set(batch.map(({ message }) => ('saleId' in message ? message.saleId : undefined)));
  const saleIds = named.has(undefined) ? [undefined] : [...named];
  for (const saleId of saleIds) await reconcile(deps, { saleId, deadlineMs });
  return [];
}

/** How long an operator's call may take; the report says if it is incomplete. */
const callLifeMs = 10_000;

/** Reconciles for an operator; after a restore it raises every epoch first. */
export async function reconcileNow(deps: ReconcileNeeds, request: ReconcileRequest): Promise<ReconcileReport> {
  const deadlineMs = deps.clock() + callLifeMs;
  if (request.restored) await forgetLostTime(deps);
  return reconcile(deps, { saleId: request.saleId, deadlineMs });
}

/** Reconciles one sale, or all of them. Throws if MySQL or Redis cannot be reached. */
export async function reconcile(
  deps: ReconcileNeeds,
  options: { saleId?: SaleId | undefined; deadlineMs: number },
): Promise<ReconcileReport> {
  const saleIds = options.saleId ? [options.saleId] : await listSaleIds(deps.db);
  const drifts: Drift[] = [];
  let sales = 0;
  let reservations = 0;
  for (const saleId of saleIds) {
    if (deps.clock() >= options.deadlineMs) break;
    drifts.push(...(await checkBooks(deps, saleId)), ...(await checkStock(deps, saleId)));
    drifts.push(...(await checkTerms(deps, saleId)));
    const claims = await checkClaims(deps, saleId);
    drifts.push(...claims.drifts);
    reservations += claims.reservations;
    sales++;
  }
  for (const drift of drifts) log.warn('drift', { ...drift });
  measure({ Reconciliations: 1, Drifts: drifts.length }, { facts: { sales, reservations } });
  return { sales, reservations, drifts, complete: sales === saleIds.length };
}

/**
 * After MySQL was restored from a backup: raises every epoch, so that everything written before the restore is older, and
 * deletes the claims of the lost period. Reconcile afterwards fills the mirror again.
 */
export async function forgetLostTime(deps: ReconcileNeeds): Promise<void> {
  await raiseEpochs(deps.db);
  for (const saleId of await listSaleIds(deps.db)) {
    const tag = saleTag(saleId);
    await deps.redis.unlink(keys.sale(tag), ...bucketsOf(tag).map((bucket) => keys.claims(tag, bucket)));
  }
}
