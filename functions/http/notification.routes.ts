/** The routes of notifications: what a customer was told, and what of it was read. */
import * as z from 'zod';
import {
  NotificationPage,
  NotificationQuery,
  ReadCount,
  ReadNotifications,
} from '#notification/notification.shapes.ts';
import { UnsubscribeQuery } from '#notification/unsubscribe.ts';
import { defineRoute } from '#platform/handlers/route.ts';

export const listNotificationsRoute = defineRoute({
  method: 'GET',
  path: '/notifications',
  summary: 'What happened to your reservations and purchases, newest first',
  tag: 'Notifications',
  auth: 'customer',
  scope: 'customers:act',
  query: NotificationQuery,
  status: 200,
  reply: NotificationPage,
  refusals: ['unprocessable'],
});

export const readNotificationsRoute = defineRoute({
  method: 'POST',
  path: '/notifications/read',
  summary: 'Mark notifications as read',
  repeated: 'Repeating it without a key changes nothing; it then counts none that were unread.',
  tag: 'Notifications',
  auth: 'customer',
  idempotent: 'optional',
  scope: 'customers:act',
  body: ReadNotifications,
  example: { notificationIds: 'all' },
  status: 200,
  reply: ReadCount,
  refusals: ['unprocessable'],
});

const html = 'text/html; charset=utf-8';

export const getUnsubscribeRoute = defineRoute({
  method: 'GET',
  path: '/unsubscribe',
  summary:
    'The page behind the link of a reminder by mail, on which one says that one wants no more; it changes nothing',
  tag: 'Notifications',
  auth: 'none',
  query: UnsubscribeQuery,
  status: 200,
  reply: z.string(),
  replyType: html,
  refusals: ['invalid_input', 'not_found', 'too_many_requests'],
});

export const unsubscribeRoute = defineRoute({
  method: 'POST',
  path: '/unsubscribe',
  summary: 'Want no more reminders by mail, as mail programs say it (RFC 8058); `PATCH /me` wants them again',
  repeated: 'Repeated it changes nothing.',
  tag: 'Notifications',
  auth: 'none',
  query: UnsubscribeQuery,
  status: 200,
  reply: z.string(),
  replyType: html,
  refusals: ['invalid_input', 'not_found', 'too_many_requests'],
});
