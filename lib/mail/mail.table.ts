/** `mails`: messages that were asked for, by mail and by further channels, and what became of them. Written by `mail.store.ts`. */
import { index, int, json, mysqlEnum, mysqlTable, varchar } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

/** `dropped`: when it was to be sent there was no reason for it any more, such as an account. */
export const mailStates = ['due', 'sent', 'dropped', 'given_up'] as const;

export const mails = mysqlTable(
  'mails',
  {
    /** A mail has that of the notice that it tells, another channel's message one made of both: so each notice is told once by each. */
    id: id('id').primaryKey(),
    channel: varchar('channel', { length: 16 }).notNull().default('mail'),
    /** What it is about; what it says is made when it is sent. */
    kind: varchar('kind', { length: 48 }).notNull(),
    /** Whom it is for; null if only the address is known. */
    customerId: id('customer_id'),
    /** To where, if only that is known; null once the mail is no longer due. */
    address: varchar('address', { length: 254 }),
    facts: json('facts').$type<Record<string, unknown>>().notNull(),
    state: mysqlEnum('state', mailStates).notNull(),
    attempts: int('attempts').notNull(),
    /** When it is due; while an attempt is under way, when that is taken to have died. */
    dueAtMs: timeMs('due_at_ms').notNull(),
    createdAtMs: timeMs('created_at_ms').notNull(),
    /** Why the last attempt failed; null if it did not. */
    lastError: varchar('last_error', { length: 64 }),
  },
  (table) => [
    /** Of a build that knew mail alone; without readers once that cannot come back. */
    index('mails_due').on(table.state, table.dueAtMs),
    index('mails_channel_due').on(table.channel, table.state, table.dueAtMs),
    index('mails_customer').on(table.customerId),
    index('mails_age').on(table.createdAtMs),
  ],
);
