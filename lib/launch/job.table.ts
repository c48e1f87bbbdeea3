/**
 * `sale_jobs`: what goes over all reservations of a sale in steps, and how far it has come: announcements, and the end of a
 * sale that is over. A sale whose reservations fit into one step has no rows here. Written by `job.store.ts`.
 */
import { bigint, boolean, index, int, mysqlEnum, mysqlTable, primaryKey } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

/** What is announced to those who hold or await units, in the order in which announcements of one version are told. */
export const announcements = ['rescheduled', 'paused', 'resumed', 'purchase-opened', 'closing-soon'] as const;
/** New kinds come last: the values of a column can be added to without writing its table anew. */
export const jobKinds = [...announcements, 'ending', 'moved-up'] as const;

export const saleJobs = mysqlTable(
  'sale_jobs',
  {
    saleId: id('sale_id').notNull(),
    /** The version that the sale got with an announcement; 0 for the end, of which a sale has one. */
    round: bigint('round', { mode: 'number' }).notNull(),
    kind: mysqlEnum('kind', jobKinds).notNull(),
    startedAtMs: timeMs('started_at_ms').notNull(),
    /** The last reservation that it has seen: by id, or for `moved-up` in the order of the line. */
    afterId: id('after_id'),
    /** How many reservations it has told, or ended. */
    handled: int('handled').notNull(),
    /** When its last step was made. */
    steppedAtMs: timeMs('stepped_at_ms').notNull(),
    /** When it had seen every reservation, or was superseded; null until then. */
    finishedAtMs: timeMs('finished_at_ms'),
    /** Whether a newer announcement has taken its place for those whom it had not told yet. */
    superseded: boolean('superseded').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.saleId, table.round, table.kind] }),
    index('sale_jobs_open').on(table.finishedAtMs, table.steppedAtMs),
  ],
);
