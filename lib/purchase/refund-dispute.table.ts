/**
 * `refund_disputes`: refunds that the provider told of and that contradict their purchase, or what it said before, and second
 * charges of a purchase, with what an operator has decided.
 *
 * Invariant I13: nothing here is money. A refund that an operator accepts gets its row in `refunds` in the same transaction.
 * Written by `refund-dispute.store.ts`.
 */
import { bigint, index, mysqlEnum, mysqlTable, primaryKey, varchar } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

export const disputeStates = ['open', 'accepted', 'rejected'] as const;

export const refundDisputes = mysqlTable(
  'refund_disputes',
  {
    purchaseId: id('purchase_id').notNull(),
    /** The key that the refund has, or would get, in `refunds`; of a second charge, `charge:` and its id. */
    refundKey: varchar('refund_key', { length: 64 }).notNull(),
    state: mysqlEnum('state', disputeStates).notNull(),
    /** How it contradicts the purchase. */
    reason: varchar('reason', { length: 64 }).notNull(),
    /** What the provider said. */
    chargeId: varchar('charge_id', { length: 200 }).notNull(),
    /** Null: all that was captured. */
    amountMinor: bigint('amount_minor', { mode: 'number' }),
    currency: varchar('currency', { length: 16 }),
    reference: varchar('reference', { length: 255 }),
    toldAtMs: timeMs('told_at_ms').notNull(),
    /** When an operator decided; null until then. */
    decidedAtMs: bigint('decided_at_ms', { mode: 'number' }),
  },
  (table) => [
    primaryKey({ columns: [table.purchaseId, table.refundKey] }),
    index('refund_disputes_open').on(table.state, table.purchaseId),
  ],
);
