/**
 * A step of a run of reconcile: a bounded part of the work, in one transaction that locks only the run's own row.
 *
 * Of two concurrent steps one waits for the other and continues after it, and a step that dies leaves the run where it was.
 * Its repairs stay, and the step that repeats it finds them right: every repair is a conditional write against the values
 * that were read.
 */
import type { Needs } from '#platform/environment/deps.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import { measure } from '#platform/kernel/metrics.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { keys } from '#platform/redis/keys.ts';
import { beginPaced, withTimeToSpare } from '#platform/resilience/pace.ts';
import { listSaleIds, raiseEpochs } from '#sale/sale.store.ts';
import { bucketsOf, saleTag } from '#sale/sale-id.ts';
import { checkBooks, checkLargeBooks } from './check-books.ts';
import {
  checkBuckets,
  checkRows,
  clearPartial,
  countersLess,
  type ReconcileNeeds,
  readCounters,
  readPartial,
  recountGate,
} from './check-claims.ts';
import { checkLine } from './check-line.ts';
import { checkStock } from './check-stock.ts';
import { checkTerms } from './check-terms.ts';
import type { Drift } from './drift.ts';
import type { Pending, Progress, Sizes } from './progress.ts';
import {
  lockReconciliation,
  type Reconciliation,
  type ReconciliationId,
  updateReconciliation,
} from './reconciliation.store.ts';

/** How many drifts of a run are kept and logged; the others are only counted. */
const driftsKept = 100;
/** Time kept back for committing a step. */
const commitReserveMs = 1_500;
/** How long the books of a large sale are added up before the step is committed; one snapshot is best. */
const booksMs = 5_500;
/** Sales whose Redis data is deleted in one go, and keys in one command. */
const salesPerPage = 20;
const keysPerUnlink = 1_000;

/** What a step has done so far. */
interface Found {
  work: number;
  sales: number;
  reservations: number;
  booksUnchecked: number;
  readonly drifts: Drift[];
  driftsFound: number;
  driftsRepaired: number;
}

/** Whether there is enough time for the next step. */
export function hasTimeFor(progress: Progress, sizes: Sizes, leftMs: number): boolean {
  return leftMs > commitReserveMs + (isLong(progress, sizes) ? booksMs : sizes.stepMs);
}

/** Whether the next part is the books of a large sale, which take a step of their own. */
function isLong(progress: Progress, sizes: Sizes): boolean {
  return progress.part === 'books' && isLarge(progress.rows, sizes);
}

/** Makes one step of a run. Returns its progress afterwards; undefined if there is no such run. */
export async function makeStep(
  deps: ReconcileNeeds,
  id: ReconciliationId,
  sizes: Sizes,
): Promise<Reconciliation | undefined> {
  const made = await deps.db.transaction(async (tx) => {
    const before = await lockReconciliation(tx, id);
    if (!before || before.state === 'done') return { after: before };
    const untilMs = deps.clock() + sizes.stepMs;
    const found: Found = {
      work: 0,
      sales: 0,
      reservations: 0,
      booksUnchecked: 0,
      drifts: [],
      driftsFound: 0,
      driftsRepaired: 0,
    };
    const room = driftsKept - before.drifts.length;
    let progress = before.progress;
    const isOver = () => found.work >= sizes.workPerStep || deps.clock() >= untilMs;
    const rest = beginPaced(deps.clock, withTimeToSpare);
    do {
      progress = await goOn(deps, tx, before, progress, found, room, sizes);
      await rest(untilMs);
    } while (progress.part !== 'end' && !isLong(progress, sizes) && !isOver());
    const nowMs = deps.clock();
    const isDone = progress.part === 'end';
    const after: Reconciliation = {
      ...before,
      state: isDone ? 'done' : 'running',
      steps: before.steps + 1,
      progress,
      sales: before.sales + found.sales,
      reservations: before.reservations + found.reservations,
      driftsFound: before.driftsFound + found.driftsFound,
      driftsRepaired: before.driftsRepaired + found.driftsRepaired,
      drifts: [...before.drifts, ...found.drifts],
      booksUnchecked: before.booksUnchecked + found.booksUnchecked,
      movedAtMs: nowMs,
      finishedAtMs: isDone ? nowMs : null,
    };
    await updateReconciliation(tx, after);
    return { after, found };
  });
  if (made.found) report(id, made.found);
  return made.after;
}

function report(id: ReconciliationId, { drifts, driftsFound, sales, reservations }: Found): void {
  for (const drift of drifts) log.warn('drift', { ...drift });
  const more = driftsFound - drifts.length;
  if (more > 0) log.warn('more drifts', { reconciliationId: id, drifts: more });
  measure({ Reconciliations: 1, Drifts: driftsFound }, { facts: { sales, reservations } });
}

