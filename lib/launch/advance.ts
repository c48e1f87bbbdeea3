/**
 * Advancing sales: the side effects of time. Publishes the phase by the clock, reminds before the close, ends what is
 * over, offers available units, and schedules the next boundaries.
 *
 * It is safe early, late, repeated, concurrently, or not at all (invariant I8 does not depend on it): each effect is
 * claimed by a conditional write before it is carried out, and events are committed with that write.
 */

import * as z from 'zod';
import { catalog } from '#events/catalog.ts';
import type { ReservationChange } from '#events/changes.ts';
import { type RecordedEvent, recordEvents } from '#events/outbox.ts';
import { type Committed, nothingChanged, type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import type { Delivered, MustRepeat } from '#platform/handlers/queue.ts';
import type { Clock } from '#platform/kernel/clock.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { expireOffers, isOver } from '#reservation/expire.ts';
import { readOfferDeadlines } from '#reservation/reservation.store.ts';
import { boundariesAfter, phaseAt, remindBeforeMs } from '#sale/phase.ts';
import type { StockLevel } from '#sale/sale.shapes.ts';
import {
  enterPhase,
  listUnfinishedSales,
  lockSales,
  type SaleRow,
  setEndsWait,
  setPublishTold,
} from '#sale/sale.store.ts';
import { isPublicAt } from '#sale/visibility.ts';
import { type Announcement, announce, isToldOfTimes } from './announce.ts';
import { AdvanceCommand, boundaryHorizonMs, sendBoundaries } from './boundaries.ts';
import { SweepCommand, sweepCancellation, sweepLeftOpen } from './cancellation.ts';
import { dueLeadMs, remindDue } from './due-reminder.ts';
import { beginEnding, endingOf, mayBegin } from './ending.ts';
import { findJob, isIdle, type SaleJob } from './job.store.ts';
import { JobCommand, runIdleJobs, runJob, sendJob, sliceEndMs } from './jobs.ts';
import { salePublished } from './publication.ts';
import { saleChanged } from './sale-changed.ts';

/** The minute's rule, and the message that continues its round over the sales if one invocation was too short. */
const TickCommand = z.object({
  'detail-type': z.literal('Scheduled Event'),
  /** The sale up to which the round has come. */
  after: z.object({ closesAtMs: z.int(), saleId: idOf<SaleId>() }).optional(),
});

/** The triggers: the minute's rule, a boundary of one sale, or the event that units were released or offered. */
export const AdvanceTrigger = z.union([
  JobCommand,
  AdvanceCommand,
  SweepCommand,
  TickCommand,
  z.object({
    'detail-type': z.literal('reservations.changed'),
    detail: catalog['reservations.changed'].detail.pick({ changes: true, stocks: true }),
  }),
]);
export type AdvanceTrigger = z.infer<typeof AdvanceTrigger>;

/** Advances the sales of a batch of triggers, each once. Returns the messages whose sales failed. */
export async function advance(
  deps: WriteNeeds,
  batch: readonly Delivered<AdvanceTrigger>[],
  deadlineMs: number,
): Promise<MustRepeat> {
  const done = new Map<string, Promise<boolean>>();
  const succeeds = (key: string, run: () => Promise<void>): Promise<boolean> => {
    const known = done.get(key);
    if (known) return known;
    const outcome = run().then(
      () => true,
      (error) => {
        log.error('advancing failed; it will be tried again', { error, what: key });
        return false;
      },
    );
    done.set(key, outcome);
    return outcome;
  };
  const mustRepeat: string[] = [];
  for (const { messageId, message } of shortestFirst(batch)) {
    const advanced = (saleId: SaleId) => succeeds(saleId, () => advanceSale(deps, saleId, deadlineMs, 'nothing'));
    const swept = (saleId: SaleId) => succeeds(`sweep ${saleId}`, () => sweepCancellation(deps, saleId, deadlineMs));
    const runs =
      'sweep' in message
        ? [swept(message.sweep.saleId)]
        : 'job' in message
          ? [succeeds(`job ${JSON.stringify(message)}`, () => runJob(deps, message, deadlineMs))]
          : 'saleId' in message
            ? [advanced(message.saleId)]
            : 'detail' in message
              ? [
                  succeeds(messageId, () => sendOfferEnds(deps, message.detail.changes)),
                  ...message.detail.stocks.filter(mayHaveMore).map(({ saleId }) => advanced(saleId)),
                ]
              : [
                  succeeds(`sales after ${message.after?.saleId}`, () => advanceAll(deps, deadlineMs, message.after)),
                  succeeds('every cancellation', () => sweepLeftOpen(deps, deadlineMs)),
                  succeeds('every job', () => runIdleJobs(deps, deadlineMs)),
                ];
    if ((await Promise.all(runs)).includes(false)) mustRepeat.push(messageId);
  }
  return mustRepeat;
}

/** The messages in processing order: short work first, long jobs last. */
function shortestFirst(batch: readonly Delivered<AdvanceTrigger>[]): Delivered<AdvanceTrigger>[] {
  const isLong = ({ message }: Delivered<AdvanceTrigger>) => 'job' in message || 'sweep' in message;
  return [...batch.filter((one) => !isLong(one)), ...batch.filter(isLong)];
}

/** Whether more may be waiting for the units that a transaction left than it could make offers to. */
function mayHaveMore({ available, waitlisted }: StockLevel): boolean {
  return available > 0 && waitlisted > 0;
}

/** Schedules the ends of the offers that an event reports, so that their units reach the next in line within seconds. */
async function sendOfferEnds(deps: WriteNeeds, changes: readonly ReservationChange[]): Promise<void> {
  const offers = changes.flatMap(({ saleId, deadlineMs }) =>
    deadlineMs === undefined ? [] : [{ saleId, deadlineMs }],
  );
  for (const [saleId, ends] of Map.groupBy(offers, (offer) => offer.saleId)) {
    await sendBoundaries(
      deps,
      saleId,
      ends.map(({ deadlineMs }) => deadlineMs),
      boundaryHorizonMs,
    );
  }
}

/**
 * Advances every sale in which something can still happen, starting after `after`. A sale that fails does not hold up the
 * others. If the time runs out, a message continues with the rest at once.
 */
export async function advanceAll(
  deps: WriteNeeds,
  deadlineMs: number,
  after?: z.infer<typeof TickCommand>['after'],
): Promise<void> {
  const failed: unknown[] = [];
  let reached = after;
  for (const sale of await listUnfinishedSales(deps.db, after)) {
    if (deps.clock() >= deadlineMs) {
      await deps.queue('advance').send({ body: { 'detail-type': 'Scheduled Event', after: reached } });
      break;
    }
    await advanceSale(deps, sale.saleId, deadlineMs, 'everything').catch((error) => failed.push(error));
    reached = sale;
  }
  // The redelivered trigger, or the next one, advances the sales that failed.
  if (failed.length > 0) throw new Error(`${failed.length} sales could not be advanced`, { cause: failed[0] });
}

/**
 * Advances one sale to where the clock says it is. Only the minute's rule schedules everything that comes next; the end of
 * an offer is scheduled by the consumer of its event. If each such message scheduled all that follow it, their number would
 * double at every boundary. Long work continues by messages of its own.
 */
export async function advanceSale(
  deps: WriteNeeds,
  saleId: SaleId,
  deadlineMs: number,
  ahead: 'everything' | 'nothing',
): Promise<void> {
  const nowMs = deps.clock();
  const { sale, jobs = [] } = await writeThrough(deps, (tx) => announcePhase(tx, saleId, deps.clock));
  for (const job of jobs) await sendJob(deps, job);
  // A pause stops the clock of everything that would follow; resuming schedules it.
  if (!sale || sale.status === 'paused') return;
  if (isOver(sale, nowMs)) {
    await endSale(deps, sale);
  } else {
    const { isLeft } = await expireOffers(deps, saleId, sliceEndMs(nowMs, deadlineMs));
    if (isLeft) await deps.queue('advance').send({ body: { saleId } });
  }
  const leadMs = dueLeadMs(sale);
  if (leadMs !== undefined) await remindDue(deps, saleId, deadlineMs);
  if (ahead === 'nothing') return;
  const offersMs = await readOfferDeadlines(deps.db, sale, nowMs + 1, nowMs + boundaryHorizonMs);
  const remindersMs = leadMs === undefined ? [] : offersMs.map((atMs) => atMs - leadMs);
  const aheadMs = [...boundariesAfter(sale, nowMs), ...offersMs, ...remindersMs];
  await sendBoundaries(deps, saleId, aheadMs, boundaryHorizonMs);
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
  const remindAtMs = sale.purchaseClosesAtMs - remindBeforeMs(sale);
  const remind =
    phase === 'purchasing' && sale.status === 'active' && sale.remindedAtMs === null && nowMs >= remindAtMs;
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
