/**
 * `webhook_messages`: what endpoints are told, once for all of them, to the byte, since it is signed. The key is derived
 * from the event and begins with its time, so that an event that comes twice is one message. Written by `message.store.ts`.
 */
import { mediumtext, mysqlTable, varchar } from 'drizzle-orm/mysql-core';
import { id } from '#platform/mysql/columns.ts';

export const webhookMessages = mysqlTable('webhook_messages', {
  /** Sent as `webhook-id`. */
  id: id('id').primaryKey(),
  type: varchar('type', { length: 64 }).notNull(),
  /** JSON. */
  body: mediumtext('body').notNull(),
});
