/**
 * `waitlist`: reservations beyond the allotment, in ticket order, and whatever is allocated with a deadline of its own: offers
 * made to them, and in a sale with a time to pay every allocation.
 *
 * A row is inserted with the reservation's move to `waitlisted`, gets a deadline when units are offered, and goes when
 * the offer is bought, refused or expires, or the reservation leaves the line. Healthy sales leave none behind.
 *
 * The least demand stands here as well as in `reservations`, so that those whom some units can serve are found without a
 * look at the others, however many those are (invariant I11).
 */
import { bigint, index, int, mysqlTable, primaryKey } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

export const waitlist = mysqlTable(
  'waitlist',
  {
    saleId: id('sale_id').notNull(),
    ticket: bigint('ticket', { mode: 'number' }).notNull(),
    reservationId: id('reservation_id').notNull(),
    /** Null while waiting; the deadline afterwards, in the sale's own time. */
    deadlineMs: timeMs('deadline_ms'),
    /** No more than the reservation's own `at_least`, which decides. 1 where an older build has written the row. */
    atLeast: int('at_least').notNull().default(1),
  },
  (table) => [
    primaryKey({ columns: [table.saleId, table.ticket, table.reservationId] }),
    /** Whom so many units can serve, and whose time is over. */
    index('waitlist_line').on(table.saleId, table.deadlineMs, table.atLeast),
    /** Who waits, in their order, behind however many offers that are not bought yet. */
    index('waitlist_order').on(table.saleId, table.deadlineMs, table.ticket, table.reservationId, table.atLeast),
  ],
);
