/**
 * `person_keys`: what tells one person from another, and the account that has it: an address that was shown to be its owner's, or
 * an external id. Written by `person-key.store.ts`. A row stays when its account is deleted: the address is free again, and it is
 * known that an account has had it.
 */
import { binary, index, mysqlEnum, mysqlTable } from 'drizzle-orm/mysql-core';
import { id } from '#platform/mysql/columns.ts';

export const personKeyKinds = ['contact', 'external'] as const;

export const personKeys = mysqlTable(
  'person_keys',
  {
    /** A keyed hash: it names no person by itself. */
    keyHash: binary('key_hash', { length: 32 }).primaryKey(),
    kind: mysqlEnum('kind', personKeyKinds).notNull(),
    /** Null if it is free again. */
    customerId: id('customer_id'),
  },
  (table) => [index('person_keys_customer').on(table.customerId)],
);
