/**
 * `kept_answers`: the answers to calls with an Idempotency-Key. Written in the transaction of the call's effect, read when
 * the call is repeated, deleted after a day.
 */
import { binary, index, mediumtext, mysqlTable } from 'drizzle-orm/mysql-core';
import { timeMs } from '#platform/mysql/columns.ts';

export const keptAnswers = mysqlTable(
  'kept_answers',
  {
    /** SHA-256 of who called what under which key. */
    callHash: binary('call_hash', { length: 32 }).primaryKey(),
    /** SHA-256 of what was asked for. */
    fingerprint: binary('fingerprint', { length: 32 }).notNull(),
    /** The body of the answer, as JSON; text, so that it is given again to the byte. */
    answer: mediumtext('answer').notNull(),
    createdAtMs: timeMs('created_at_ms').notNull(),
  },
  (table) => [index('kept_answers_age').on(table.createdAtMs)],
);
