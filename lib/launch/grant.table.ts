/**
 * `grants`: each reservation that an operator took from the line out of turn, with the reason. It is the one exception to the
 * line (invariant I11), so it is written in the transaction that makes it, and what compares who was served with who
 * waited reads it. Written by `grant.store.ts`; rows never change.
 */

import { sql } from 'drizzle-orm';
import { check, int, mysqlTable, varchar } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

export const grants = mysqlTable(
  'grants',
  {
    /** A reservation that has left the line never joins it again, so it is granted at most once. */
    reservationId: id('reservation_id').primaryKey(),
    saleId: id('sale_id').notNull(),
    /** Added to the sale for it. */
    units: int('units').notNull(),
    reason: varchar('reason', { length: 500 }).notNull(),
    grantedAtMs: timeMs('granted_at_ms').notNull(),
  },
  (table) => [check('grants_units', sql`${table.units} > 0`)],
);
