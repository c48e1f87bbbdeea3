/**
 * Rescheduling: moves a sale's times, and everything derived from them, in one step, with a preview of the effects.
 */
import { changeOf, type Keep, keepNothing } from '#idempotency/kept-answer.ts';
import type { WriteNeeds } from '#mirror/write-through.ts';
import { isRefusal, type Refusal } from '#platform/kernel/errors.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import type { RescheduleSale, SaleRescheduled } from '#sale/sale.shapes.ts';
import type { SaleRow } from '#sale/sale.store.ts';
import { viewOfRow } from '#sale/terms.ts';
import { applyMove, changeSale } from './change-sale.ts';
import { type Move, type MovePlan, planMove, previewMove } from './move-plan.ts';
import { readTimes } from './sale-times.ts';

/**
 * Moves a sale's times to those named, with another cut-off for offers if there is one, or all that are still to come by
 * `shiftSeconds`. With `dryRun` it changes nothing and says what would happen. Refuses with `confirmation_required` what takes time from a customer or ends the sale at once,
 * unless the preview's `confirmation` comes with it.
 */
export async function rescheduleSale(
  deps: WriteNeeds,
  saleId: SaleId,
  request: RescheduleSale,
  keep: Keep = keepNothing,
): Promise<SaleRescheduled | Refusal> {
  const { shiftSeconds, offerCutoffSeconds, dryRun, confirmation, ...times } = request;
  const cutoff = offerCutoffSeconds === undefined ? {} : { offerCutoffMs: offerCutoffSeconds * 1000 };
  const move: Move = shiftSeconds === undefined ? { ...readTimes(times), ...cutoff } : { shiftMs: shiftSeconds * 1000 };
  const preview = await previewMove(deps, saleId, move);
  if (isRefusal(preview)) return preview;
  if (dryRun) {
    const foreseen = answer({ ...preview.sale, ...preview.plan?.change }, preview.plan, true, deps.clock());
    return deps.db.transaction((tx) => keep(tx, foreseen, null));
  }
  let plan: MovePlan | Refusal | undefined;
  return changeSale(
    deps,
    saleId,
    async (tx, sale, nowMs) => {
      plan = await planMove(tx, sale, move, nowMs, preview.plan?.concerned);
      return applyMove(plan, confirmation);
    },
    (tx, sale, nowMs, before) => {
      const moved = answer(sale, isRefusal(plan) ? undefined : plan, false, nowMs);
      return keep(tx, moved, changeOf(saleId, viewOfRow(before, nowMs), moved.sale));
    },
  );
}

function answer(sale: SaleRow, plan: MovePlan | undefined, dryRun: boolean, nowMs: number): SaleRescheduled {
  return {
    dryRun,
    sale: viewOfRow(sale, nowMs),
    dangers: plan?.dangers ?? [],
    concerned: plan?.concerned ?? { holding: 0, offered: 0, waiting: 0, shortened: 0 },
    confirmation: plan?.confirmation ?? null,
  };
}
