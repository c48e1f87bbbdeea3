/**
 * `kept_answers`: the answers to calls with an Idempotency-Key. Written in the transaction of the call's effect, read when
 * the call is repeated, deleted when its time is over.
 */
import { binary, index, mediumtext, mysqlTable } from 'drizzle-orm/mysql-core';
import { timeMs } from '#platform/mysql/columns.ts';

export const keptAnswers = mysqlTable(
  'kept_answers',
  {
    /** SHA-256 of who called what under which key. */
    callHash: binary('call_hash', { length: 32 }).primaryKey(),
    /** SHA-256 of what was asked for, or an HMAC where that holds a secret. */
    fingerprint: binary('fingerprint', { length: 32 }).notNull(),
    /** The body of the answer, as JSON; text, so that it is given again to the byte. Sealed where it may hold a secret (`platform/security/seal.ts`). */
    answer: mediumtext('answer').notNull(),
    createdAtMs: timeMs('created_at_ms').notNull(),
    /** Until when it is kept; null in a row of an older build, which is kept for a day. */
    expiresAtMs: timeMs('expires_at_ms'),
  },
  (table) => [index('kept_answers_age').on(table.createdAtMs), index('kept_answers_end').on(table.expiresAtMs)],
);