/** Does the smallest unit of work, and returns the run's progress after it. */
async function goOn(
  deps: ReconcileNeeds,
  tx: Tx,
  run: Reconciliation,
  progress: Progress,
  found: Found,
  room: number,
  sizes: Sizes,
): Promise<Progress> {
  const note = (drifts: readonly Drift[]) => {
    found.driftsFound += drifts.length;
    found.driftsRepaired += drifts.filter(({ repaired }) => repaired).length;
    found.drifts.push(...drifts.slice(0, Math.max(0, room - found.drifts.length)));
  };
  const nextSale = (saleId: SaleId): Progress => {
    found.sales++;
    return run.saleId === null ? { part: 'sales', beforeId: saleId } : { part: 'end' };
  };
  switch (progress.part) {
    case 'epochs':
      // Committed together with the record that it was done.
      await raiseEpochs(tx);
      return { part: 'forget', beforeId: null };

    case 'forget': {
      const saleIds = await listSaleIds(deps.db, progress.beforeId, salesPerPage);
      for (const saleId of saleIds) found.work += await forgetSale(deps, saleId);
      const beforeId = saleIds.at(-1);
      return beforeId === undefined ? { part: 'sales', beforeId: null } : { part: 'forget', beforeId };
    }

    case 'sales': {
      const saleId = run.saleId ?? (await listSaleIds(deps.db, progress.beforeId, 1))[0];
      if (saleId === undefined) return { part: 'end' };
      note(await checkStock(deps, saleId));
      note(await checkTerms(deps, saleId));
      found.work++;
      return { part: 'rows', saleId, afterId: null, rows: 0, partial: await readPartial(deps.redis, saleId) };
    }

    case 'rows': {
      const { saleId, partial } = progress;
      const page = await checkRows(deps, saleId, progress.afterId, sizes.rowsPerPage);
      note(page.drifts);
      found.work += page.rows;
      found.reservations += page.rows;
      const rows = progress.rows + page.rows;
      if (page.lastId !== null) return { ...progress, afterId: page.lastId, rows };
      if (partial !== null) await clearPartial(deps.redis, saleId, partial);
      const seen = await readCounters(deps.redis, saleId);
      return {
        part: 'claims',
        saleId,
        rows,
        place: { bucket: 0, part: 0, parts: 1 },
        seen,
        pending: { units: 0, over: 0 },
      };
    }

    case 'claims': {
      const { saleId, rows } = progress;
      const page = await checkBuckets(deps, saleId, progress.place, sizes.fieldsPerPage);
      note(page.drifts);
      found.work += page.fields;
      const seen = countersLess(progress.seen, page.returned);
      const pending = sum(progress.pending, page.pending);
      if (page.next) return { ...progress, place: page.next, seen, pending };
      note(await recountGate(deps.redis, saleId, seen, pending));
      return { part: 'line', saleId, rows, place: null };
    }

    case 'line': {
      const line = await checkLine(deps, progress.saleId, progress.place, sizes.rowsPerPage);
      found.work += line.rows;
      return line.next ? { ...progress, place: line.next } : { ...progress, part: 'books', place: null };
    }

    case 'books': {
      const { saleId, rows, place } = progress;
      if (!isLarge(rows, sizes)) {
        note(await checkBooks(deps, saleId));
        return nextSale(saleId);
      }
      const books = await checkLargeBooks(deps, saleId, place, sizes.rowsPerSum, deps.clock() + booksMs);
      found.work = sizes.workPerStep;
      if (books === 'moving') found.booksUnchecked++;
      else if ('next' in books) return { ...progress, place: books.next };
      else note(books.drifts);
      return nextSale(saleId);
    }

    case 'end':
      return progress;
  }
}

/** Whether one statement may take too long to add up the sale's books. */
function isLarge(rows: number, { rowsInOneSum }: Sizes): boolean {
  return rows > rowsInOneSum;
}

function sum(one: Pending, other: Pending): Pending {
  return { units: one.units + other.units, over: one.over + other.over };
}

/** Deletes all of Redis's data of a sale; returns how many keys there may have been. */
async function forgetSale({ redis }: Needs<'redis'>, saleId: SaleId): Promise<number> {
  const tag = saleTag(saleId);
  const names = [keys.sale(tag), keys.line(tag), ...bucketsOf(tag).map((bucket) => keys.claims(tag, bucket))];
  for (let start = 0; start < names.length; start += keysPerUnlink) {
    await redis.unlink(...names.slice(start, start + keysPerUnlink));
  }
  return names.length;
}
