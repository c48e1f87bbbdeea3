/**
 * The pay worker: takes purchases from the queue, calls the provider, and settles its answers.
 *
 * Invariants. I7: the attempt is counted and committed before the provider is called, so a later attempt queries first.
 * I2: a purchase that is still open afterwards is parked: a delayed command is sent and the message acknowledged, so that
 * an outage of the provider for hours fills no dead-letter queue, refuses no customer and releases no units.
 *
 * A command carries the number of attempts that its sender saw. Only one with the current number is carried out, so that
 * duplicates end here and each purchase has one chain of attempts. A message that SQS redelivers is carried out in any
 * case: its first delivery may have died between the count and the answer.
 */

import pLimit from 'p-limit';
import type { WriteNeeds } from '#mirror/write-through.ts';
import type { Needs } from '#platform/environment/deps.ts';
import type { Delivered, MustRepeat } from '#platform/handlers/queue.ts';
import { log, withCorrelation } from '#platform/kernel/log.ts';
import { providerCallTimeoutMs } from '#platform/kernel/time-limits.ts';
import { batched } from '#platform/resilience/batcher.ts';
import { openStates } from '#state/purchase-state.ts';
import { backOffSeconds, sendCommands } from './pay-queue.ts';
import { paymentGateway } from './payment-gateway.ts';
import { askProvider } from './provider.ts';
import type { PayCommand } from './purchase.shapes.ts';
import { countAttempt, lockPurchases, type PurchaseRow } from './purchase.store.ts';
import { type Answered, settlePurchases } from './settle.ts';

/** What the pay worker needs. */
export type PayNeeds = WriteNeeds & Needs<'registry' | 'breakers' | 'random'>;

/** How many calls to the provider one batch makes at once. */
export const callsInFlight = 10;
/** Time reserved after the last call, to settle its answer. */
const settleReserveMs = 1_500;

/**
 * Makes one attempt for each purchase of a batch. Returns the messages whose outcome could not be committed.
 * Throws if the attempts could not be counted; then the provider was not called.
 */
export async function payPurchases(
  deps: PayNeeds,
  batch: readonly Delivered<PayCommand>[],
  deadlineMs: number,
): Promise<MustRepeat> {
  const provider = deps.once(paymentGateway);
  const begun = await beginAttempts(deps, batch);
  const hasTime = () => deps.clock() + providerCallTimeoutMs + settleReserveMs <= deadlineMs;
  const settle = batched((answered: readonly Answered[]) => settleEach(deps, answered), {
    maxBatchSize: callsInFlight,
    maxInFlight: 1,
  });
  const repeat: string[] = [];

  await pLimit(callsInFlight).map(begun, async ({ purchase, messageId, command }) => {
    const { purchaseId } = purchase;
    try {
      const answer = await askProvider(provider, purchase, deps.clock(), hasTime);
      const now = await settle({ purchaseId, answer, correlationId: command.correlationId });
      if (now && openStates.includes(now.state)) await park(deps, now, command);
    } catch (error) {
      log.error('the outcome of an attempt could not be committed', { error, purchaseId });
      repeat.push(messageId);
    }
  });
  return repeat;
}

/**
 * Settles all answers that arrived in the meantime in one transaction (group commit): a commit for each answer costs more,
 * and waiting for the slowest answer takes longer. If it fails, each is settled alone, so that one that cannot be settled
 * does not hold up the others.
 */
async function settleEach(deps: PayNeeds, answered: readonly Answered[]): Promise<(PurchaseRow | undefined | Error)[]> {
  try {
    const settled = await settlePurchases(deps, answered);
    return answered.map(({ purchaseId }) => settled.get(purchaseId));
  } catch (error) {
    if (answered.length === 1) throw error;
    const alone: (PurchaseRow | undefined | Error)[] = [];
    for (const one of answered) alone.push(...(await settleEach(deps, [one]).catch((reason: Error) => [reason])));
    return alone;
  }
}

interface Attempt {
  readonly messageId: string;
  readonly command: PayCommand;
  /** As it was before this attempt was counted. */
  readonly purchase: PurchaseRow;
}

/** Counts an attempt for each purchase that is open and whose command is current; the others need none. */
async function beginAttempts(deps: PayNeeds, batch: readonly Delivered<PayCommand>[]): Promise<Attempt[]> {
  const deliveries = Map.groupBy(batch, (delivered) => delivered.message.purchaseId);
  return deps.db.transaction(async (tx) => {
    const attempts = (await lockPurchases(tx, [...deliveries.keys()])).flatMap((purchase): Attempt[] => {
      const due = deliveries.get(purchase.purchaseId)?.find((delivered) => isDue(purchase, delivered));
      return due ? [{ purchase, messageId: due.messageId, command: due.message }] : [];
    });
    await countAttempt(
      tx,
      attempts.map((attempt) => attempt.purchase.purchaseId),
      deps.clock(),
    );
    return attempts;
  });
}

/** Whether a command calls for an attempt now. Pure. */
export function isDue(
  purchase: Pick<PurchaseRow, 'state' | 'attempts'>,
  delivered: Pick<Delivered<PayCommand>, 'message' | 'deliveries'>,
): boolean {
  if (!openStates.includes(purchase.state)) return false;
  const { attempt } = delivered.message;
  return attempt === undefined || attempt === purchase.attempts || delivered.deliveries > 1;
}

async function park(deps: PayNeeds, purchase: PurchaseRow, command: PayCommand): Promise<void> {
  const send = () => sendCommands(deps, [purchase], (attempts) => backOffSeconds(attempts, deps.random));
  await (command.correlationId === undefined ? send() : withCorrelation(command.correlationId, send));
}
