/**
 * The end of a sale that is over, closed or called off: everything that is not bought ends, a page of reservations at a
 * time. If there is more than one page, a job (`jobs.ts`) ends the others.
 *
 * The rows decide which reservations are still open, so each ends once, however many workers run and wherever each begins;
 * the job's cursor only avoids looking twice.
 */
import { nothingChanged } from '#mirror/write-through.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { endPage } from '#reservation/expire.ts';
import { lockSales } from '#sale/sale.store.ts';
import {
  findJob,
  insertJob,
  type JobKey,
  type JobStep,
  lockJob,
  newJob,
  type SaleJob,
  updateJob,
} from './job.store.ts';

/**
 * How long after a job is over a new one may look for reservations that were decided, or left by a purchase, behind its
 * cursor.
 */
const againAfterMs = 300_000;

/** The only job of its kind in a sale. */
export function endingOf(saleId: SaleId): JobKey {
  return { saleId, round: 0, kind: 'ending' };
}

/** Whether the end of a sale may begin, for the first time or again: not while a job is under way. Pure. */
export function mayBegin(known: SaleJob | undefined, nowMs: number): boolean {
  return known === undefined || (known.finishedAtMs !== null && nowMs - known.finishedAtMs >= againAfterMs);
}

/** Ends the first page of a sale that is over, and writes the job for the rest if there are more. */
export async function beginEnding(tx: Tx, saleId: SaleId, nowMs: number): Promise<JobStep> {
  const page = await endPage(tx, saleId, undefined, nowMs);
  if (page?.afterId === undefined || page.isLast) return { ...(page ?? nothingChanged), next: undefined };
  // Of two concurrent calls, the one that locks the sale first writes the job.
  await lockSales(tx, [saleId]);
  const known = await lockJob(tx, endingOf(saleId));
  if (!mayBegin(known, nowMs)) return { ...page, next: undefined };
  const next = newJob(endingOf(saleId), page.afterId, (known?.handled ?? 0) + page.ended, nowMs);
  await (known ? updateJob(tx, next) : insertJob(tx, next));
  return { ...page, next };
}

/** Makes one step of the end of a sale; none in a pause, after which the job goes on. */
export async function endSome(tx: Tx, saleId: SaleId, nowMs: number): Promise<JobStep> {
  const seen = await findJob(tx, endingOf(saleId));
  if (!seen || seen.finishedAtMs !== null) return { ...nothingChanged, next: undefined };
  const page = await endPage(tx, saleId, seen.afterId ?? undefined, nowMs);
  if (!page) return { ...nothingChanged, next: undefined };
  const job = await lockJob(tx, seen);
  if (!job) throw new Error('the end of a sale that was just read is gone');
  // Another worker was faster and has moved the cursor already.
  if (job.afterId !== seen.afterId || job.finishedAtMs !== null) return { ...page, next: job };
  const next: SaleJob = {
    ...job,
    afterId: page.afterId ?? job.afterId,
    handled: job.handled + page.ended,
    steppedAtMs: nowMs,
    finishedAtMs: page.isLast ? nowMs : null,
  };
  await updateJob(tx, next);
  return { ...page, next };
}
