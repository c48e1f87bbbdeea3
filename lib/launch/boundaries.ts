/**
 * Boundaries to the second: a rule fires once a minute, so what is due sooner is sent ahead as a delayed message.
 *
 * A boundary message says only which sale to look at. It may come early, late, twice or never: the minute's rule looks at
 * every sale anyway, and what customers may do is judged by the clock.
 */
import { z } from 'zod';
import type { Queue } from '#platform/aws/sqs.ts';
import { boundariesAfter, type SaleTimes } from '#sale/phase.ts';

/** SQS holds a message back for at most this long. */
const longestDelayMs = 900_000;

/** The command in the queue `advance`: look at this sale now. */
export const AdvanceCommand = z.object({ saleId: z.uuid() });
export type AdvanceCommand = z.infer<typeof AdvanceCommand>;

/** Sends a delayed message for each boundary of a sale that SQS can hold back so long. Throws if it cannot be reached. */
export function scheduleBoundaries(queue: Queue, sale: SaleTimes & { saleId: string }, nowMs: number): Promise<void> {
  return sendBoundaries(queue, sale.saleId, boundariesAfter(sale, nowMs), nowMs, longestDelayMs);
}

/** Sends a delayed message for each of these times that is still to come within `horizonMs`. Throws if it cannot. */
export async function sendBoundaries(
  queue: Queue,
  saleId: string,
  dueMs: readonly number[],
  nowMs: number,
  horizonMs: number,
): Promise<void> {
  // Rounded up to whole seconds, so that the message never comes before its time.
  const delays = dueMs.map((atMs) => Math.ceil((atMs - nowMs) / 1000)).filter((delay) => delay >= 0);
  const wanted = [...new Set(delays)].filter((delay) => delay * 1000 <= horizonMs);
  await queue.sendAll(wanted.map((delaySeconds) => ({ body: { saleId }, delaySeconds })));
}
