/** The store of the jobs of sales: the only code that writes `sale_jobs`. */
import type { Committed } from '#mirror/write-through.ts';
import { fromBytes, type ReservationId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import type { jobKinds } from './job.table.ts';

export type JobKind = (typeof jobKinds)[number];

/** Which job: the announcement of a round, or the end of a sale. */
export interface JobKey {
  readonly saleId: SaleId;
  readonly round: number;
  readonly kind: JobKind;
}

/** A job and how far it has come. */
export interface SaleJob extends JobKey {
  readonly startedAtMs: number;
  /** The last reservation that it has seen. */
  readonly afterId: ReservationId | null;
  /** How many reservations it has told, or ended. */
  readonly handled: number;
  readonly steppedAtMs: number;
  /** When it was over; null until then. */
  readonly finishedAtMs: number | null;
  /** Whether it was ended by a newer announcement. */
  readonly superseded: boolean;
}

/** What one step of a job has done. */
export interface JobStep extends Committed {
  /** The job as it is then; undefined if there was none to continue. */
  readonly next: SaleJob | undefined;
  /** Whether the job has to wait for others before it can go on. */
  readonly isWaiting?: boolean;
  /** What a step along the line leaves to the next one. */
  readonly line?: LineSeen;
}

/** How many wait up to the place that a step along the line has reached, as of a version of the sale: it changes with every move. */
export interface LineSeen {
  readonly afterId: ReservationId;
  readonly version: number;
  readonly ahead: number;
}

/** A job that begins with a first step, which has come so far. */
export function newJob(key: JobKey, afterId: ReservationId | null, handled: number, nowMs: number): SaleJob {
  const { saleId, round, kind } = key;
  const begun = { startedAtMs: nowMs, steppedAtMs: nowMs, finishedAtMs: null, superseded: false };
  return { saleId, round, kind, afterId, handled, ...begun };
}

/** A job that has made no step for so long is taken to have lost its message. */
export const idleAfterMs = 10_000;

/** Whether no worker seems to be processing the job. */
export function isIdle(job: SaleJob, nowMs: number): boolean {
  return nowMs - job.steppedAtMs >= idleAfterMs;
}

const columns = `sale_id AS saleId, round, kind, started_at_ms AS startedAtMs, after_id AS afterId, handled,
  stepped_at_ms AS steppedAtMs, finished_at_ms AS finishedAtMs, superseded`;

/** The jobs of a sale that are not over, the oldest first. */
export function readOpenJobs(sql: Sql, saleId: SaleId): Promise<SaleJob[]> {
  return select(sql, 'WHERE sale_id = ? AND finished_at_ms IS NULL ORDER BY round, kind', [toBytes(saleId)]);
}

/** The latest jobs of a sale, the newest first. */
export function listJobs(sql: Sql, saleId: SaleId, limit: number): Promise<SaleJob[]> {
  return select(sql, 'WHERE sale_id = ? ORDER BY started_at_ms DESC LIMIT ?', [toBytes(saleId), limit]);
}

/** Jobs that are not over and have made no step since a time; the one that has waited longest comes first. */
export function listIdleJobs(sql: Sql, sinceMs: number, limit: number): Promise<SaleJob[]> {
  return select(sql, 'WHERE finished_at_ms IS NULL AND stepped_at_ms <= ? ORDER BY stepped_at_ms LIMIT ?', [
    sinceMs,
    limit,
  ]);
}

/** A job as it was committed last, or undefined if there is none. */
export async function findJob(sql: Sql, key: JobKey): Promise<SaleJob | undefined> {
  const [job] = await select(sql, 'WHERE sale_id = ? AND round = ? AND kind = ?', valuesOf(key));
  return job;
}

/** The same, with the row locked until the transaction ends. */
export async function lockJob(tx: Tx, key: JobKey): Promise<SaleJob | undefined> {
  const [job] = await select(tx, 'WHERE sale_id = ? AND round = ? AND kind = ? FOR UPDATE', valuesOf(key));
  return job;
}

/** Writes a new job. Throws for a duplicate key if there is one. */
export async function insertJob(tx: Tx, job: SaleJob): Promise<void> {
  await tx.change(
    `INSERT INTO sale_jobs (sale_id, round, kind, started_at_ms, after_id, handled, stepped_at_ms, finished_at_ms, superseded)
     VALUES (?)`,
    [
      [
        ...valuesOf(job),
        job.startedAtMs,
        job.afterId && toBytes(job.afterId),
        job.handled,
        job.steppedAtMs,
        job.finishedAtMs,
        job.superseded,
      ],
    ],
  );
}

/** Writes how far a job has come. Its row must be locked. */
export async function updateJob(tx: Tx, job: SaleJob): Promise<void> {
  await tx.change(
    `UPDATE sale_jobs SET started_at_ms = ?, after_id = ?, handled = ?, stepped_at_ms = ?, finished_at_ms = ?, superseded = ?
     WHERE sale_id = ? AND round = ? AND kind = ?`,
    [
      job.startedAtMs,
      job.afterId && toBytes(job.afterId),
      job.handled,
      job.steppedAtMs,
      job.finishedAtMs,
      job.superseded,
      ...valuesOf(job),
    ],
  );
}

function valuesOf({ saleId, round, kind }: JobKey): unknown[] {
  return [toBytes(saleId), round, kind];
}

interface StoredJob extends Omit<SaleJob, 'saleId' | 'afterId' | 'superseded'> {
  readonly saleId: Buffer;
  readonly afterId: Buffer | null;
  readonly superseded: number;
}

async function select(sql: Sql, clauses: string, values: unknown[]): Promise<SaleJob[]> {
  const rows = await sql.rows<StoredJob>(`SELECT ${columns} FROM sale_jobs ${clauses}`, values);
  return rows.map(({ saleId, afterId, superseded, ...row }) => ({
    ...row,
    saleId: fromBytes(saleId),
    afterId: afterId && fromBytes(afterId),
    superseded: superseded !== 0,
  }));
}
