/**
 * Adjusting stock: an operator adds units to a sale, or removes available ones. Added units are offered to the waitlist in
 * the same transaction.
 */

import { type Committed, type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { offerAndMove } from '#reservation/release.ts';
import { adjustment, recordMovements } from '#sale/ledger.store.ts';
import type { SaleView } from '#sale/sale.shapes.ts';
import { lockSales } from '#sale/sale.store.ts';
import { viewSale } from './read-sale.ts';

/** Adds units to a sale, or removes them if negative. Refused if more would be removed than are available. */
export async function adjustStock(deps: WriteNeeds, saleId: SaleId, units: number): Promise<SaleView | Refusal> {
  const adjusted = await writeThrough(deps, async (tx, nowMs): Promise<Committed | Refusal> => {
    const sale = (await lockSales(tx, [saleId])).get(saleId);
    if (!sale) return refuse('not_found', 'There is no such sale.');
    if (sale.available + units < 0) {
      return refuse('illegal_state', `Only ${sale.available} units are available; the others belong to customers.`, {
        available: sale.available,
      });
    }
    await recordMovements(tx, [adjustment(saleId, units, nowMs)], nowMs);
    const after = { ...sale, available: sale.available + units };
    return offerAndMove(tx, after, [], { allotment: units, available: units }, nowMs);
  });
  return isRefusal(adjusted) ? adjusted : viewSale(deps, saleId);
}
