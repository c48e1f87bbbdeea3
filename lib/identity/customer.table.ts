/**
 * `customers`: who can sign in. Written by registration and by the customer; read by sign-in, and to write notices in the
 * customer's language. Operators are customers with another role.
 */
import { index, mysqlEnum, mysqlTable, unique, varchar } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';
import type { Role } from '#platform/security/roles.ts';

/** In the order in which they came: a value that is added at the end rewrites no row. */
const stored = ['customer', 'operator', 'viewer', 'admin'] as const satisfies readonly Role[];

export const customers = mysqlTable(
  'customers',
  {
    id: id('id').primaryKey(),
    /**
     * Lower case. Typing an address proves nothing, so several accounts may name the same one until one of them shows that it
     * is theirs; their hashes have one salt, and an account is found by address and password together. Empty for one that an
     * external id alone names.
     */
    email: varchar('email', { length: 254 }).notNull(),
    name: varchar('name', { length: 100 }).notNull(),
    passwordHash: varchar('password_hash', { length: 255 }).notNull(),
    role: mysqlEnum('role', stored).notNull(),
    /** The language (BCP 47) and the time zone (IANA) in which the customer reads notices; null until set. */
    locale: varchar('locale', { length: 35 }),
    timeZone: varchar('time_zone', { length: 64 }),
    /**
     * From when on the address counts as this account's, since its owner has shown that it is: zero if no other account has had it
     * before. Null until then.
     */
    contactSinceMs: timeMs('contact_since_ms'),
    /** The person's id in a system of the shop's own; null until an operator says it. */
    externalId: varchar('external_id', { length: 255 }),
    /** Like `contact_since_ms`, for the external id. */
    externalSinceMs: timeMs('external_since_ms'),
    /** When the customer said that they want no reminders by mail; null if they do. */
    remindersOffAtMs: timeMs('reminders_off_at_ms'),
    createdAtMs: timeMs('created_at_ms').notNull(),
  },
  (table) => [
    unique('customers_email_password').on(table.email, table.passwordHash),
    /** Finds those who run sales among all customers. */
    index('customers_role').on(table.role, table.id),
    /** Finds whom operators look for by the id of the shop's own system. */
    index('customers_external').on(table.externalId),
  ],
);
