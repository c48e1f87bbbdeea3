/**
 * `refresh_tokens`: one row per refresh token ever issued. Written by sign-in and refresh; a row whose token was used is
 * kept until it expires, because seeing it again after the leeway means that it was stolen, and then its whole family is
 * revoked (RFC 9700, section 4.14). Only a hash is stored.
 */
import { binary, index, mysqlTable } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

export const refreshTokens = mysqlTable(
  'refresh_tokens',
  {
    /** SHA-256 of the token. */
    tokenHash: binary('token_hash', { length: 32 }).primaryKey(),
    /** All tokens that descend from one sign-in. */
    familyId: id('family_id').notNull(),
    customerId: id('customer_id').notNull(),
    expiresAtMs: timeMs('expires_at_ms').notNull(),
    usedAtMs: timeMs('used_at_ms'),
    /** The salt from which, with the token itself, its successor is derived; null until used. */
    successorSalt: binary('successor_salt', { length: 32 }),
    revokedAtMs: timeMs('revoked_at_ms'),
  },
  (table) => [
    index('refresh_tokens_family').on(table.familyId),
    index('refresh_tokens_expiry').on(table.expiresAtMs),
    /** Finds all sessions of a customer. */
    index('refresh_tokens_customer').on(table.customerId, table.familyId),
  ],
);
