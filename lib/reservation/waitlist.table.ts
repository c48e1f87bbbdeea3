/**
 * `waitlist`: reservations beyond the allotment, in ticket order, and the offers made to them.
 *
 * A row is inserted with the reservation's move to `waitlisted`, gets a deadline when units are offered, and is deleted
 * when the offer is bought, cancelled or expires, or the reservation is cancelled or expires. A finished sale has none.
 */
import { bigint, index, mysqlTable, primaryKey } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

export const waitlist = mysqlTable(
  'waitlist',
  {
    saleId: id('sale_id').notNull(),
    ticket: bigint('ticket', { mode: 'number' }).notNull(),
    reservationId: id('reservation_id').notNull(),
    /** Null while waiting; the offer's deadline afterwards. */
    deadlineMs: timeMs('deadline_ms'),
  },
  (table) => [
    primaryKey({ columns: [table.saleId, table.ticket, table.reservationId] }),
    index('waitlist_deadline').on(table.saleId, table.deadlineMs),
  ],
);
