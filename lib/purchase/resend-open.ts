/**
 * The settle job's verb: queues purchases whose outcome has been open for too long, whatever became of their messages.
 * It is why a lost message, a send that failed after the commit, or a dead worker costs a minute and nothing else.
 */
import type { Clock } from '#platform/kernel/clock.ts';
import { log } from '#platform/kernel/log.ts';
import { type Enqueue, longestDelaySeconds, sendCommands } from './pay-queue.ts';
import type { PurchaseStore } from './store.ts';

/** What the settle job needs from outside. */
export interface ResendPorts {
  readonly clock: Clock;
  readonly store: Pick<PurchaseStore, 'leftOpen'>;
  readonly enqueue: Enqueue;
}

/** How long a purchase may be open and untouched; longer than it can be parked, so that parked ones are left alone. */
export const leftOpenAfterMs = (longestDelaySeconds + 15) * 1_000;
const purchasesPerRun = 5_000;

/**
 * Sends a command for each purchase left open, the oldest first. Each carries the attempts seen now, so that it is
 * dropped if the purchase's own message comes first. Returns how many were sent.
 */
export async function resendOpenPurchases(ports: ResendPorts): Promise<number> {
  const open = await ports.store.leftOpen(ports.clock() - leftOpenAfterMs, purchasesPerRun);
  if (open.length === 0) return 0;
  const sent = await sendCommands(ports.enqueue, open);
  log.info('purchases were left open', { purchases: open.length, sent });
  return sent ? open.length : 0;
}
