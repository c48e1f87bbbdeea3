/**
 * `waitlist`: reservations beyond the allotment, in ticket order, and every allocation with a deadline of its own: offers
 * made to those who waited, and in a sale with a time to pay all allocations.
 *
 * A row is inserted with the reservation's move to `waitlisted`, gets a deadline when units are offered, and goes when
 * the offer is bought, refused or expires, or the reservation leaves the line. Healthy sales leave none behind.
 *
 * The minimum is stored here as well as in `reservations`, so that those whom some units can serve are found without reading
 * the others (invariant I11).
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
    /** At most the reservation's own `at_least`, which decides. 1 in rows that an older build wrote. */
    atLeast: int('at_least').notNull().default(1),
  },
  (table) => [
    primaryKey({ columns: [table.saleId, table.ticket, table.reservationId] }),
    /** Finds those whom so many units can serve, and those whose time is over. */
    index('waitlist_line').on(table.saleId, table.deadlineMs, table.atLeast),
    /** Finds those who wait, in order, without reading the offers that are not bought yet. */
    index('waitlist_order').on(table.saleId, table.deadlineMs, table.ticket, table.reservationId, table.atLeast),
  ],
);
