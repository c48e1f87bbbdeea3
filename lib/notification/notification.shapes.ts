/**
 * The shapes of notifications in the API, and of what a client may say over the WebSocket.
 */

import * as z from 'zod';
import { PageQuery, pageOf } from '#platform/handlers/pagination.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { Id, idOf, Time, TimeZone } from '#platform/kernel/shapes.ts';
import { noticeKinds } from './notice.ts';

export const Notification = z
  .object({
    notificationId: Id,
    kind: z.enum(noticeKinds),
    subjectId: Id.describe('The reservation or purchase that it is about'),
    version: z.int().describe('The version of the subject; what has a lower one than something shown is out of date'),
    facts: z.record(z.string(), z.unknown()).describe('What happened, for programs; times are in ISO 8601'),
    text: z
      .string()
      .describe(
        'What happened, for people: in the language of Accept-Language if it is English or Korean, or else in that of the account',
      ),
    createdAt: Time,
    readAt: Time.nullable(),
  })
  .meta({ id: 'Notification' });
export type Notification = z.infer<typeof Notification>;

export const NotificationQuery = PageQuery.extend({
  timeZone: TimeZone.optional().describe(
    'Where the reader is, for times in texts; as in the account unless given, or UTC',
  ),
  unread: z.enum(['true', 'false']).optional().describe('Only those that are unread, or only those that are read'),
});

export const NotificationPage = pageOf(Notification)
  .extend({ unread: z.int().describe('How many are unread in total, on this page or not') })
  .meta({ id: 'NotificationPage' });

export const ReadNotifications = z
  .strictObject({
    notificationIds: z
      .union([z.array(Id).min(1).max(100), z.literal('all')])
      .describe('Which have been read, or "all" of them'),
  })
  .meta({ id: 'ReadNotifications' });

export const ReadCount = z
  .object({ read: z.int().describe('How many were unread until now') })
  .meta({ id: 'ReadCount' });

/** What a client may send over the WebSocket. */
export const ClientMessage = z.discriminatedUnion('action', [
  z.strictObject({ action: z.enum(['watch', 'unwatch']), saleId: idOf<SaleId>() }),
  z.strictObject({ action: z.literal('authenticate'), token: z.string().max(4_000) }),
  z.strictObject({ action: z.literal('ping'), token: z.string().max(4_000).optional() }),
]);
export type ClientMessage = z.infer<typeof ClientMessage>;
