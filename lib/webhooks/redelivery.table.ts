/** `webhook_redeliveries`: jobs that order the messages of some time again, and how far each has come. Written by `redelivery.store.ts`. */
import { index, int, mysqlEnum, mysqlTable } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

/** Those that were given up, or also those that the endpoint has taken. */
export const redeliveryScopes = ['failed', 'all'] as const;

export const webhookRedeliveries = mysqlTable(
  'webhook_redeliveries',
  {
    id: id('id').primaryKey(),
    endpointId: id('endpoint_id').notNull(),
    scope: mysqlEnum('scope', redeliveryScopes).notNull(),
    /** Messages of events from this time on, up to but without the other. */
    sinceMs: timeMs('since_ms').notNull(),
    untilMs: timeMs('until_ms').notNull(),
    /** The last message that it has seen. */
    afterId: id('after_id'),
    /** How many it has ordered again. */
    ordered: int('ordered').notNull(),
    startedAtMs: timeMs('started_at_ms').notNull(),
    /** When its last step was made. */
    steppedAtMs: timeMs('stepped_at_ms').notNull(),
    finishedAtMs: timeMs('finished_at_ms'),
  },
  (table) => [index('webhook_redeliveries_open').on(table.finishedAtMs, table.steppedAtMs)],
);
