/**
 * `customer_codes`: the code that was last mailed to an account for each purpose. Written by `code.store.ts`. A code that was used
 * stays as a row, so that a mail which is sent once more makes it good for nothing again.
 */
import { binary, mysqlEnum, mysqlTable, primaryKey, unique } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

/** `contact`: to show that the address is one's own. `password`: to set a new password. */
export const codePurposes = ['contact', 'password'] as const;

export const customerCodes = mysqlTable(
  'customer_codes',
  {
    customerId: id('customer_id').notNull(),
    purpose: mysqlEnum('purpose', codePurposes).notNull(),
    /** SHA-256 of the code. */
    codeHash: binary('code_hash', { length: 32 }).notNull(),
    issuedAtMs: timeMs('issued_at_ms').notNull(),
    usedAtMs: timeMs('used_at_ms'),
  },
  (table) => [
    primaryKey({ columns: [table.customerId, table.purpose] }),
    unique('customer_codes_hash').on(table.codeHash),
  ],
);
