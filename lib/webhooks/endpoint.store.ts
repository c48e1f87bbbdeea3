/** The store of endpoints: the only code that writes `webhook_endpoints`. It decides nothing. */
import type { EventName } from '#events/catalog.ts';
import { fromBytes, type Id, toBytes } from '#platform/kernel/ids.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import type { endpointStates } from './endpoint.table.ts';

export type EndpointId = Id<'webhook endpoint'>;
export type EndpointState = (typeof endpointStates)[number];

/** Where webhooks go, and how the endpoint is doing. */
export interface Endpoint {
  readonly endpointId: EndpointId;
  readonly url: string;
  readonly description: string;
  readonly events: readonly EventName[];
  readonly state: EndpointState;
  readonly secretNumber: number;
  readonly overlapUntilMs: number;
  readonly failingSinceMs: number | null;
  readonly switchedOffAtMs: number | null;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

const columns = `id, url, description, events, state, secret_number AS secretNumber, overlap_until_ms AS overlapUntilMs,
  failing_since_ms AS failingSinceMs, switched_off_at_ms AS switchedOffAtMs, created_at_ms AS createdAtMs,
  updated_at_ms AS updatedAtMs`;

/** All endpoints that are not deleted, the newest first. There are few. */
export function listEndpoints(sql: Sql): Promise<Endpoint[]> {
  return select(sql, `WHERE state <> 'deleted' ORDER BY id DESC`, []);
}

/** An endpoint that is not deleted. */
export async function findEndpoint(sql: Sql, id: EndpointId): Promise<Endpoint | undefined> {
  const [endpoint] = await select(sql, `WHERE id = ? AND state <> 'deleted'`, [toBytes(id)]);
  return endpoint;
}

/** The same, with the row locked until the transaction ends. */
export async function lockEndpoint(tx: Tx, id: EndpointId): Promise<Endpoint | undefined> {
  const [endpoint] = await select(tx, `WHERE id = ? AND state <> 'deleted' FOR UPDATE`, [toBytes(id)]);
  return endpoint;
}

/** Endpoints that are deleted and whose log is not gone yet. */
export function listDeletedEndpoints(sql: Sql, limit: number): Promise<Endpoint[]> {
  return select(sql, `WHERE state = 'deleted' ORDER BY id LIMIT ?`, [limit]);
}

async function select(sql: Sql, clauses: string, values: unknown[]): Promise<Endpoint[]> {
  type Row = Omit<Endpoint, 'endpointId' | 'events'> & { readonly id: Buffer; readonly events: string };
  const rows = await sql.rows<Row>(`SELECT ${columns} FROM webhook_endpoints ${clauses}`, values);
  return rows.map(({ id, events, ...row }) => ({
    ...row,
    endpointId: fromBytes(id),
    events: events.split(',') as EventName[],
  }));
}

/** Writes a new endpoint. */
export async function insertEndpoint(tx: Tx, endpoint: Endpoint): Promise<void> {
  await tx.change(
    `INSERT INTO webhook_endpoints (id, url, description, events, state, secret_number, overlap_until_ms, failing_since_ms,
       switched_off_at_ms, turn_until_ms, wake_at_ms, created_at_ms, updated_at_ms) VALUES (?)`,
    [
      [
        ...[toBytes(endpoint.endpointId), endpoint.url, endpoint.description, endpoint.events.join()],
        ...[endpoint.state, endpoint.secretNumber, endpoint.overlapUntilMs, endpoint.failingSinceMs],
        ...[endpoint.switchedOffAtMs, 0, 0, endpoint.createdAtMs, endpoint.updatedAtMs],
      ],
    ],
  );
}

/** Writes what operators decide about an endpoint, and how it is doing. Its row must be locked. */
export async function updateEndpoint(tx: Tx, endpoint: Endpoint): Promise<void> {
  const { url, description, events, state, secretNumber, overlapUntilMs, failingSinceMs } = endpoint;
  await tx.change(
    `UPDATE webhook_endpoints SET url = ?, description = ?, events = ?, state = ?, secret_number = ?, overlap_until_ms = ?,
       failing_since_ms = ?, switched_off_at_ms = ?, updated_at_ms = ? WHERE id = ?`,
    [
      ...[url, description, events.join(), state, secretNumber, overlapUntilMs, failingSinceMs],
      ...[endpoint.switchedOffAtMs, endpoint.updatedAtMs, toBytes(endpoint.endpointId)],
    ],
  );
}

/** Takes the turn at an active endpoint until a time; false if another worker has it, or the endpoint is not active. */
export async function takeTurn(sql: Sql, id: EndpointId, nowMs: number, untilMs: number): Promise<boolean> {
  const taken = await sql.change(
    `UPDATE webhook_endpoints SET turn_until_ms = ? WHERE id = ? AND state = 'active' AND turn_until_ms <= ?`,
    [untilMs, toBytes(id), nowMs],
  );
  return taken === 1;
}

/** Gives the turn back that was taken until this time. */
export async function endTurn(sql: Sql, id: EndpointId, untilMs: number): Promise<void> {
  await sql.change('UPDATE webhook_endpoints SET turn_until_ms = 0 WHERE id = ? AND turn_until_ms = ?', [
    toBytes(id),
    untilMs,
  ]);
}

/** Notes that a message is sent to arrive at this time; false if one arrives by then anyway. */
export async function noteWake(sql: Sql, id: EndpointId, nowMs: number, atMs: number): Promise<boolean> {
  const noted = await sql.change(
    'UPDATE webhook_endpoints SET wake_at_ms = ? WHERE id = ? AND (wake_at_ms <= ? OR wake_at_ms > ?)',
    [atMs, toBytes(id), nowMs, atMs],
  );
  return noted === 1;
}

/** Deletes the row of an endpoint whose log is gone. */
export async function deleteEndpointRow(sql: Sql, id: EndpointId): Promise<void> {
  await sql.change(`DELETE FROM webhook_endpoints WHERE id = ? AND state = 'deleted'`, [toBytes(id)]);
}
