/**
 * The queue `purchases`: which purchase is attempted next, and when.
 *
 * A command is only a hint; the truth is an open row in MySQL. So a command that could not be sent only costs time, since
 * the settle job sends a command for every purchase left open, and a duplicate command is dropped.
 */
import type { Needs } from '#platform/environment/deps.ts';
import { correlationId, log } from '#platform/kernel/log.ts';
import type { PayCommand } from './purchase.shapes.ts';
import type { PurchaseRow } from './purchase.store.ts';

/** The longest a purchase is parked between two attempts; below `leftOpenAfterMs`, so that the settle job can wait. */
export const longestDelaySeconds = 45;

/** Sends commands to attempt purchases, each delayed by `delaySeconds`. Never throws. */
export async function sendCommands(
  deps: Needs<'queue'>,
  purchases: readonly Pick<PurchaseRow, 'purchaseId' | 'attempts'>[],
  delaySeconds: (attempts: number) => number = () => 0,
): Promise<boolean> {
  if (purchases.length === 0) return true;
  const id = correlationId();
  const messages = purchases.map(({ purchaseId, attempts }) => {
    const command: PayCommand = { purchaseId, attempt: attempts, ...(id === undefined ? {} : { correlationId: id }) };
    return { body: command, delaySeconds: delaySeconds(attempts) };
  });
  try {
    await deps.queue('purchases').sendAll(messages);
    return true;
  } catch (error) {
    log.warn('purchases could not be queued; the settle job will queue them', { error, purchases: purchases.length });
    return false;
  }
}

/** Exponential back-off after so many attempts: doubles from a second up to a bound, less up to a half of jitter. */
export function backOffSeconds(attempts: number, random: () => number): number {
  const ceiling = Math.min(longestDelaySeconds, 2 ** Math.min(Math.max(0, attempts - 1), 10));
  return Math.ceil(ceiling * (0.5 + random() / 2));
}
