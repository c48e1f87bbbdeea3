/**
 * `sales`: one campaign for one product, and its stock.
 *
 * Invariant I1, as a constraint: available + allocated + sold = allotment, none of them negative, at every commit.
 * Terms are written by operators; the four stock columns only by `moveStock` of `sale.store.ts`, which raises `version`.
 */
import { sql } from 'drizzle-orm';
import { bigint, boolean, char, check, index, int, mysqlEnum, mysqlTable, varchar } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';
import type { ProviderName } from '#platform/payments/provider-names.ts';

export const allocationModes = ['fifo'] as const;
/** Set by operators. Whether reservations are open is not stored: it follows from the clock and the sale's times. */
export const saleStatuses = ['active', 'paused', 'cancelled'] as const;
/** The phases of a sale. The stored one is the last whose side effects were carried out; no permission depends on it. */
export const salePhases = ['scheduled', 'reserving', 'reserved', 'purchasing', 'closed'] as const;
/** Whom the cap of a sale counts by: each account, or each person, told apart by a verified address or an external id. */
export const capHolders = ['customer', 'contact', 'externalId'] as const;

export const sales = mysqlTable(
  'sales',
  {
    id: id('id').primaryKey(),
    productId: id('product_id').notNull(),
    name: varchar('name', { length: 200 }).notNull(),
    mode: mysqlEnum('mode', allocationModes).notNull(),
    status: mysqlEnum('status', saleStatuses).notNull(),
    phase: mysqlEnum('phase', salePhases).notNull(),
    /** When the reminder before the close was recorded; null until then. */
    remindedAtMs: timeMs('reminded_at_ms'),
    priceMinor: bigint('price_minor', { mode: 'number' }).notNull(),
    currency: char('currency', { length: 3 }).notNull(),
    capPerCustomer: int('cap_per_customer').notNull(),
    /** Fixed when the sale is created: what a customer has already was counted by it. */
    capPer: mysqlEnum('cap_per', capHolders).notNull().default('customer'),
    /** Whether only those may reserve who have shown that their address is theirs. */
    requiresContact: boolean('requires_contact').notNull().default(false),
    /** Who charges what is bought in it; null for the provider of its currency. */
    paymentProvider: varchar('payment_provider', { length: 16 }).$type<ProviderName>(),
    /** The most reservations on the waitlist. */
    waitlistSize: int('waitlist_size').notNull(),
    /** How long a waitlisted customer has to buy units that were released. */
    offerLifeMs: timeMs('offer_life_ms').notNull(),
    /** How long an allocation may stay unpaid once the window is open; null for until the close. */
    payWithinMs: timeMs('pay_within_ms'),
    /** No offer is made later than this before the close. */
    offerCutoffMs: timeMs('offer_cutoff_ms').notNull().default(0),
    /** When the clock of a paused sale stopped: the pause began, or its times were set in it; null while it is not paused. */
    pausedAtMs: timeMs('paused_at_ms'),
    /** When the pause began; null while the sale is not paused, or if an older build has paused it. */
    pauseBeganMs: timeMs('pause_began_ms'),
    /** How far the sale's own clock is behind the wall clock; added to stored deadlines. */
    clockOffsetMs: timeMs('clock_offset_ms').notNull().default(0),
    /** Written and read by older builds only; the migrations of a later release drop it. */
    reopens: boolean('reopens').notNull().default(false),
    /** Raised with every change of terms, so that a preview stands for the sale as it was then. */
    termsVersion: int('terms_version').notNull().default(0),
    /** Whether nothing expires: times got shorter, and not all customers have been told yet. */
    endsWait: boolean('ends_wait').notNull().default(false),
    reserveOpensAtMs: timeMs('reserve_opens_at_ms').notNull(),
    reserveClosesAtMs: timeMs('reserve_closes_at_ms').notNull(),
    purchaseOpensAtMs: timeMs('purchase_opens_at_ms').notNull(),
    purchaseClosesAtMs: timeMs('purchase_closes_at_ms').notNull(),
    allotment: int('allotment').notNull(),
    available: int('available').notNull(),
    allocated: int('allocated').notNull(),
    sold: int('sold').notNull(),
    /** How many reservations are on the waitlist. */
    waitlisted: int('waitlisted').notNull(),
    /** Raised when MySQL is restored from a backup, so that what the mirror has from before is older. */
    epoch: int('epoch').notNull(),
    /** Raised with every write of stock or terms. */
    version: bigint('version', { mode: 'number' }).notNull(),
    /** The highest fencing token that has written stock. */
    fence: bigint('fence', { mode: 'number' }).notNull(),
    /** Since when it is public, or when it will be; null for a draft without a time. Sales of older builds are public. */
    publicFromMs: timeMs('public_from_ms').default(0),
    /** Whether its publication has been told to a shop's own systems. */
    publishTold: boolean('publish_told').notNull().default(true),
    /** What customers must show to find it; null if it is for everybody. */
    accessCode: varchar('access_code', { length: 64 }),
    createdAtMs: timeMs('created_at_ms').notNull(),
  },
  (table) => [
    index('sales_product').on(table.productId),
    index('sales_phase').on(table.phase, table.purchaseClosesAtMs),
    check('sales_stock_adds_up', sql`${table.available} + ${table.allocated} + ${table.sold} = ${table.allotment}`),
    check(
      'sales_stock_not_negative',
      sql`${table.available} >= 0 and ${table.allocated} >= 0 and ${table.sold} >= 0 and ${table.waitlisted} >= 0`,
    ),
    check('sales_waitlist_bounded', sql`${table.waitlisted} <= ${table.waitlistSize}`),
    check(
      'sales_times_in_order',
      sql`${table.reserveOpensAtMs} < ${table.reserveClosesAtMs} and ${table.purchaseOpensAtMs} < ${table.purchaseClosesAtMs} and ${table.reserveOpensAtMs} <= ${table.purchaseOpensAtMs}`,
    ),
  ],
);
