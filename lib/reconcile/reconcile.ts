/**
 * Reconcile: holds MySQL, ledger, mirror and gate against each other, says what differs and why it probably does, and
 * repairs the mirror. MySQL is never changed here: if its own books do not add up, people must look.
 *
 * It is aware of what is in flight. A commit reaches the mirror a moment later, so a difference counts only if it is still
 * the same at a second look; requests that are queued are claims that MySQL does not know yet; and the gate's counters are
 * recounted only while a sale is quiet. Every repair is a compare-and-set against what was seen (invariant I6). A claim
 * that nobody is going to decide is taken back, so that it does not keep others out for ever.
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
import { Drift } from './drift.ts';

export const ReconcileReport = z.object({
  sales: z.number().int(),
  reservations: z.number().int(),
  drifts: z.array(Drift),
  /** False if time ran out before every sale was looked at. */
  complete: z.boolean(),
});
export type ReconcileReport = z.infer<typeof ReconcileReport>;

/** What an operator may ask: one sale or all, and whether MySQL was just restored from a backup. */
export const ReconcileRequest = z.strictObject({
  saleId: idOf<SaleId>().optional(),
  restored: z.boolean().default(false),
});
export type ReconcileRequest = z.output<typeof ReconcileRequest>;

/** What may fire: the rule, or the news that Redis does not know a sale any more. */
export const ReconcileTrigger = z.union([
  z.object({ saleId: idOf<SaleId>() }),
  z.object({ 'detail-type': z.literal('Scheduled Event') }),
]);
export type ReconcileTrigger = z.infer<typeof ReconcileTrigger>;

/** Reconciles what a batch of triggers speaks of, each sale once. */
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

/** How long an operator's call may take; what is left then is said in the report. */
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
 * After MySQL was restored from a backup: raises every epoch, so that nothing written before the restore can win, and
 * forgets the claims of the time that was lost. Reconcile afterwards fills the mirror again.
 */
export async function forgetLostTime(deps: ReconcileNeeds): Promise<void> {
  await raiseEpochs(deps.db);
  for (const saleId of await listSaleIds(deps.db)) {
    const tag = saleTag(saleId);
    await deps.redis.unlink(keys.sale(tag), ...bucketsOf(tag).map((bucket) => keys.claims(tag, bucket)));
  }
}
