/**
 * What time does in one sale: publishes the phase by the clock, reminds before the close, ends what is over, offers available
 * units, and schedules the next boundaries.
 *
 * It is safe early, late, repeated, concurrently, or not at all (invariant I8 does not depend on it): each effect is
 * claimed by a conditional write before it is carried out, and events are committed with that write.
 */

import { type RecordedEvent, recordEvents } from '#events/outbox.ts';
import { type Committed, nothingChanged, type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import type { Clock } from '#platform/kernel/clock.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { expireOffers, expireSomeOffers, isOver } from '#reservation/expire.ts';
import { readOfferDeadlines } from '#reservation/reservation.store.ts';
import { boundariesAfter, phaseAt, remindBeforeMs } from '#sale/phase.ts';
import { enterPhase, lockSales, type SaleRow, setEndsWait, setPublishTold } from '#sale/sale.store.ts';
import { toSaleTime } from '#sale/sale-clock.ts';
import { isPublicAt } from '#sale/visibility.ts';
import { type Announcement, announce, isToldOfTimes } from './announce.ts';
import { type AdvanceCommand, boundaryHorizonMs, sendBoundaries } from './boundaries.ts';
import { dueLeadMs, remindDue } from './due-reminder.ts';
import { beginEnding, endingOf, mayBegin } from './ending.ts';
import { findJob, isIdle, type SaleJob } from './job.store.ts';
import { sendJob, sliceEndMs } from './jobs.ts';
import { oneAtATime } from './one-at-a-time.ts';
import { salePublished } from './publication.ts';
import { saleChanged } from './sale-changed.ts';

/**
 * Advances one sale to where the clock says it is. Only the minute's rule schedules everything that comes next; the end of
 * an offer is scheduled by the consumer of its event. If each such message scheduled all that follow it, their number would
 * double at every boundary. Long work continues by messages of its own; `turn` is that of the message which does so.
 */
export async function advanceSale(
  deps: WriteNeeds,
  saleId: SaleId,
  deadlineMs: number,
  ahead: 'everything' | 'nothing',
  turn?: string,
): Promise<void> {
  const nowMs = deps.clock();
  const { sale, jobs = [] } = await writeThrough(deps, (tx) => announcePhase(tx, saleId, deps.clock));
  for (const job of jobs) await sendJob(deps, job);
  // A pause stops the clock of everything that would follow; resuming schedules it.
  if (!sale || sale.status === 'paused') return;
  if (isOver(sale, nowMs)) {
    await endSale(deps, sale);
  } else {
    await endAndOfferOn(deps, saleId, turn, sliceEndMs(nowMs, deadlineMs));
  }
  const leadMs = dueLeadMs(sale);
  if (leadMs !== undefined) await remindDue(deps, saleId, deadlineMs);
  if (ahead === 'nothing') return;
  const offersMs = await readOfferDeadlines(deps.db, sale, nowMs + 1, nowMs + boundaryHorizonMs);
  const remindersMs = leadMs === undefined ? [] : offersMs.map((atMs) => atMs - leadMs);
  const aheadMs = [...boundariesAfter(sale, nowMs), ...offersMs, ...remindersMs];
  await sendBoundaries(deps, saleId, aheadMs, boundaryHorizonMs);
}

/**
 * Whether a sale's row says that advancing it could find anything to do or to schedule. If not, only a deadline of somebody in
 * it could be due (`deadlinesThatMatter`). Pure.
 */
export function mayBeDue(sale: SaleRow, nowMs: number): boolean {
  if (!sale.publishTold && isPublicAt(sale, nowMs)) return true;
  if (sale.status === 'paused') return false;
  if (sale.endsWait || phaseAt(sale, nowMs) !== sale.phase || mustRemind(sale, nowMs)) return true;
  if (sale.waitlisted > 0 && sale.available > 0) return true;
  if (isOver(sale, nowMs) && (sale.allocated > 0 || sale.waitlisted > 0)) return true;
  return boundariesAfter(sale, nowMs).some((atMs) => atMs <= nowMs + boundaryHorizonMs);
}

/** Up to which deadline, in the sale's own time, advancing a sale has something to do for its holder; undefined for none. Pure. */
export function deadlinesThatMatter(sale: SaleRow, nowMs: number): number | undefined {
  if (sale.status === 'paused') return undefined;
  return toSaleTime(sale, nowMs + boundaryHorizonMs) + (dueLeadMs(sale) ?? 0);
}

/** Whether the reminder before the close is due. */
function mustRemind(sale: SaleRow, nowMs: number): boolean {
  const atMs = sale.purchaseClosesAtMs - remindBeforeMs(sale);
  return (
    sale.status === 'active' && sale.remindedAtMs === null && nowMs >= atMs && phaseAt(sale, nowMs) === 'purchasing'
  );
}

/** Ends what is over in a sale that goes on, and offers what is available: some of it at once, the rest one process at a time. */
async function endAndOfferOn(
  deps: WriteNeeds,
  saleId: SaleId,
  turn: string | undefined,
  endsMs: number,
): Promise<void> {
  if (!(await expireSomeOffers(deps, saleId)).isLeft) return;
  await oneAtATime(deps, {
    kind: 'offers',
    saleId,
    turn,
    work: async () => (await expireOffers(deps, saleId, endsMs)).isLeft,
    send: (mine, delaySeconds) =>
      deps.queue('advance').send({ body: { saleId, turn: mine } satisfies AdvanceCommand, delaySeconds }),
  });
}

/** Ends what is open in a sale that is over: the first page at once, the rest by a job. */
async function endSale(deps: WriteNeeds, { saleId, allocated, waitlisted }: SaleRow): Promise<void> {
  if (allocated === 0 && waitlisted === 0) return;
  const known = await findJob(deps.db, endingOf(saleId));
  if (mayBegin(known, deps.clock())) {
    const { next } = await writeThrough(deps, (tx, nowMs) => beginEnding(tx, saleId, nowMs));
    if (next) await sendJob(deps, next);
  } else if (known && known.finishedAtMs === null && isIdle(known, deps.clock())) {
    await sendJob(deps, known);
  }
}

interface PhaseAnnounced extends Committed {
  readonly sale?: SaleRow;
  /** Jobs of announcements that are not finished yet. */
  readonly jobs?: readonly SaleJob[];
}

/**
 * Tells that the sale is public, and moves the stored phase to the phase by the clock, which is read once the sale is locked, and records the events; once, even
 * if called concurrently.
 */
async function announcePhase(tx: Tx, saleId: SaleId, clock: Clock): Promise<PhaseAnnounced> {
  const sale = (await lockSales(tx, [saleId])).get(saleId);
  if (!sale) return nothingChanged;
  const nowMs = clock();
  const published = await announcePublication(tx, sale, nowMs);
  if (sale.status === 'paused') return { ...nothingChanged, events: published, sale };
  if (sale.endsWait && (await isToldOfTimes(tx, saleId))) await setEndsWait(tx, saleId, false);
  const phase = phaseAt(sale, nowMs);
  const entered = phase !== sale.phase;
  const remind = mustRemind(sale, nowMs);
  if (!entered && !remind) return { ...nothingChanged, events: published, sale };

  const stock = { ...sale, version: sale.version + 1 };
  await enterPhase(tx, saleId, { phase, remindedAtMs: remind ? nowMs : sale.remindedAtMs });
  const events: RecordedEvent[] = entered ? [saleChanged(stock, nowMs)] : [];
  const kinds: Announcement[] = [];
  if (entered && phase === 'purchasing' && sale.status === 'active') kinds.push('purchase-opened');
  if (remind) kinds.push('closing-soon');
  const jobs: SaleJob[] = [];
  for (const kind of kinds) {
    const told = await announce(tx, { sale: stock, before: sale }, kind, nowMs);
    events.push(...told.events);
    if (told.job) jobs.push(told.job);
  }
  await recordEvents(tx, events, nowMs);
  return { sale, stocks: [stock], reservations: [], events: [...published, ...events], jobs };
}

/** Records that a sale whose row is held has become public, once. That it is public does not depend on it. */
async function announcePublication(tx: Tx, sale: SaleRow, nowMs: number): Promise<RecordedEvent[]> {
  if (sale.publishTold || !isPublicAt(sale, nowMs)) return [];
  await setPublishTold(tx, sale.saleId);
  const events = [salePublished(sale, nowMs)];
  await recordEvents(tx, events, nowMs);
  return events;
}
