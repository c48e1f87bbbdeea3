/**
 * Which sales this environment has lately had to hold to decide a batch: stock is short there, or somebody waits, so that
 * an attempt without holding them would be wasted, and workers would stand in each other's way.
 *
 * This is only an optimization, as the lock is: a sale that is not remembered costs an attempt that is undone, and one that
 * is remembered wrongly is decided with its row held from the start.
 */
import { LRUCache } from 'lru-cache';
import type { Needs } from '#platform/environment/deps.ts';
import type { SaleId } from '#platform/kernel/ids.ts';

const rememberedSales = 10_000;
/** For how long after it was last held a sale counts as contended. */
const contendedForMs = 2_000;

export interface ContendedSales {
  /** Whether one of these sales had to be held lately. */
  includes(saleIds: readonly SaleId[]): boolean;
  /** Records that these sales had to be held. */
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
