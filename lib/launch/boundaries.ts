/**
 * Boundaries to the second: a rule fires once a minute, so boundaries before the next run are sent as delayed messages.
 *
 * A boundary message only names a sale. It may arrive early, late, twice or never: the rule of every minute advances every
 * sale anyway, and what customers may do is decided by the clock.
 */

import * as z from 'zod';
import type { Needs } from '#platform/environment/deps.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import { readOfferDeadlines } from '#reservation/reservation.store.ts';
import { boundariesAfter, type SaleTimes } from '#sale/phase.ts';
import type { SaleRow } from '#sale/sale.store.ts';

/** The rule fires once a minute; boundaries are sent ahead for a little longer, so that a late tick leaves no gap. */
export const boundaryHorizonMs = 150_000;

/** SQS holds a message back for at most this long. */
const longestDelayMs = 900_000;

/** The command in the queue `advance`: advance this sale now, or go on with what is long in it. */
export const AdvanceCommand = z.object({
  saleId: idOf<SaleId>(),
  /** The turn that it goes on with (`one-at-a-time.ts`). */
  turn: z.string().optional(),
});
export type AdvanceCommand = z.infer<typeof AdvanceCommand>;

/**
 * Sends a message at once, and a delayed one for each boundary of a sale and each end of its offers that is near enough for
 * an SQS delay. Never throws: the minute's rule looks at every sale anyway.
 */
export async function scheduleBoundaries(
  deps: Needs<'db' | 'queue' | 'clock'>,
  sale: Pick<SaleRow, 'saleId' | 'clockOffsetMs' | 'status' | 'publicFromMs' | keyof SaleTimes>,
): Promise<void> {
  // Nothing is due in a pause but publication, of which the minute's rule tells; resuming schedules what follows.
  if (sale.status === 'paused') return;
  try {
    const nowMs = deps.clock();
    const offersMs = await readOfferDeadlines(deps.db, sale, nowMs, nowMs + longestDelayMs);
    // At once too: after the change a boundary may already have passed.
    await sendBoundaries(deps, sale.saleId, [nowMs, ...boundariesAfter(sale, nowMs), ...offersMs], longestDelayMs);
  } catch (error) {
    log.warn('the next tick will catch up with a changed sale', { error, saleId: sale.saleId });
  }
}

/** Sends a delayed message for each of these times that is still to come within `horizonMs`. Throws if it cannot. */
export async function sendBoundaries(
  deps: Needs<'queue' | 'clock'>,
  saleId: SaleId,
  dueMs: readonly number[],
  horizonMs: number,
): Promise<void> {
  const nowMs = deps.clock();
  // Rounded up to whole seconds, so that the message never arrives early.
  const delays = dueMs.map((atMs) => Math.ceil((atMs - nowMs) / 1000)).filter((delay) => delay >= 0);
  const wanted = [...new Set(delays)].filter((delay) => delay * 1000 <= horizonMs);
  await deps.queue('advance').sendAll(wanted.map((delaySeconds) => ({ body: { saleId }, delaySeconds })));
}
