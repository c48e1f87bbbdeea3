/**
 * `refunds`: money given back, a row for each time it was asked for.
 *
 * Invariant I13: the key (purchase, what asked for it) makes one reason refund once, however often it comes; it is also the
 * idempotency key at the provider. Pending and done together never exceed what was captured. Written by `refund.store.ts`
 * under lock of the purchase's row.
 */
import { sql } from 'drizzle-orm';
import { bigint, check, index, int, mysqlEnum, mysqlTable, primaryKey, varchar } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';
import { refundStates } from '#state/purchase-state.ts';

export const refunds = mysqlTable(
  'refunds',
  {
    purchaseId: id('purchase_id').notNull(),
    /**
     * What asked for it: `refund` for the whole, `sale:` and the id of a sale that was called off, or an operator's request.
     */
    refundKey: varchar('refund_key', { length: 64 }).notNull(),
    /** The sale that was called off; null if something else asked for it. */
    saleId: id('sale_id'),
    /** In the currency of what was captured; zero where only units return. */
    amountMinor: bigint('amount_minor', { mode: 'number' }).notNull(),
    state: mysqlEnum('state', refundStates).notNull(),
    /** Why it is given back. */
    reason: varchar('reason', { length: 64 }).notNull(),
    /** Why the provider refused it. */
    failure: varchar('failure', { length: 64 }),
    /**
     * The units that return with the money, as JSON: a reservation's id, or its id and how many; `*` for all of the
     * purchase.
     */
    releases: varchar('releases', { length: 4096 }).notNull(),
    /** The units whose price it gives back, as JSON: ids and how many; null if it is an amount. */
    forItems: varchar('for_items', { length: 4096 }),
    /** Where the money goes, as JSON, if an operator has said so; erased once the provider has answered. */
    account: varchar('account', { length: 512 }),
    /** How much of it an operator has waived; it is then done without money. */
    waivedMinor: bigint('waived_minor', { mode: 'number' }).notNull().default(0),
    /** How often the provider refused it: each retry asks under a key of its own. */
    refusals: int('refusals').notNull(),
    createdAtMs: timeMs('created_at_ms').notNull(),
    updatedAtMs: timeMs('updated_at_ms').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.purchaseId, table.refundKey] }),
    index('refunds_sale').on(table.saleId, table.state),
    check('refunds_amount', sql`${table.amountMinor} >= 0`),
  ],
);
