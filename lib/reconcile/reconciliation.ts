/** A run of reconcile, as operators begin and follow it. */
import * as z from 'zod';
import { changeOf, type Keep, keepNothing } from '#idempotency/kept-answer.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import { newId, type SaleId } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import { idOf, Time } from '#platform/kernel/shapes.ts';
import { isDuplicateKey } from '#platform/mysql/mysql.ts';
import { readStock } from '#sale/sale.store.ts';
import { Drift } from './drift.ts';
import {
  deleteReconciliationsBefore,
  findReconciliation,
  insertReconciliation,
  listReconciliations,
  type Reconciliation,
  type ReconciliationId,
} from './reconciliation.store.ts';
import { reconciliationStates } from './reconciliation.table.ts';

/** What an operator may ask: one sale or all, and whether MySQL was just restored from a backup. */
export const ReconcileRequest = z
  .strictObject({
    saleId: idOf<SaleId>().optional(),
    restored: z.boolean().default(false),
  })
  .meta({ id: 'ReconcileRequest' });
export type ReconcileRequest = z.output<typeof ReconcileRequest>;

/** The command in the queue `reconcile` that begins or continues a run. */
export const ReconcileCommand = z.object({
  reconciliation: z.object({
    id: idOf<ReconciliationId>(),
    /** How many steps had been made when it was sent; if there are more now, another worker continues the run. */
    steps: z.int(),
  }),
});

/** A run, and how far it has come. */
export const ReconciliationView = z
  .object({
    reconciliationId: idOf<ReconciliationId>(),
    /** The sale that is reconciled; null for all. */
    saleId: idOf<SaleId>().nullable(),
    restored: z.boolean(),
    state: z.enum(reconciliationStates),
    /** What the next step looks at; null when it is done. */
    at: z.object({ saleId: idOf<SaleId>().nullable(), part: z.string() }).nullable(),
    /** Sales, and reservations, looked at so far. */
    sales: z.int(),
    reservations: z.int(),
    driftsFound: z.int(),
    driftsRepaired: z.int(),
    /** The first hundred of them. */
    drifts: z.array(Drift),
    /** Sales whose books could not be added up, because they are too large and kept changing. */
    booksUnchecked: z.int(),
    startedAt: Time,
    /** When the latest step was made. */
    movedAt: Time,
    finishedAt: Time.nullable(),
    statusUrl: z.string(),
  })
  .meta({ id: 'Reconciliation' });
export type ReconciliationView = z.infer<typeof ReconciliationView>;

/** The latest runs, newest first. */
export const Reconciliations = z
  .object({ items: z.array(ReconciliationView.omit({ drifts: true })) })
  .meta({ id: 'Reconciliations' });
export type Reconciliations = z.infer<typeof Reconciliations>;

const runsListed = 20;
/** How long a run that is over is kept, and how many are deleted in one statement. */
const runsKeptMs = 30 * 24 * 60 * 60 * 1_000;
const runsForgotten = 1_000;

/**
 * Begins a run for an operator, and sends the command for it. Refuses a sale that does not exist. If the queue is
 * unavailable, the schedule begins it within minutes.
 */
export async function startReconciliation(
  deps: Needs<'db' | 'clock' | 'queue'>,
  { saleId, restored }: ReconcileRequest,
  keep: Keep = keepNothing,
): Promise<ReconciliationView | Refusal> {
  if (saleId !== undefined && !(await readStock(deps.db, [saleId])).has(saleId)) {
    return refuse('not_found', 'There is no such sale.');
  }
  const reconciliationId = newId<'reconciliation'>(deps.clock());
  const run = newRun({ reconciliationId, saleId: saleId ?? null, restored }, deps.clock());
  const answer = await deps.db.transaction(async (tx) => {
    await insertReconciliation(tx, run);
    const view = viewOf(run);
    return keep(tx, view, changeOf(reconciliationId, null, view));
  });
  await sendReconcile(deps, run);
  return answer;
}

/** How far a run has come. */
export async function readReconciliation(
  { db }: Needs<'db'>,
  id: ReconciliationId,
): Promise<ReconciliationView | Refusal> {
  const run = await findReconciliation(db, id);
  return run ? viewOf(run) : refuse('not_found', 'There is no such run, or it is too old.');
}

/** The latest runs of all operators and schedules, without what they found. */
export async function readReconciliations({ db }: Needs<'db'>): Promise<Reconciliations> {
  const runs = await listReconciliations(db, runsListed);
  return { items: runs.map((run) => Reconciliations.shape.items.element.parse(viewOf(run))) };
}

/** Writes a new run; if it exists already, that one is returned. */
export async function beginReconciliation(
  { db, clock }: Needs<'db' | 'clock'>,
  begun: NewRun,
): Promise<Reconciliation> {
  const run = newRun(begun, clock());
  try {
    await insertReconciliation(db, run);
    return run;
  } catch (error) {
    const known = isDuplicateKey(error) ? await findReconciliation(db, run.reconciliationId) : undefined;
    if (!known) throw error;
    return known;
  }
}

type NewRun = Pick<Reconciliation, 'reconciliationId' | 'saleId' | 'restored'>;

function newRun({ reconciliationId, saleId, restored }: NewRun, nowMs: number): Reconciliation {
  return {
    ...{ reconciliationId, saleId, restored, state: 'running', steps: 0, sales: 0, reservations: 0 },
    ...{ driftsFound: 0, driftsRepaired: 0, drifts: [], booksUnchecked: 0 },
    progress: restored ? { part: 'epochs' } : { part: 'sales', beforeId: null },
    startedAtMs: nowMs,
    movedAtMs: nowMs,
    finishedAtMs: null,
  };
}

/** Sends the command that begins or continues a run. Never throws: the schedule makes up for a lost one. */
export async function sendReconcile(deps: Needs<'queue'>, run: Reconciliation): Promise<void> {
  const body: z.input<typeof ReconcileCommand> = { reconciliation: { id: run.reconciliationId, steps: run.steps } };
  await deps
    .queue('reconcile')
    .send({ body })
    .catch((error) => log.warn('the next tick will continue a run of reconcile', { error, run: run.reconciliationId }));
}

/** Deletes runs that were over long ago, a bounded number at a time; returns how many. Run by a schedule. */
export function forgetOldReconciliations({ db, clock }: Needs<'db' | 'clock'>): Promise<number> {
  return deleteReconciliationsBefore(db, clock() - runsKeptMs, runsForgotten);
}

function viewOf(run: Reconciliation): ReconciliationView {
  const { progress, steps: _, startedAtMs, movedAtMs, finishedAtMs, ...rest } = run;
  const saleId = 'saleId' in progress ? progress.saleId : null;
  return {
    ...rest,
    drifts: [...run.drifts],
    at: run.state === 'done' ? null : { saleId, part: progress.part },
    startedAt: toIso(startedAtMs),
    movedAt: toIso(movedAtMs),
    finishedAt: finishedAtMs === null ? null : toIso(finishedAtMs),
    statusUrl: `/ops/reconciliations/${run.reconciliationId}`,
  };
}
