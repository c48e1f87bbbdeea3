/**
 * Adjusting stock: an operator adds units to a sale, or removes available ones. Added units are offered to the waitlist in
 * the same transaction, and those who moved up without an offer are told their new places.
 */

import { recordEvents } from '#events/outbox.ts';
import { changeOf, type Keep, keepNothing } from '#idempotency/kept-answer.ts';
import { type Committed, type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { offerAndMove } from '#reservation/release.ts';
import { adjustment, recordMovements } from '#sale/ledger.store.ts';
import { maxUnits, type SaleView } from '#sale/sale.shapes.ts';
import { lockSales, readSales } from '#sale/sale.store.ts';
import { saleNowMs } from '#sale/sale-clock.ts';
import { viewOfRow } from '#sale/terms.ts';
import { announceMoves } from './announce.ts';
import type { SaleJob } from './job.store.ts';
import { sendJob } from './jobs.ts';

interface Adjusted extends Committed {
  readonly view: SaleView;
  /** Jobs that must still tell the others their new places. */
  readonly job?: SaleJob | undefined;
}

/**
 * Adds units to a sale, or with a negative number takes them back. Refused if the sale is over, more are taken than
 * are available, or it would have more than `maxUnits`. Answers with the sale as this commit leaves it.
 */
export async function adjustStock(
  deps: WriteNeeds & Needs<'queue'>,
  saleId: SaleId,
  units: number,
  keep: Keep = keepNothing,
): Promise<SaleView | Refusal> {
  const adjusted = await writeThrough(deps, async (tx, nowMs): Promise<Adjusted | Refusal> => {
    const sale = (await lockSales(tx, [saleId])).get(saleId);
    if (!sale) return refuse('not_found', 'There is no such sale.');
    if (sale.status === 'cancelled')
      return refuse('sale_cancelled', 'The stock of a cancelled sale cannot be changed.');
    if (saleNowMs(sale, nowMs) >= sale.purchaseClosesAtMs) {
      return refuse('illegal_state', 'The stock of a closed sale cannot be changed.');
    }
    if (sale.available + units < 0) {
      return refuse('illegal_state', `Only ${sale.available} units are available; the others belong to customers.`, {
        available: sale.available,
      });
    }
    if (sale.allotment + units > maxUnits) {
      return refuse('illegal_state', `A sale may have at most ${maxUnits} units; this one has ${sale.allotment}.`, {
        allotment: sale.allotment,
      });
    }
    await recordMovements(tx, [adjustment(saleId, units, nowMs)], nowMs);
    const after = { ...sale, available: sale.available + units };
    const committed = await offerAndMove(tx, after, [], { allotment: units, available: units }, nowMs);
    const written = (await readSales(tx, [saleId])).get(saleId);
    if (!written) throw new Error('a sale that was just written cannot be read');
    const told = await announceMoves(tx, written, committed.reservations, nowMs);
    await recordEvents(tx, told.events, nowMs);
    const events = [...committed.events, ...told.events];
    const view = viewOfRow(written, nowMs);
    await keep(tx, view, changeOf(saleId, viewOfRow(sale, nowMs), view));
    return { ...committed, events, job: told.job, view };
  });
  if (isRefusal(adjusted)) return adjusted;
  if (adjusted.job) await sendJob(deps, adjusted.job);
  return adjusted.view;
}
