/**
 * `issuer_keys`: the public keys with which other issuers sign their tokens, as they were read last. Written by
 * `issuer-keys.store.ts`.
 */
import { mysqlTable, text, varchar } from 'drizzle-orm/mysql-core';
import { timeMs } from '#platform/mysql/columns.ts';

export const issuerKeys = mysqlTable('issuer_keys', {
  issuer: varchar('issuer', { length: 255 }).primaryKey(),
  /** A set of JWKs, with nothing in it but public keys for signatures. */
  signingKeys: text('signing_keys').notNull(),
  readAtMs: timeMs('read_at_ms').notNull(),
});
