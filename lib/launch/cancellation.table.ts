/**
 * `cancellations`: a sale that was called off, what becomes of the money that was paid in it, and how far the sweep over
 * its buyers has come. Written by `cancellation.store.ts`.
 */
import { mysqlEnum, mysqlTable } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

/** What becomes of what was paid in a sale that is called off. */
export const refundPolicies = ['refund', 'keep'] as const;

export const cancellations = mysqlTable('cancellations', {
  saleId: id('sale_id').primaryKey(),
  refunds: mysqlEnum('refunds', refundPolicies).notNull(),
  calledOffAtMs: timeMs('called_off_at_ms').notNull(),
  /** The last reservation that the sweep has seen; null until it has seen one. */
  afterId: id('after_id'),
  /** When the sweep had seen every buyer; null until then. */
  sweptAtMs: timeMs('swept_at_ms'),
});
