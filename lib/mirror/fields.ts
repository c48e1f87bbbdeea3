/**
 * Which fields the mirror keeps of a sale: the hash at `keys.sale(tag)`. The scripts beside this file name the same, and
 * `fields.test.ts` holds them to it.
 */
import type { StockView } from '#sale/sale.shapes.ts';

/** The stock as of a commit; compared by epoch, then by version. Written by `mirror.lua` and `repair.lua`. */
export const stockFields = ['epoch', 'version', 'allotment', 'available', 'allocated', 'sold', 'waitlisted'] as const;

/** The terms: what the gate judges by, what readers see (`terms`, JSON), and the sale's id. Written by `mirror.lua`. */
export const termFields = ['terms', 'opens', 'closes', 'status', 'cap', 'waitlistSize', 'id'] as const;

/**
 * The gate's own counters: the latest ticket, how many requests it has admitted, how many units those ask for that are
 * not decided yet, and how many of them were admitted beyond the available units. Written by `gate.lua`.
 */
export const gateFields = ['ticket', 'line', 'pendingUnits', 'pendingOver'] as const;

/**
 * Which loss of claims a sale has not recovered from: the time at which Redis was taught the sale anew. Written by
 * `mirror.lua`, read by `gate.lua`, and taken away by reconcile when every claim is back.
 */
export const partialField = 'partial';

/** The stock of values that were read in the order of `stockFields`. */
export function stockOfFields(values: readonly (string | null)[]): StockView {
  return Object.fromEntries(stockFields.map((name, index) => [name, Number(values[index] ?? 0)])) as StockView;
}
