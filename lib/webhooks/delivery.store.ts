/** The store of deliveries: the only code that writes `webhook_deliveries`. It decides nothing. */
import { fromBytes, toBytes } from '#platform/kernel/ids.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import type { deliveryStates } from './delivery.table.ts';
import type { EndpointId } from './endpoint.store.ts';
import type { MessageId } from './message.store.ts';

export type DeliveryState = (typeof deliveryStates)[number];

/** Which message for which endpoint. */
export interface DeliveryKey {
  readonly endpointId: EndpointId;
  readonly messageId: MessageId;
}

/** A message for an endpoint, its retries, and how the last one went. */
export interface Delivery extends DeliveryKey {
  readonly state: DeliveryState;
  readonly round: number;
  readonly attempts: number;
  readonly firstAttemptAtMs: number | null;
  readonly dueAtMs: number;
  readonly lastAttemptAtMs: number | null;
  readonly lastStatus: number | null;
  readonly lastError: string | null;
  readonly lastTookMs: number | null;
}

const columns = `endpoint_id AS endpointId, message_id AS messageId, state, round, attempts,
  first_attempt_at_ms AS firstAttemptAtMs, due_at_ms AS dueAtMs, last_attempt_at_ms AS lastAttemptAtMs,
  last_status AS lastStatus, last_error AS lastError, last_took_ms AS lastTookMs`;

/** The least id of a message of this time: ids begin with the time of their event. */
export function firstIdAt(ms: number): Buffer {
  const id = Buffer.alloc(16);
  id.writeUIntBE(Math.max(0, ms), 0, 6);
  return id;
}

/** Writes new deliveries that are due now; one that is there already stays as it is. */
export async function insertDeliveries(tx: Tx, keys: readonly DeliveryKey[], nowMs: number): Promise<void> {
  // In the order of the primary key, so that two batches that overlap take their locks in the same order.
  const rows = keys
    .map(({ endpointId, messageId }) => ({ endpointId, messageId, order: `${endpointId}${messageId}` }))
    .sort((one, other) => (one.order < other.order ? -1 : 1))
    .map(({ endpointId, messageId }) => [toBytes(endpointId), toBytes(messageId), 'pending', 0, 0, nowMs]);
  await tx.change(
    `INSERT INTO webhook_deliveries (endpoint_id, message_id, state, round, attempts, due_at_ms) VALUES ?
     ON DUPLICATE KEY UPDATE round = webhook_deliveries.round`,
    [rows],
  );
}

/** A delivery of an endpoint's log. */
export async function findDelivery(sql: Sql, { endpointId, messageId }: DeliveryKey): Promise<Delivery | undefined> {
  const [delivery] = await select(sql, 'WHERE endpoint_id = ? AND message_id = ?', [
    toBytes(endpointId),
    toBytes(messageId),
  ]);
  return delivery;
}

/** An endpoint's log before a message, the newest first; with a state, only what is in it. */
export function listNewestDeliveries(
  sql: Sql,
  endpointId: EndpointId,
  { beforeId, state }: { beforeId: MessageId | undefined; state: DeliveryState | undefined },
  limit: number,
): Promise<Delivery[]> {
  const conditions = ['endpoint_id = ?'];
  const values: unknown[] = [toBytes(endpointId)];
  if (beforeId !== undefined) {
    conditions.push('message_id < ?');
    values.push(toBytes(beforeId));
  }
  if (state !== undefined) {
    conditions.push('state = ?');
    values.push(state);
  }
  const clauses = `WHERE ${conditions.join(' AND ')} ORDER BY message_id DESC LIMIT ?`;
  return select(sql, clauses, [...values, limit]);
}

/**
 * Claims deliveries of an endpoint that are due, the one that has been due longest first: counts the attempt, and is taken
 * to have died at `diesAtMs`. Returns them as they are then.
 */
export async function claimDue(
  tx: Tx,
  endpointId: EndpointId,
  nowMs: number,
  diesAtMs: number,
  limit: number,
): Promise<Delivery[]> {
  const due = await select(
    tx,
    `WHERE endpoint_id = ? AND state = 'pending' AND due_at_ms <= ? ORDER BY due_at_ms, message_id LIMIT ? FOR UPDATE`,
    [toBytes(endpointId), nowMs, limit],
  );
  if (due.length === 0) return [];
  await tx.change(
    `UPDATE webhook_deliveries SET attempts = attempts + 1, due_at_ms = ?,
       first_attempt_at_ms = COALESCE(first_attempt_at_ms, ?) WHERE endpoint_id = ? AND message_id IN (?)`,
    [diesAtMs, nowMs, toBytes(endpointId), due.map(({ messageId }) => toBytes(messageId))],
  );
  return due.map((delivery) => ({
    ...delivery,
    attempts: delivery.attempts + 1,
    firstAttemptAtMs: delivery.firstAttemptAtMs ?? nowMs,
    dueAtMs: diesAtMs,
  }));
}

