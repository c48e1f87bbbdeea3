/**
 * The fields of a sale in the mirror: the hash at `keys.sale(tag)`. The scripts beside this file use the same fields;
 * `fields.test.ts` checks that.
 */
import type { StockView } from '#sale/sale.shapes.ts';

/** The stock as of a commit; compared by epoch, then by version. Written by `mirror.lua` and `repair.lua`. */
export const stockFields = ['epoch', 'version', 'allotment', 'available', 'allocated', 'sold', 'waitlisted'] as const;

/**
 * The terms: what the gate checks, what readers see (`terms`, JSON), the sale's id, from when on
 * it is public (`-` for a draft) and what a shown code is compared with, and by which clock deadlines run: the
 * purchase window, the offset of the sale's own time, and where it stands in a pause, with spaces between. Written by
 * `mirror.lua`.
 */
export const termFields = [
  'terms',
  'opens',
  'closes',
  'status',
  'cap',
  'asks',
  'waitlistSize',
  'id',
  'clock',
  'public',
  'access',
] as const;

/** The version of the commit that the terms are from; stock may be newer. Written by `mirror.lua`. */
export const termVersionFields = ['termsEpoch', 'termsVersion'] as const;

/**
 * The gate's own counters: the latest ticket, the last place among its requests, how many units its undecided requests
 * ask for, and how many of those were admitted beyond the available units. Written by `gate.lua`. `oldPlaces` is the last
 * place before those that were given anew; written by `begin-renumbering.lua`.
 */
export const gateFields = ['ticket', 'line', 'pendingUnits', 'pendingOver', 'oldPlaces'] as const;

/**
 * Marks a sale whose claims Redis has lost: the time at which the sale was loaded into Redis again. Written by `mirror.lua`,
 * read by `gate.lua`, and removed by reconcile when every claim is back.
 */
export const partialField = 'partial';

/** How often the gate has refused a request for this reason. Nothing is decided by it. Written by `gate.lua`. */
export const refusedField = <Reason extends string>(reason: Reason): `refused:${Reason}` => `refused:${reason}`;

/** Any field of a sale in the mirror that decides something. */
export type MirrorField =
  | (typeof stockFields)[number]
  | (typeof termFields)[number]
  | (typeof termVersionFields)[number]
  | (typeof gateFields)[number]
  | typeof partialField;

/** The stock from values that were read in the order of `stockFields`. */
export function stockOfFields(values: readonly (string | null)[]): StockView {
  return Object.fromEntries(stockFields.map((name, index) => [name, Number(values[index] ?? 0)])) as StockView;
}
