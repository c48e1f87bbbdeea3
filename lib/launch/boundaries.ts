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
import { boundariesAfter, type SaleTimes } from '#sale/phase.ts';

/** The longest delay that SQS allows. */
const longestDelayMs = 900_000;

/** The command in the queue `advance`: advance this sale now. */
export const AdvanceCommand = z.object({ saleId: idOf<SaleId>() });
export type AdvanceCommand = z.infer<typeof AdvanceCommand>;

/**
 * Sends a delayed message for each boundary of a sale within the longest delay of SQS. Never throws: the rule of every
 * minute advances every sale anyway.
 */
export async function scheduleBoundaries(
  deps: Needs<'queue' | 'clock'>,
  sale: SaleTimes & { saleId: SaleId },
): Promise<void> {
  const dueMs = boundariesAfter(sale, deps.clock());
  await sendBoundaries(deps, sale.saleId, dueMs, longestDelayMs).catch((error) =>
    log.warn('boundaries could not be scheduled; the next minute advances the sale', { error, saleId: sale.saleId }),
  );
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
