/** `webhook_deliveries`: a message for an endpoint, its retries, and how the last one went. Written by `delivery.store.ts`. */
import { index, int, mysqlEnum, mysqlTable, primaryKey, smallint, varchar } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

/** `failed`: it was given up after three days; it can be ordered again. */
export const deliveryStates = ['pending', 'delivered', 'failed'] as const;

export const webhookDeliveries = mysqlTable(
  'webhook_deliveries',
  {
    endpointId: id('endpoint_id').notNull(),
    messageId: id('message_id').notNull(),
    state: mysqlEnum('state', deliveryStates).notNull(),
    /** How often it was ordered again: what an attempt of an earlier round learns changes nothing. */
    round: int('round').notNull(),
    /** Attempts of this round, the one under way included. */
    attempts: int('attempts').notNull(),
    /** When the first of them was made; null before that. */
    firstAttemptAtMs: timeMs('first_attempt_at_ms'),
    /** When it is due; while an attempt is under way, when that is taken to have died. */
    dueAtMs: timeMs('due_at_ms').notNull(),
    lastAttemptAtMs: timeMs('last_attempt_at_ms'),
    /** The answer's status; null if there was none. */
    lastStatus: smallint('last_status'),
    /** Why it was not taken; null if it was. */
    lastError: varchar('last_error', { length: 64 }),
    lastTookMs: int('last_took_ms'),
  },
  (table) => [
    primaryKey({ columns: [table.endpointId, table.messageId] }),
    index('webhook_deliveries_due').on(table.endpointId, table.state, table.dueAtMs),
    index('webhook_deliveries_log').on(table.endpointId, table.state, table.messageId),
  ],
);
