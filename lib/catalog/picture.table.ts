/**
 * `product_pictures`: what products look like. A picture is `awaited` until its file was brought and looked at, and `shown` from then
 * on. Written by `picture.store.ts`.
 */
import { index, int, mysqlEnum, mysqlTable, varchar } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

export const pictureStates = ['awaited', 'shown'] as const;

export const productPictures = mysqlTable(
  'product_pictures',
  {
    id: id('id').primaryKey(),
    productId: id('product_id').notNull(),
    /** The media type that was announced, and that the file has. */
    type: varchar('type', { length: 32 }).notNull(),
    /** How many bytes were announced; the file has no more. */
    bytes: int('bytes').notNull(),
    altEn: varchar('alt_en', { length: 300 }).notNull(),
    altKo: varchar('alt_ko', { length: 300 }).notNull(),
    state: mysqlEnum('state', pictureStates).notNull(),
    createdAtMs: timeMs('created_at_ms').notNull(),
  },
  (table) => [index('product_pictures_product').on(table.productId, table.id)],
);
