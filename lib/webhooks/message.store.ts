/** The store of messages: the only code that writes `webhook_messages`. */
import { fromBytes, type Id, toBytes } from '#platform/kernel/ids.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';

export type MessageId = Id<'webhook message'>;

/** What endpoints are told. */
export interface WebhookMessage {
  readonly messageId: MessageId;
  readonly type: string;
  /** JSON, as it is signed and sent. */
  readonly body: string;
}

/** Writes messages, each once. */
export async function insertMessages(tx: Tx, messages: readonly WebhookMessage[]): Promise<void> {
  const rows = messages.map(({ messageId, type, body }) => [toBytes(messageId), type, body]);
  await tx.change(
    'INSERT INTO webhook_messages (id, type, body) VALUES ? ON DUPLICATE KEY UPDATE type = webhook_messages.type',
    [rows],
  );
}

/** Messages by their ids; those that are too old are missing. */
export async function readMessages(sql: Sql, ids: readonly MessageId[]): Promise<Map<MessageId, WebhookMessage>> {
  if (ids.length === 0) return new Map();
  const rows = await sql.rows<{ id: Buffer; type: string; body: string }>(
    'SELECT id, type, body FROM webhook_messages WHERE id IN (?)',
    [ids.map(toBytes)],
  );
  return new Map(
    rows.map(({ id, type, body }) => {
      const messageId: MessageId = fromBytes(id);
      return [messageId, { messageId, type, body }];
    }),
  );
}

/** Deletes messages whose ids lie before this one, at most `limit` of them; returns how many. */
export function deleteMessagesBefore(sql: Sql, id: Buffer, limit: number): Promise<number> {
  return sql.change('DELETE FROM webhook_messages WHERE id < ? ORDER BY id LIMIT ?', [id, limit]);
}
