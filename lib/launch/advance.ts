/**
 * Advancing sales: what each trigger of time sets going. A boundary advances its sale (`advance-sale.ts`), the minute's rule
 * all of them (`round.ts`); a job and a sweep go on; units that were released are offered.
 *
 * It is safe early, late, repeated, concurrently, or not at all: invariant I8 does not depend on it.
 */

import * as z from 'zod';
import { catalog } from '#events/catalog.ts';
import type { ReservationChange } from '#events/changes.ts';
import type { WriteNeeds } from '#mirror/write-through.ts';
import type { Delivered, MustRepeat } from '#platform/handlers/queue.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import type { StockLevel } from '#sale/sale.shapes.ts';
import { advanceSale } from './advance-sale.ts';
import { AdvanceCommand, boundaryHorizonMs, sendBoundaries } from './boundaries.ts';
import { SweepCommand, sweepCancellation, sweepLeftOpen } from './cancellation.ts';
import { JobCommand, runIdleJobs, runJob } from './jobs.ts';
import { advanceAll, TickCommand } from './round.ts';

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
    // What goes on with a turn is not the same as a trigger without one.
    const advanced = (saleId: SaleId, turn?: string) =>
      succeeds(`sale ${saleId} ${turn}`, () => advanceSale(deps, saleId, deadlineMs, 'nothing', turn));
    const swept = (saleId: SaleId, turn?: string) =>
      succeeds(`sweep ${saleId} ${turn}`, () => sweepCancellation(deps, saleId, deadlineMs, turn));
    const runs =
      'sweep' in message
        ? [swept(message.sweep.saleId, message.sweep.turn)]
        : 'job' in message
          ? [succeeds(`job ${JSON.stringify(message)}`, () => runJob(deps, message, deadlineMs))]
          : 'saleId' in message
            ? [advanced(message.saleId, message.turn)]
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
