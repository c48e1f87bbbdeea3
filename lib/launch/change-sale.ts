/**
 * Changing a sale: new terms, pausing, resuming and cancelling. The row is locked while the change is decided.
 */

import { type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { offerAndMove } from '#reservation/release.ts';
import type { SaleView, UpdateSale } from '#sale/sale.shapes.ts';
import { changeTerms, lockSales, type SaleRow, type SaleTerms } from '#sale/sale.store.ts';
import { viewOfRow } from '#sale/terms.ts';
import { scheduleBoundaries, scheduleOfferEnds } from './boundaries.ts';
import { type CancelSale, callOff, sendSweep } from './cancellation.ts';
import { recordSale, type SaleCommitted } from './sale-changed.ts';
import { readTimes, refuseDisorder } from './sale-times.ts';

/** Changes a sale's terms. Refused for a sale that has closed or was cancelled. */
export async function updateSale(deps: WriteNeeds, saleId: SaleId, change: UpdateSale): Promise<SaleView | Refusal> {
  return changeSale(deps, saleId, (sale, nowMs) => {
    if (sale.status === 'cancelled') return refuse('sale_cancelled', 'A cancelled sale cannot be changed.');
    if (nowMs >= sale.purchaseClosesAtMs) return refuse('illegal_state', 'A closed sale cannot be changed.');
    const times = { ...sale, ...readTimes(change) };
    const disorder = refuseDisorder(times);
    if (disorder) return disorder;
    const waitlistSize = change.waitlistSize ?? sale.waitlistSize;
    if (waitlistSize < sale.waitlisted) {
      return refuse('illegal_state', `${sale.waitlisted} reservations are waiting; the waitlist cannot be smaller.`);
    }
    return {
      ...times,
      name: change.name ?? sale.name,
      capPerCustomer: change.capPerCustomer ?? sale.capPerCustomer,
      waitlistSize,
      offerLifeMs: change.offerLifeSeconds === undefined ? sale.offerLifeMs : change.offerLifeSeconds * 1000,
    };
  });
}

/** Pauses a sale: nothing can be reserved or bought and nothing expires until it is resumed. Idempotent. */
export async function pauseSale(deps: WriteNeeds, saleId: SaleId): Promise<SaleView | Refusal> {
  return changeSale(deps, saleId, (sale) =>
    sale.status === 'cancelled' ? refuse('sale_cancelled', 'A cancelled sale cannot be paused.') : { status: 'paused' },
  );
}

/** Resumes a paused sale. What became free in the pause goes to those who wait before anybody else can have it. */
export async function resumeSale(deps: WriteNeeds, saleId: SaleId): Promise<SaleView | Refusal> {
  return changeSale(deps, saleId, (sale) =>
    sale.status === 'cancelled'
      ? refuse('sale_cancelled', 'A cancelled sale cannot be resumed.')
      : { status: 'active' },
  );
}

/**
 * Calls a sale off for good; its open reservations are cancelled right afterwards, and what was paid in it is refunded
 * unless it is to be kept. Idempotent; refuses with `illegal_state` to keep what is being refunded already.
 */
export async function cancelSale(
  deps: WriteNeeds & Needs<'queue'>,
  saleId: SaleId,
  { refunds }: CancelSale,
): Promise<SaleView | Refusal> {
  const decide = () => ({ status: 'cancelled' as const });
  const cancelled = await changeSale(deps, saleId, decide, (tx, nowMs) => callOff(tx, saleId, refunds, nowMs));
  if (isRefusal(cancelled)) return cancelled;
  await deps.queue('advance').send({ body: { saleId } });
  await sendSweep(deps, saleId, null);
  return cancelled;
}

/**
 * Changes a sale's row while holding it, then sends ahead what comes next. Units that nobody could be offered before, as
 * in a pause, are offered in the same transaction (invariant I11).
 */
async function changeSale(
  deps: WriteNeeds,
  saleId: SaleId,
  decideChange: (sale: SaleRow, nowMs: number) => Partial<SaleTerms> | Refusal,
  also: (tx: Tx, nowMs: number) => Promise<Refusal | undefined> = async () => undefined,
): Promise<SaleView | Refusal> {
  const result = await writeThrough(deps, async (tx, nowMs): Promise<SaleCommitted | Refusal> => {
    const sale = (await lockSales(tx, [saleId])).get(saleId);
    if (!sale) return refuse('not_found', 'There is no such sale.');
    const change = decideChange(sale, nowMs);
    if (isRefusal(change)) return change;
    const refusal = await also(tx, nowMs);
    if (refusal) return refusal;
    const changed = { ...sale, ...change };
    await changeTerms(tx, saleId, changed);
    const offered = await offerAndMove(tx, changed, [], { available: 0 }, nowMs);
    const recorded = await recordSale(tx, saleId, nowMs);
    const events = [...offered.events, ...recorded.events];
    return { ...recorded, reservations: offered.reservations, events };
  });
  if (isRefusal(result)) return result;
  await scheduleBoundaries(deps, result.sale);
  if (result.sale.status === 'active') await scheduleOfferEnds(deps, saleId);
  return viewOfRow(result.sale, deps.clock());
}
