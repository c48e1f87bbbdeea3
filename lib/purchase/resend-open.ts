/**
 * The settle job's verb: queues purchases whose outcome has been open for too long, whether or not they have messages.
 * So a lost message, a send that failed after the commit, or a dead worker only costs a minute.
 */
import type { Needs } from '#platform/environment/deps.ts';
import { log } from '#platform/kernel/log.ts';
import { longestDelaySeconds, sendCommands } from './pay-queue.ts';
import { listLeftOpen } from './purchase.store.ts';

/** How long a purchase may be open without an update; longer than it can be parked, so that parked ones are skipped. */
export const leftOpenAfterMs = (longestDelaySeconds + 15) * 1_000;
const purchasesPerRun = 5_000;

/**
 * Sends a command for each purchase left open, the oldest first. Each carries the attempts seen now, so that it is
 * dropped if the purchase's own message arrives first. Returns how many were sent.
 */
export async function resendOpenPurchases(deps: Needs<'db' | 'clock' | 'queue'>): Promise<number> {
  const open = await listLeftOpen(deps.db, deps.clock() - leftOpenAfterMs, purchasesPerRun);
  if (open.length === 0) return 0;
  const sent = await sendCommands(deps, open);
  log.info('purchases were left open', { purchases: open.length, sent });
  return sent ? open.length : 0;
}
