/**
 * `reconciliations`: a run of reconcile, how far it has come, and what it found. Written by `reconciliation.store.ts`.
 */
import { boolean, index, int, mediumtext, mysqlEnum, mysqlTable } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

export const reconciliationStates = ['running', 'done'] as const;

export const reconciliations = mysqlTable(
  'reconciliations',
  {
    id: id('id').primaryKey(),
    /** The sale that is reconciled; null for all. */
    saleId: id('sale_id'),
    /** Whether MySQL was restored from a backup, so that Redis may hold data that MySQL no longer has. */
    restored: boolean('restored').notNull(),
    state: mysqlEnum('state', reconciliationStates).notNull(),
    /** How many steps have been made; a command uses it to tell whether another worker was faster. */
    steps: int('steps').notNull(),
    /** JSON: where the next step begins. */
    progress: mediumtext('progress').notNull(),
    /** Sales, and reservations, that have been looked at. */
    sales: int('sales').notNull(),
    reservations: int('reservations').notNull(),
    driftsFound: int('drifts_found').notNull(),
    driftsRepaired: int('drifts_repaired').notNull(),
    /** JSON: the first drifts, a bounded number of them. */
    drifts: mediumtext('drifts').notNull(),
    /** Sales whose books could not be added up, because they were too large and kept changing. */
    booksUnchecked: int('books_unchecked').notNull(),
    startedAtMs: timeMs('started_at_ms').notNull(),
    /** When the latest step was made. */
    movedAtMs: timeMs('moved_at_ms').notNull(),
    finishedAtMs: timeMs('finished_at_ms'),
  },
  (table) => [index('reconciliations_state').on(table.state, table.movedAtMs)],
);
