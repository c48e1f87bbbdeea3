/**
 * `purchases` and `purchase_items`: an order of one customer for one or many reservations, paid at once.
 *
 * The row is the intent: it is committed before the provider is called, and its id is the provider's idempotency key.
 * Invariant I7: at most one capture per purchase; a timeout leaves it `unknown`, never failed.
 * Written by `purchase.store.ts`; items never change.
 */
import { sql } from 'drizzle-orm';
import { bigint, char, check, index, int, mysqlEnum, mysqlTable, primaryKey, varchar } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';
import { purchaseStates } from '#state/purchase-state.ts';

export const purchases = mysqlTable(
  'purchases',
  {
    id: id('id').primaryKey(),
    customerId: id('customer_id').notNull(),
    state: mysqlEnum('state', purchaseStates).notNull(),
    amountMinor: bigint('amount_minor', { mode: 'number' }).notNull(),
    currency: char('currency', { length: 3 }).notNull(),
    /** The token of the means of payment; erased once the purchase is settled. */
    paymentToken: varchar('payment_token', { length: 200 }),
    /** SHA-256 of the request in hex, to distinguish a repeated request from another one with the same key. */
    fingerprint: char('fingerprint', { length: 64 }).notNull(),
    /**
     * Who charges it: written when it is requested if its sales name one, otherwise with the first attempt; null before, and for
     * purchases of older builds: the sandbox's protocol.
     */
    provider: varchar('provider', { length: 16 }),
    chargeId: varchar('charge_id', { length: 200 }),
    reason: varchar('reason', { length: 64 }),
    attempts: int('attempts').notNull(),
    /** How often the provider knew of no charge after failed attempts, weighted. */
    absences: int('absences').notNull().default(0),
    /** What the provider said that it captured; null until then. */
    capturedMinor: bigint('captured_minor', { mode: 'number' }),
    capturedCurrency: char('captured_currency', { length: 3 }),
    /** Where the customer confirms the payment, and until when; null unless it is `requires_action`. */
    actionUrl: varchar('action_url', { length: 2048 }),
    actionDeadlineMs: bigint('action_deadline_ms', { mode: 'number' }),
    /** The account to transfer to, as JSON, if that is the action. */
    actionAccount: varchar('action_account', { length: 512 }),
    /** The API key that requested it for its customer; null if the customer did. */
    keyId: id('key_id'),
    version: int('version').notNull(),
    createdAtMs: timeMs('created_at_ms').notNull(),
    updatedAtMs: timeMs('updated_at_ms').notNull(),
  },
  (table) => [
    index('purchases_customer').on(table.customerId, table.createdAtMs),
    index('purchases_open').on(table.state, table.updatedAtMs),
    /** Finds what a charge has paid for, as the provider's dashboard names it. */
    index('purchases_charge').on(table.chargeId),
    check('purchases_amount', sql`${table.amountMinor} >= 0`),
  ],
);

export const purchaseItems = mysqlTable(
  'purchase_items',
  {
    purchaseId: id('purchase_id').notNull(),
    reservationId: id('reservation_id').notNull(),
    saleId: id('sale_id').notNull(),
    units: int('units').notNull(),
    priceMinor: bigint('price_minor', { mode: 'number' }).notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.purchaseId, table.reservationId] }),
    index('purchase_items_reservation').on(table.reservationId),
    check('purchase_items_units', sql`${table.units} > 0`),
  ],
);
