/**
 * Reading notifications, newest first, and marking them read. The owner is in every WHERE (invariant I10).
 */
import * as z from 'zod';
import { type Page, readCursor, toPage } from '#platform/handlers/pagination.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal, type Refusal } from '#platform/kernel/errors.ts';
import { fromBytes, toBytes } from '#platform/kernel/ids.ts';
import { Id } from '#platform/kernel/shapes.ts';
import type { Sql } from '#platform/mysql/mysql.ts';
import type { NoticeKind } from './notice.ts';
import type { Notification } from './notification.shapes.ts';
import { sentenceFor } from './sentence.ts';

const listName = 'notifications';
const Position = z.tuple([Id]);

interface Row {
  id: Buffer;
  subject_id: Buffer;
  version: number;
  kind: NoticeKind;
  /** MySQL answers an object, MariaDB the text of one. */
  facts: string | Record<string, unknown>;
  created_at_ms: number;
  read_at_ms: number | null;
}

/** A page of the customer's notifications, and how many are unread in all. Refuses a cursor that is not its own. */
export async function listNotifications(
  sql: Sql,
  customerId: string,
  query: { limit: number; cursor?: string | undefined; unread?: 'true' | 'false' | undefined },
): Promise<(Page<Notification> & { unread: number }) | Refusal> {
  const after = readCursor(listName, query.cursor, Position);
  if (isRefusal(after)) return after;
  const conditions = ['customer_id = ?'];
  const values: unknown[] = [toBytes(customerId)];
  if (after) {
    conditions.push('id < ?');
    values.push(toBytes(after[0]));
  }
  if (query.unread) conditions.push(query.unread === 'true' ? 'read_at_ms IS NULL' : 'read_at_ms IS NOT NULL');
  const [rows, unread] = await Promise.all([
    sql.rows<Row>(
      `SELECT id, subject_id, version, kind, facts, created_at_ms, read_at_ms FROM notifications
       WHERE ${conditions.join(' AND ')} ORDER BY id DESC LIMIT ?`,
      [...values, query.limit + 1],
    ),
    countUnread(sql, customerId),
  ]);
  return { ...toPage(listName, rows, query.limit, ({ id }) => [fromBytes(id)], toNotification), unread };
}

/** Marks the customer's notifications as read; returns how many of them were unread. */
export async function readNotifications(
  sql: Sql,
  customerId: string,
  notificationIds: string[] | 'all',
  nowMs: number,
): Promise<{ read: number }> {
  const named = notificationIds === 'all' ? [] : [notificationIds.map(toBytes)];
  const read = await sql.change(
    `UPDATE notifications SET read_at_ms = ?
     WHERE customer_id = ? AND read_at_ms IS NULL ${named.length > 0 ? 'AND id IN (?)' : ''}`,
    [nowMs, toBytes(customerId), ...named],
  );
  return { read };
}

async function countUnread(sql: Sql, customerId: string): Promise<number> {
  const [row] = await sql.rows<{ unread: number }>(
    'SELECT COUNT(*) AS unread FROM notifications WHERE customer_id = ? AND read_at_ms IS NULL',
    [toBytes(customerId)],
  );
  return row?.unread ?? 0;
}

function toNotification(row: Row): Notification {
  const facts = typeof row.facts === 'string' ? (JSON.parse(row.facts) as Record<string, unknown>) : row.facts;
  return {
    notificationId: fromBytes(row.id),
    kind: row.kind,
    subjectId: fromBytes(row.subject_id),
    version: row.version,
    facts,
    text: sentenceFor(row.kind, facts),
    createdAt: toIso(row.created_at_ms),
    readAt: row.read_at_ms === null ? null : toIso(row.read_at_ms),
  };
}
