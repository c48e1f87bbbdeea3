/** The store of redeliveries in bulk: the only code that writes `webhook_redeliveries`. */
import { fromBytes, type Id, toBytes } from '#platform/kernel/ids.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import type { EndpointId } from './endpoint.store.ts';
import type { MessageId } from './message.store.ts';
import type { redeliveryScopes } from './redelivery.table.ts';

export type RedeliveryId = Id<'webhook redelivery'>;

/** A job that orders the messages of some time again, and how far it has come. */
export interface Redelivery {
  readonly redeliveryId: RedeliveryId;
  readonly endpointId: EndpointId;
  readonly scope: (typeof redeliveryScopes)[number];
  readonly sinceMs: number;
  readonly untilMs: number;
  /** The last message that it has seen. */
  readonly afterId: MessageId | null;
  readonly ordered: number;
  readonly startedAtMs: number;
  readonly steppedAtMs: number;
  readonly finishedAtMs: number | null;
}

const columns = `id, endpoint_id AS endpointId, scope, since_ms AS sinceMs, until_ms AS untilMs, after_id AS afterId, ordered,
  started_at_ms AS startedAtMs, stepped_at_ms AS steppedAtMs, finished_at_ms AS finishedAtMs`;

/** A job, or undefined if there is no such one. */
export async function findRedelivery(sql: Sql, id: RedeliveryId): Promise<Redelivery | undefined> {
  const [job] = await select(sql, 'WHERE id = ?', [toBytes(id)]);
  return job;
}

/** The same, with the row locked until the transaction ends. */
export async function lockRedelivery(tx: Tx, id: RedeliveryId): Promise<Redelivery | undefined> {
  const [job] = await select(tx, 'WHERE id = ? FOR UPDATE', [toBytes(id)]);
  return job;
}

/** Jobs that are not over and have made no step since a time; the one that has waited longest comes first. */
export function listIdleRedeliveries(sql: Sql, sinceMs: number, limit: number): Promise<Redelivery[]> {
  return select(sql, 'WHERE finished_at_ms IS NULL AND stepped_at_ms <= ? ORDER BY stepped_at_ms LIMIT ?', [
    sinceMs,
    limit,
  ]);
}

/** Writes a new job. */
export async function insertRedelivery(tx: Tx, job: Redelivery): Promise<void> {
  await tx.change(
    `INSERT INTO webhook_redeliveries (id, endpoint_id, scope, since_ms, until_ms, after_id, ordered, started_at_ms,
       stepped_at_ms, finished_at_ms) VALUES (?)`,
    [
      [
        ...[toBytes(job.redeliveryId), toBytes(job.endpointId), job.scope, job.sinceMs, job.untilMs],
        ...[job.afterId && toBytes(job.afterId), job.ordered, job.startedAtMs, job.steppedAtMs, job.finishedAtMs],
      ],
    ],
  );
}

/** Writes how far a job has come. Its row must be locked. */
export async function updateRedelivery(tx: Tx, job: Redelivery): Promise<void> {
  await tx.change(
    'UPDATE webhook_redeliveries SET after_id = ?, ordered = ?, stepped_at_ms = ?, finished_at_ms = ? WHERE id = ?',
    [job.afterId && toBytes(job.afterId), job.ordered, job.steppedAtMs, job.finishedAtMs, toBytes(job.redeliveryId)],
  );
}

/** Deletes jobs that were over before this time, at most `limit` of them; returns how many. */
export function deleteRedeliveriesBefore(sql: Sql, beforeMs: number, limit: number): Promise<number> {
  return sql.change('DELETE FROM webhook_redeliveries WHERE finished_at_ms < ? ORDER BY finished_at_ms LIMIT ?', [
    beforeMs,
    limit,
  ]);
}

async function select(sql: Sql, clauses: string, values: unknown[]): Promise<Redelivery[]> {
  type Row = Omit<Redelivery, 'redeliveryId' | 'endpointId' | 'afterId'> & {
    readonly id: Buffer;
    readonly endpointId: Buffer;
    readonly afterId: Buffer | null;
  };
  const rows = await sql.rows<Row>(`SELECT ${columns} FROM webhook_redeliveries ${clauses}`, values);
  return rows.map(({ id, endpointId, afterId, ...row }) => ({
    ...row,
    redeliveryId: fromBytes(id),
    endpointId: fromBytes(endpointId),
    afterId: afterId && fromBytes(afterId),
  }));
}
