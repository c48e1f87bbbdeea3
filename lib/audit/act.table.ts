/**
 * `operator_acts`: the audit trail. Written in the transaction of each operator's act, read by operators, never changed or
 * deleted: triggers refuse that to every account (`lib/migrations`).
 */
import { index, mediumtext, mysqlTable, varchar } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

export const operatorActs = mysqlTable(
  'operator_acts',
  {
    /** Made of the time, so that the order of ids is that of the acts. */
    id: id('id').primaryKey(),
    atMs: timeMs('at_ms').notNull(),
    /** Who did it, an account or an API key; null for a command that was run with the database's own password. */
    operatorId: id('operator_id'),
    /** What was done, by the name of the operation in the OpenAPI document, or of the command. */
    act: varchar('act', { length: 128 }).notNull(),
    /** The sale, product, purchase, reservation, customer, API key or run that it concerns; null if it is none of them. */
    subjectId: id('subject_id'),
    /** What was asked for, as JSON: path, query and body. */
    asked: mediumtext('asked').notNull(),
    /** What there was before, and after, as JSON; null where there was nothing. */
    beforeJson: mediumtext('before_json'),
    afterJson: mediumtext('after_json'),
    correlationId: varchar('correlation_id', { length: 64 }),
  },
  (table) => [
    index('operator_acts_operator').on(table.operatorId, table.id),
    index('operator_acts_subject').on(table.subjectId, table.id),
  ],
);
