/**
 * `reservations`: a customer's claim on a quantity in a sale.
 *
 * The primary key is derived from the request, so it is the inbox too: a message delivered twice finds its row
 * (invariant I3). Ids of one sale share their first six bytes, so a sale's rows lie together and need no index.
 * A customer's reservations in a sale are numbered without gaps, and the number is part of a key: two workers who decide
 * for one customer at once, each without knowing of the other, collide there instead of exceeding the cap (invariant I4).
 * A part that was split off (`split.ts`) is numbered from -1 downwards: its units were counted before, so its number must
 * not collide. Written only by `reservation.store.ts`; every move from one state to another, and every change of the
 * quantity, raises `version`. Binding to a purchase is not a move: no event reports it.
 */
import { sql } from 'drizzle-orm';
import { bigint, check, int, mysqlEnum, mysqlTable, unique, varchar } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';
import { reservationStates } from '#state/reservation-state.ts';

export const reservations = mysqlTable(
  'reservations',
  {
    id: id('id').primaryKey(),
    saleId: id('sale_id').notNull(),
    customerId: id('customer_id').notNull(),
    /** How many reservations the customer had in this sale before this one, in any state; below zero for a part. */
    nth: int('nth').notNull(),
    /** Place in line: when the gate admitted the request, microseconds since the epoch. */
    ticket: bigint('ticket', { mode: 'number' }).notNull(),
    quantity: int('quantity').notNull(),
    /** The fewest units that the customer accepts; equal to `quantity` for all-or-nothing. */
    atLeast: int('at_least').notNull(),
    state: mysqlEnum('state', reservationStates).notNull(),
    /** Units set aside, bought, or once held; zero unless they were ever allocated. */
    units: int('units').notNull(),
    /** Code of the refusal, or why it was released; null otherwise. */
    reason: varchar('reason', { length: 32 }),
    /** Until when its units can be bought, in the sale's own time; null if only the close ends it. */
    deadlineMs: timeMs('deadline_ms'),
    /** The purchase that is paying for it, or has. */
    purchaseId: id('purchase_id'),
    version: int('version').notNull(),
    acceptedAtMs: timeMs('accepted_at_ms').notNull(),
    decidedAtMs: timeMs('decided_at_ms').notNull(),
    /** The reservation that it was split from at first; null for a requested one. */
    partOf: id('part_of'),
    /** What was requested, if it has been reduced since; otherwise null. */
    askedQuantity: int('asked_quantity'),
    askedAtLeast: int('asked_at_least'),
    /** The API key that requested it for its customer; null if the customer did. */
    keyId: id('key_id'),
  },
  (table) => [
    unique('reservations_nth').on(table.customerId, table.saleId, table.nth),
    check('reservations_quantity', sql`${table.atLeast} >= 1 and ${table.quantity} >= ${table.atLeast}`),
    check('reservations_units', sql`${table.units} >= 0 and ${table.units} <= ${table.quantity}`),
  ],
);
