/**
 * `outbox`: events committed together with the fact they tell of, and not yet taken by the bus.
 *
 * Written in the fact's own transaction; the relay publishes a row and deletes it once the bus has taken it. The healthy
 * steady state is an empty table. The key is time-ordered, so the sweep reads the oldest first.
 */
import { mediumtext, mysqlTable, varchar } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

export const outbox = mysqlTable('outbox', {
  id: id('id').primaryKey(),
  detailType: varchar('detail_type', { length: 64 }).notNull(),
  /** The event's JSON, envelope included. */
  detail: mediumtext('detail').notNull(),
  createdAtMs: timeMs('created_at_ms').notNull(),
});
