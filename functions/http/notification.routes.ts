/** The routes of notifications: what a customer was told, and what of it was read. */
import {
  NotificationPage,
  NotificationQuery,
  ReadCount,
  ReadNotifications,
} from '#notification/notification.shapes.ts';
import { defineRoute } from '#platform/handlers/route.ts';

export const listNotificationsRoute = defineRoute({
  method: 'GET',
  path: '/notifications',
  summary: 'What happened to your reservations and purchases, newest first',
  tag: 'Notifications',
  auth: 'customer',
  query: NotificationQuery,
  status: 200,
  reply: NotificationPage,
  refusals: ['unprocessable'],
});

export const readNotificationsRoute = defineRoute({
  method: 'POST',
  path: '/notifications/read',
  summary: 'Mark notifications as read',
  repeated: 'Repeating it changes nothing; it then counts none that were unread.',
  tag: 'Notifications',
  auth: 'customer',
  body: ReadNotifications,
  example: { notificationIds: 'all' },
  status: 200,
  reply: ReadCount,
  refusals: ['unprocessable'],
});
