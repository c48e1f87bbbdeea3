/** `webhook_endpoints`: where webhooks go, which, and how the endpoint is doing. Written by `endpoint.store.ts`. */
import { int, mysqlEnum, mysqlTable, varchar } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

/**
 * `paused` by an operator, `switched_off` after days of failure or because the endpoint says that it is gone: what happens
 * meanwhile waits. One that is `deleted` is there until its log is.
 */
export const endpointStates = ['active', 'paused', 'switched_off', 'deleted'] as const;

export const webhookEndpoints = mysqlTable('webhook_endpoints', {
  id: id('id').primaryKey(),
  url: varchar('url', { length: 2_000 }).notNull(),
  description: varchar('description', { length: 200 }).notNull(),
  /** The types of events that it gets, separated by commas. */
  events: varchar('events', { length: 500 }).notNull(),
  state: mysqlEnum('state', endpointStates).notNull(),
  /** Which secret it has: the secret itself follows from this number, the id and a key of ours, and is not stored. */
  secretNumber: int('secret_number').notNull(),
  /** Until when messages are signed with the secret before it as well. */
  overlapUntilMs: timeMs('overlap_until_ms').notNull(),
  /** Since when every attempt has failed; null if the last one was taken, or there was none. */
  failingSinceMs: timeMs('failing_since_ms'),
  switchedOffAtMs: timeMs('switched_off_at_ms'),
  /** Until when one worker alone delivers to it. */
  turnUntilMs: timeMs('turn_until_ms').notNull(),
  /** When a message that was sent for its next retry arrives, so that there is one at a time. */
  wakeAtMs: timeMs('wake_at_ms').notNull(),
  createdAtMs: timeMs('created_at_ms').notNull(),
  updatedAtMs: timeMs('updated_at_ms').notNull(),
});
