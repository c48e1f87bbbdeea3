/** The store of runs of reconcile: the only code that writes `reconciliations`. It decides nothing. */
import { fromBytes, type Id, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import type { Drift } from './drift.ts';
import type { Progress } from './progress.ts';
import type { reconciliationStates } from './reconciliation.table.ts';

export type ReconciliationId = Id<'reconciliation'>;

/** A run of reconcile. */
export interface Reconciliation {
  readonly reconciliationId: ReconciliationId;
  /** Null for all sales. */
  readonly saleId: SaleId | null;
  readonly restored: boolean;
  readonly state: (typeof reconciliationStates)[number];
  readonly steps: number;
  readonly progress: Progress;
  readonly sales: number;
  readonly reservations: number;
  readonly driftsFound: number;
  readonly driftsRepaired: number;
  /** The first of them. */
  readonly drifts: readonly Drift[];
  readonly booksUnchecked: number;
  readonly startedAtMs: number;
  readonly movedAtMs: number;
  readonly finishedAtMs: number | null;
}

const columns = `id, sale_id AS saleId, restored, state, steps, progress, sales, reservations,
  drifts_found AS driftsFound, drifts_repaired AS driftsRepaired, drifts, books_unchecked AS booksUnchecked,
  started_at_ms AS startedAtMs, moved_at_ms AS movedAtMs, finished_at_ms AS finishedAtMs`;

/** A run, or undefined if there is no such one. */
export async function findReconciliation(sql: Sql, id: ReconciliationId): Promise<Reconciliation | undefined> {
  const [run] = await select(sql, 'WHERE id = ?', [toBytes(id)]);
  return run;
}

/** The same, with the row locked until the transaction ends. */
export async function lockReconciliation(tx: Tx, id: ReconciliationId): Promise<Reconciliation | undefined> {
  const [run] = await select(tx, 'WHERE id = ? FOR UPDATE', [toBytes(id)]);
  return run;
}

/** The runs that are not over, the one that moved last at the end. */
export function listRunning(sql: Sql, limit: number): Promise<Reconciliation[]> {
  return select(sql, `WHERE state = 'running' ORDER BY moved_at_ms LIMIT ?`, [limit]);
}

/** The latest runs, newest first. */
export function listReconciliations(sql: Sql, limit: number): Promise<Reconciliation[]> {
  return select(sql, 'ORDER BY id DESC LIMIT ?', [limit]);
}

type Stored = Omit<Reconciliation, 'reconciliationId' | 'saleId' | 'restored' | 'progress' | 'drifts'> & {
  readonly id: Buffer;
  readonly saleId: Buffer | null;
  readonly restored: number;
  readonly progress: string;
  readonly drifts: string;
};

async function select(sql: Sql, clauses: string, values: unknown[]): Promise<Reconciliation[]> {
  const rows = await sql.rows<Stored>(`SELECT ${columns} FROM reconciliations ${clauses}`, values);
  return rows.map(({ id, saleId, restored, progress, drifts, ...row }) => ({
    ...row,
    reconciliationId: fromBytes(id),
    saleId: saleId && fromBytes(saleId),
    restored: restored !== 0,
    progress: JSON.parse(progress) as Progress,
    drifts: JSON.parse(drifts) as Drift[],
  }));
}

/** Writes a new run. Throws a duplicate key if it is there already. */
export async function insertReconciliation(sql: Sql, run: Reconciliation): Promise<void> {
  await sql.change(
    `INSERT INTO reconciliations (id, sale_id, restored, started_at_ms, state, steps, progress, sales, reservations,
       drifts_found, drifts_repaired, drifts, books_unchecked, moved_at_ms, finished_at_ms) VALUES (?)`,
    [
      [
        toBytes(run.reconciliationId),
        run.saleId && toBytes(run.saleId),
        run.restored ? 1 : 0,
        run.startedAtMs,
        ...moving(run),
      ],
    ],
  );
}

/** Writes how far a run has come. The row must be locked. */
export async function updateReconciliation(tx: Tx, run: Reconciliation): Promise<void> {
  await tx.change(
    `UPDATE reconciliations SET state = ?, steps = ?, progress = ?, sales = ?, reservations = ?, drifts_found = ?,
       drifts_repaired = ?, drifts = ?, books_unchecked = ?, moved_at_ms = ?, finished_at_ms = ? WHERE id = ?`,
    [...moving(run), toBytes(run.reconciliationId)],
  );
}

/** What changes from step to step. */
function moving(run: Reconciliation): unknown[] {
  return [
    run.state,
    run.steps,
    JSON.stringify(run.progress),
    run.sales,
    run.reservations,
    run.driftsFound,
    run.driftsRepaired,
    JSON.stringify(run.drifts),
    run.booksUnchecked,
    run.movedAtMs,
    run.finishedAtMs,
  ];
}

/** Deletes runs that were over before this time, at most `limit` of them; returns how many. */
export function deleteReconciliationsBefore(sql: Sql, beforeMs: number, limit: number): Promise<number> {
  return sql.change(
    `DELETE FROM reconciliations WHERE state = 'done' AND moved_at_ms < ? ORDER BY moved_at_ms LIMIT ?`,
    [beforeMs, limit],
  );
}
