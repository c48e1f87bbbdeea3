/**
 * `notifications`: the notices of each customer. Written by the notify worker, read and marked as read by the customer.
 *
 * The unique key (subject, version, kind, round) is the inbox: an event that arrives twice is told once (invariant I5).
 */
import { bigint, index, int, json, mysqlTable, unique, varchar } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

export const notifications = mysqlTable(
  'notifications',
  {
    id: id('id').primaryKey(),
    customerId: id('customer_id').notNull(),
    /** The reservation or purchase that it is about. */
    subjectId: id('subject_id').notNull(),
    /** The subject's version at that moment. */
    version: int('version').notNull(),
    kind: varchar('kind', { length: 48 }).notNull(),
    /** Which announcement of its kind it is: the sale's version with it. Zero for what happens once. */
    round: bigint('round', { mode: 'number' }).notNull().default(0),
    facts: json('facts').$type<Record<string, unknown>>().notNull(),
    createdAtMs: timeMs('created_at_ms').notNull(),
    readAtMs: timeMs('read_at_ms'),
  },
  (table) => [
    unique('notifications_once').on(table.subjectId, table.version, table.kind, table.round),
    index('notifications_customer').on(table.customerId, table.id),
  ],
);
