/**
 * The store of notifications: the only code that writes `notifications`.
 *
 * Invariant I5: the unique key (subject, version, kind, round) is the inbox, so an event delivered again is told once.
 */
import { type CustomerId, fromBytes, toBytes } from '#platform/kernel/ids.ts';
import type { Db, Sql } from '#platform/mysql/mysql.ts';
import type { Notice, NoticeKind } from './notice.ts';

/** A notice as it is stored. */
export interface StoredNotice extends Omit<Notice, 'customerId' | 'round'> {
  readonly readAtMs: number | null;
}

interface Row {
  readonly id: Buffer;
  readonly subjectId: Buffer;
  readonly version: number;
  readonly kind: NoticeKind;
  /** MySQL returns an object, MariaDB its JSON text. */
  readonly facts: string | Record<string, unknown>;
  readonly createdAtMs: number;
  readonly readAtMs: number | null;
}

/** Notifications of this customer older than `beforeId`, newest first; with `unread`, only unread or only read ones. */
export async function listNewestNotices(
  sql: Sql,
  customerId: CustomerId,
  { beforeId, unread }: { beforeId: string | undefined; unread: boolean | undefined },
  limit: number,
): Promise<StoredNotice[]> {
  const conditions = ['customer_id = ?'];
  const values: unknown[] = [toBytes(customerId)];
  if (beforeId !== undefined) {
    conditions.push('id < ?');
    values.push(toBytes(beforeId));
  }
  if (unread !== undefined) conditions.push(unread ? 'read_at_ms IS NULL' : 'read_at_ms IS NOT NULL');
  const rows = await sql.rows<Row>(
    `SELECT id, subject_id AS subjectId, version, kind, facts, created_at_ms AS createdAtMs, read_at_ms AS readAtMs
     FROM notifications WHERE ${conditions.join(' AND ')} ORDER BY id DESC LIMIT ?`,
    [...values, limit],
  );
  return rows.map(({ id, subjectId, facts, ...row }) => ({
    ...row,
    id: fromBytes(id),
    subjectId: fromBytes(subjectId),
    facts: typeof facts === 'string' ? (JSON.parse(facts) as Record<string, unknown>) : facts,
  }));
}

/** How many notifications of this customer are unread. */
export async function countUnread(sql: Sql, customerId: CustomerId): Promise<number> {
  const [row] = await sql.rows<{ unread: number }>(
    'SELECT COUNT(*) AS unread FROM notifications WHERE customer_id = ? AND read_at_ms IS NULL',
    [toBytes(customerId)],
  );
  return row?.unread ?? 0;
}

/** Marks notifications of this customer as read, those named or all; returns how many of them were unread. */
export function markRead(
  sql: Sql,
  customerId: CustomerId,
  notificationIds: readonly string[] | 'all',
  nowMs: number,
): Promise<number> {
  const named = notificationIds === 'all' ? [] : [notificationIds.map(toBytes)];
  return sql.change(
    `UPDATE notifications SET read_at_ms = ?
     WHERE customer_id = ? AND read_at_ms IS NULL ${named.length > 0 ? 'AND id IN (?)' : ''}`,
    [nowMs, toBytes(customerId), ...named],
  );
}

/** Stores notices, each once; an existing one is left unchanged. */
export async function storeNotices(db: Db, notices: readonly Notice[]): Promise<void> {
  if (notices.length === 0) return;
  // In the order of the unique key, so that two batches that overlap take their locks in the same order.
  const rows = notices
    .map((one) => ({ ...one, order: `${one.subjectId}:${one.version}:${one.kind}:${one.round}` }))
    .sort((one, other) => (one.order < other.order ? -1 : 1))
    .map((one) => [
      toBytes(one.id),
      toBytes(one.customerId),
      toBytes(one.subjectId),
      one.version,
      one.kind,
      one.round,
      JSON.stringify(one.facts),
      one.createdAtMs,
    ]);
  // Not INSERT IGNORE, which would also hide errors other than a duplicate key.
  await db.transaction((tx) =>
    tx.change(
      `INSERT INTO notifications (id, customer_id, subject_id, version, kind, round, facts, created_at_ms) VALUES ?
       ON DUPLICATE KEY UPDATE version = notifications.version`,
      [rows],
    ),
  );
}
