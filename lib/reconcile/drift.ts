/** Drift: a difference between MySQL, ledger, mirror and gate, and its likely cause. */

import * as z from 'zod';
import type { SaleId } from '#platform/kernel/ids.ts';
import { idOf } from '#platform/kernel/shapes.ts';

const driftKinds = ['books', 'ledger', 'stock', 'terms', 'reservation', 'claim', 'gate', 'undecided'] as const;
export type DriftKind = (typeof driftKinds)[number];

/** One difference. */
export const Drift = z.object({
  saleId: idOf<SaleId>(),
  kind: z.enum(driftKinds),
  /** What differs: a counter, a reservation, a field. */
  what: z.string(),
  expected: z.string(),
  found: z.string(),
  likelyCause: z.string(),
  repaired: z.boolean(),
});
export type Drift = z.infer<typeof Drift>;