/** Writes what came of an attempt, unless the delivery was ordered again since it was claimed. */
export async function noteAttempt(tx: Tx, delivery: Delivery): Promise<void> {
  await tx.change(
    `UPDATE webhook_deliveries SET state = ?, attempts = ?, first_attempt_at_ms = ?, due_at_ms = ?, last_attempt_at_ms = ?,
       last_status = ?, last_error = ?, last_took_ms = ? WHERE endpoint_id = ? AND message_id = ? AND round = ?`,
    [
      ...[delivery.state, delivery.attempts, delivery.firstAttemptAtMs, delivery.dueAtMs, delivery.lastAttemptAtMs],
      ...[delivery.lastStatus, delivery.lastError, delivery.lastTookMs],
      ...[toBytes(delivery.endpointId), toBytes(delivery.messageId), delivery.round],
    ],
  );
}

/** Orders deliveries again that are in one of these states: a new round begins at once. Returns how many it are. */
export function orderAgain(
  tx: Tx,
  endpointId: EndpointId,
  messageIds: readonly MessageId[],
  states: readonly DeliveryState[],
  nowMs: number,
): Promise<number> {
  if (messageIds.length === 0) return Promise.resolve(0);
  return tx.change(
    `UPDATE webhook_deliveries SET state = 'pending', round = round + 1, attempts = 0, first_attempt_at_ms = NULL, due_at_ms = ?
     WHERE endpoint_id = ? AND message_id IN (?) AND state IN (?)`,
    [nowMs, toBytes(endpointId), messageIds.map(toBytes), states],
  );
}

/** The messages of an endpoint in the order of their ids, from one id up to but without another. */
export async function listMessageIds(
  sql: Sql,
  endpointId: EndpointId,
  { fromId, afterId, untilId }: { fromId: Buffer; afterId: MessageId | null; untilId: Buffer },
  limit: number,
): Promise<MessageId[]> {
  const rows = await sql.rows<{ messageId: Buffer }>(
    `SELECT message_id AS messageId FROM webhook_deliveries
     WHERE endpoint_id = ? AND message_id ${afterId === null ? '>=' : '>'} ? AND message_id < ? ORDER BY message_id LIMIT ?`,
    [toBytes(endpointId), afterId === null ? fromId : toBytes(afterId), untilId, limit],
  );
  return rows.map(({ messageId }) => fromBytes(messageId));
}

/** When the next delivery of an endpoint is due; undefined if none is pending. */
export async function nextDueAt(sql: Sql, endpointId: EndpointId): Promise<number | undefined> {
  const [row] = await sql.rows<{ dueAtMs: number }>(
    `SELECT due_at_ms AS dueAtMs FROM webhook_deliveries WHERE endpoint_id = ? AND state = 'pending'
     ORDER BY due_at_ms LIMIT 1`,
    [toBytes(endpointId)],
  );
  return row?.dueAtMs;
}

/** Deletes an endpoint's deliveries of messages before this id, at most `limit` of them; returns how many. */
export function deleteDeliveriesBefore(
  sql: Sql,
  endpointId: EndpointId,
  beforeId: Buffer,
  limit: number,
): Promise<number> {
  return sql.change(
    'DELETE FROM webhook_deliveries WHERE endpoint_id = ? AND message_id < ? ORDER BY message_id LIMIT ?',
    [toBytes(endpointId), beforeId, limit],
  );
}

async function select(sql: Sql, clauses: string, values: unknown[]): Promise<Delivery[]> {
  type Row = Omit<Delivery, keyof DeliveryKey> & { readonly endpointId: Buffer; readonly messageId: Buffer };
  const rows = await sql.rows<Row>(`SELECT ${columns} FROM webhook_deliveries ${clauses}`, values);
  return rows.map(({ endpointId, messageId, ...row }) => ({
    ...row,
    endpointId: fromBytes(endpointId),
    messageId: fromBytes(messageId),
  }));
}
