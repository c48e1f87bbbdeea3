/**
 * `outbox`: events that were committed together with the change they report, and that the bus has not accepted yet.
 *
 * Written in the transaction of that change; a row is deleted once the bus has accepted its event. The healthy steady
 * state is an empty table. The key is time-ordered, so the sweep reads the oldest first.
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
