/**
 * `due_reminders`: the deadline up to which the holders of a sale have been reminded to pay. One row for each sale that has
 * reminded anybody. Written by `due-reminder.store.ts`.
 *
 * Its columns are a position in the index `waitlist_line`, so any number of holders with one deadline are reminded in steps
 * that each begin where the last one ended.
 */
import { bigint, int, mysqlTable } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

export const dueReminders = mysqlTable('due_reminders', {
  saleId: id('sale_id').primaryKey(),
  /** In the sale's own time. */
  deadlineMs: timeMs('deadline_ms').notNull(),
  atLeast: int('at_least').notNull(),
  ticket: bigint('ticket', { mode: 'number' }).notNull(),
  reservationId: id('reservation_id').notNull(),
});
