/**
 * Reading notifications, newest first, and marking them read. The owner is in every WHERE (invariant I10).
 */

import * as z from 'zod';
import type { Needs } from '#platform/environment/deps.ts';
import { type Page, readCursor, toPage } from '#platform/handlers/pagination.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal, type Refusal } from '#platform/kernel/errors.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import { Id } from '#platform/kernel/shapes.ts';
import type { Notification } from './notification.shapes.ts';
import { countUnread, listNewestNotices, markRead, type StoredNotice } from './notification.store.ts';
import { sentenceFor } from './sentence.ts';

const listName = 'notifications';
const Position = z.tuple([Id]);

/** A page of the customer's notifications, and the total number unread. Refuses a cursor of another list. */
export async function listNotifications(
  { db }: Needs<'db'>,
  customerId: CustomerId,
  query: { limit: number; cursor?: string | undefined; unread?: 'true' | 'false' | undefined },
): Promise<(Page<Notification> & { unread: number }) | Refusal> {
  const before = readCursor(listName, query.cursor, Position);
  if (isRefusal(before)) return before;
  const filter = { beforeId: before?.[0], unread: query.unread === undefined ? undefined : query.unread === 'true' };
  const [notices, unread] = await Promise.all([
    listNewestNotices(db, customerId, filter, query.limit + 1),
    countUnread(db, customerId),
  ]);
  return { ...toPage(listName, notices, query.limit, ({ id }) => [id], toNotification), unread };
}

/** Marks the customer's notifications as read; returns how many of them were unread. */
export async function readNotifications(
  { db, clock }: Needs<'db' | 'clock'>,
  customerId: CustomerId,
  notificationIds: string[] | 'all',
): Promise<{ read: number }> {
  return { read: await markRead(db, customerId, notificationIds, clock()) };
}

function toNotification({ id, kind, subjectId, version, facts, createdAtMs, readAtMs }: StoredNotice): Notification {
  return {
    ...{ notificationId: id, kind, subjectId, version, facts },
    text: sentenceFor(kind, facts),
    createdAt: toIso(createdAtMs),
    readAt: readAtMs === null ? null : toIso(readAtMs),
  };
}
