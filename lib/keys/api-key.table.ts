/**
 * `api_keys`: the keys with which programs call. Written by `api-key.store.ts`. A row stays when its key is revoked or has expired:
 * the audit trail names it.
 */
import { binary, mysqlTable, varchar } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

export const apiKeys = mysqlTable('api_keys', {
  id: id('id').primaryKey(),
  name: varchar('name', { length: 100 }).notNull(),
  /** What it may do, separated by commas. */
  scopes: varchar('scopes', { length: 500 }).notNull(),
  /** SHA-256 of the secret. */
  secretHash: binary('secret_hash', { length: 32 }).notNull(),
  /** The same of the secret before, and until when that is valid too; null if there is none. */
  previousHash: binary('previous_hash', { length: 32 }),
  previousUntilMs: timeMs('previous_until_ms'),
  expiresAtMs: timeMs('expires_at_ms').notNull(),
  revokedAtMs: timeMs('revoked_at_ms'),
  /** Written at most once a minute; null until it is used. */
  lastUsedAtMs: timeMs('last_used_at_ms'),
  /** The admin who made it. */
  createdBy: id('created_by').notNull(),
  createdAtMs: timeMs('created_at_ms').notNull(),
});
