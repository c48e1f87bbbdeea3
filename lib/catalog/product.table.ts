/**
 * `products`: what can be sold. Written by operators and the CSV import; read by everyone. A sale copies the price when
 * it is created, so changing a product never changes the price of an existing sale.
 */
import { sql } from 'drizzle-orm';
import { bigint, char, check, mysqlTable, text, unique, varchar } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

export const products = mysqlTable(
  'products',
  {
    id: id('id').primaryKey(),
    /** The shop's identifier; imports match products by it. */
    sku: varchar('sku', { length: 64 }).notNull(),
    name: varchar('name', { length: 200 }).notNull(),
    description: text('description').notNull(),
    priceMinor: bigint('price_minor', { mode: 'number' }).notNull(),
    currency: char('currency', { length: 3 }).notNull(),
    createdAtMs: timeMs('created_at_ms').notNull(),
    updatedAtMs: timeMs('updated_at_ms').notNull(),
  },
  (table) => [unique('products_sku').on(table.sku), check('products_price', sql`${table.priceMinor} >= 0`)],
);
