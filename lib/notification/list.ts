/**
 * Reading notifications, newest first, and marking them read. The owner is in every WHERE (invariant I10).
 */

import * as z from 'zod';
import { eachTime, type Once } from '#idempotency/once.ts';
import { findProfiles } from '#identity/customer.store.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { type Page, readCursor, toPage } from '#platform/handlers/pagination.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal, type Refusal } from '#platform/kernel/errors.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import { localeFrom, type Reader, readerOf } from '#platform/kernel/reader.ts';
import { Id } from '#platform/kernel/shapes.ts';
import type { Notification, NotificationQuery } from './notification.shapes.ts';
import { countUnread, listNewestNotices, markRead, type StoredNotice } from './notification.store.ts';
import { sentenceFor } from './sentence.ts';

const listName = 'notifications';
const Position = z.tuple([Id]);

/**
 * A page of the customer's notifications, and how many are unread in all, in the language and the time zone in which they
 * are asked for, or else those of the customer's account. Refuses a cursor that is not its own.
 */
export async function listNotifications(
  { db }: Needs<'db'>,
  customerId: CustomerId,
  query: z.output<typeof NotificationQuery>,
  acceptLanguage: string | undefined,
): Promise<(Page<Notification> & { unread: number }) | Refusal> {
  const before = readCursor(listName, query.cursor, Position);
  if (isRefusal(before)) return before;
  const filter = { beforeId: before?.[0], unread: query.unread === undefined ? undefined : query.unread === 'true' };
  const [notices, unread, profiles] = await Promise.all([
    listNewestNotices(db, customerId, filter, query.limit + 1),
    countUnread(db, customerId),
    findProfiles(db, [customerId]),
  ]);
  const { locale, timeZone } = profiles.get(customerId) ?? {};
  const reader = readerOf({ locale: localeFrom(acceptLanguage) ?? locale, timeZone: query.timeZone ?? timeZone });
  return {
    ...toPage(
      listName,
      notices,
      query.limit,
      ({ id }) => [id],
      (one) => toNotification(one, reader),
    ),
    unread,
  };
}

/** Marks the customer's notifications as read; returns how many of them were unread. */
export function readNotifications(
  { db, clock }: Needs<'db' | 'clock'>,
  customerId: CustomerId,
  notificationIds: string[] | 'all',
  once: Once = eachTime,
): Promise<{ read: number } | Refusal> {
  return once((keep) =>
    db.transaction(async (tx) => keep(tx, { read: await markRead(tx, customerId, notificationIds, clock()) })),
  );
}

function toNotification(
  { id, kind, subjectId, version, facts, createdAtMs, readAtMs }: StoredNotice,
  reader: Reader,
): Notification {
  return {
    ...{ notificationId: id, kind, subjectId, version, facts },
    text: sentenceFor(kind, facts, reader),
    createdAt: toIso(createdAtMs),
    readAt: readAtMs === null ? null : toIso(readAtMs),
  };
}
