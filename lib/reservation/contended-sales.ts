/**
 * Which sales this environment has lately had to lock to decide a batch: their stock is short, or a customer waits, so an
 * attempt without the lock would be wasted and workers would block each other.
 *
 * This is only an optimization, like the lock: a sale that is missing costs an attempt that is rolled back, and one that is
 * listed wrongly is decided with its row locked from the start.
 */
import { LRUCache } from 'lru-cache';
import type { Needs } from '#platform/environment/deps.ts';
import type { SaleId } from '#platform/kernel/ids.ts';

const rememberedSales = 10_000;
/** How long after its last lock a sale counts as contended. */
const contendedForMs = 2_000;

export interface ContendedSales {
  /** Whether one of these sales had to be locked lately. */
  includes(saleIds: readonly SaleId[]): boolean;
  /** Records that these sales had to be locked. */
  add(saleIds: readonly SaleId[]): void;
}

/** The memory of this environment; kept by `deps.once(contendedSales)`. It begins empty. */
export function contendedSales({ clock }: Needs<'clock'>): ContendedSales {
  const untilMs = new LRUCache<SaleId, number>({ max: rememberedSales });
  return {
    includes: (saleIds) => saleIds.some((saleId) => clock() < (untilMs.get(saleId) ?? 0)),
    add: (saleIds) => {
      for (const saleId of saleIds) untilMs.set(saleId, clock() + contendedForMs);
    },
  };
}
