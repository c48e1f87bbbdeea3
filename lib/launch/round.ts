/**
 * The round of the minute's rule over the sales. It makes up for every message that was lost: whatever time should have done
 * in a sale it finds in the row, and does.
 *
 * A sale in which nothing can be due costs no more than its row, so there may be many: rows are read a page at a time, and
 * only sales that may need it are advanced.
 */

import * as z from 'zod';
import type { WriteNeeds } from '#mirror/write-through.ts';
import type { Needs } from '#platform/environment/deps.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import { findSalesWithDeadlines } from '#reservation/reservation.store.ts';
import { readUnfinishedSales, type SaleRow } from '#sale/sale.store.ts';
import { advanceSale, deadlinesThatMatter, mayBeDue } from './advance-sale.ts';

/** The minute's rule, and the message that continues its round over the sales if one invocation was too short. */
export const TickCommand = z.object({
  'detail-type': z.literal('Scheduled Event'),
  /** The sale up to which the round has come. */
  after: z.object({ closesAtMs: z.int(), saleId: idOf<SaleId>() }).optional(),
});

/** How many sales are read at a time. */
export const salesPerPage = 1_000;

/**
 * Advances every sale in which something may be due, starting after `after`. A sale that fails does not hold up the others.
 * If the time runs out, a message continues with the rest at once.
 */
export async function advanceAll(
  deps: WriteNeeds,
  deadlineMs: number,
  after?: z.infer<typeof TickCommand>['after'],
): Promise<void> {
  const failed: unknown[] = [];
  let reached = after;
  for (let isLast = false; !isLast; ) {
    const page = await readUnfinishedSales(deps.db, salesPerPage, reached);
    const due = await findDue(deps, page);
    isLast = page.length < salesPerPage;
    for (const sale of page) {
      if (deps.clock() >= deadlineMs) {
        await deps.queue('advance').send({ body: { 'detail-type': 'Scheduled Event', after: reached } });
        isLast = true;
        break;
      }
      if (due.has(sale.saleId)) {
        await advanceSale(deps, sale.saleId, deadlineMs, 'everything').catch((error) => failed.push(error));
      }
      reached = { saleId: sale.saleId, closesAtMs: sale.purchaseClosesAtMs };
    }
  }
  // The redelivered trigger, or the next one, advances the sales that failed.
  if (failed.length > 0) throw new Error(`${failed.length} sales could not be advanced`, { cause: failed[0] });
}

/** Those of some sales in which advancing them could find anything to do. Exported for tests. */
export async function findDue({ db, clock }: Needs<'db' | 'clock'>, sales: readonly SaleRow[]): Promise<Set<SaleId>> {
  const nowMs = clock();
  const [due, quiet] = [new Set<SaleId>(), [] as { saleId: SaleId; untilMs: number }[]];
  for (const sale of sales) {
    const untilMs = deadlinesThatMatter(sale, nowMs);
    if (mayBeDue(sale, nowMs)) due.add(sale.saleId);
    else if (untilMs !== undefined) quiet.push({ saleId: sale.saleId, untilMs });
  }
  for (const saleId of await findSalesWithDeadlines(db, quiet)) due.add(saleId);
  return due;
}
