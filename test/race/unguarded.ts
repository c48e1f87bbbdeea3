/**
 * The allocation store with its guard taken out, as a control: sales are never held, and stock is set to what was read
 * minus what was taken, as read-modify-write does.
 */

import { toBytes } from '#platform/kernel/ids.ts';
import type { Db } from '#platform/mysql/mysql.ts';
import { type AllocationStore, allocationTx } from '#reservation/store.ts';

export function unguarded(db: Db): AllocationStore {
  return {
    transaction: (work) =>
      db.transaction((tx) => {
        const shipped = allocationTx(tx);
        let seen: Awaited<ReturnType<typeof shipped.sales>> = new Map();
        return work({
          ...shipped,
          sales: async (saleIds) => {
            seen = await shipped.sales(saleIds, false);
            return seen;
          },
          moveStock: async (moves) => {
            for (const { saleId, available = 0, allocated = 0 } of moves) {
              const sale = seen.get(saleId);
              if (!sale) continue;
              await tx.change('UPDATE sales SET available = ?, allocated = ?, version = version + 1 WHERE id = ?', [
                sale.available + available,
                sale.allocated + allocated,
                toBytes(saleId),
              ]);
            }
            return [...(await shipped.stock(moves.map((move) => move.saleId))).values()];
          },
        });
      }),
  };
}
