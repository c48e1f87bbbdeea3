/**
 * The pay worker: takes purchases from the queue, calls the provider, and settles its answers.
 *
 * Invariants. I7: the attempt is counted and committed before the provider is called, with the provider's name, so a later
 * attempt queries first, and queries the same one.
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
import type { Tx } from '#platform/mysql/mysql.ts';
import type { ProviderName } from '#platform/payments/provider-names.ts';
import { batched } from '#platform/resilience/batcher.ts';
import { isOutage } from '#platform/resilience/outage.ts';
import { readSales } from '#sale/sale.store.ts';
import { openStates } from '#state/purchase-state.ts';
import { actionGraceMs } from './action.ts';
import { backOffSeconds, longestDelaySeconds, sendCommands } from './pay-queue.ts';
import { type AskedPurchase, askProvider, type PaymentAnswer } from './provider.ts';
import { providerOf } from './provider-name.ts';
import { providerNamed } from './providers.ts';
import type { PayCommand } from './purchase.shapes.ts';
import { countAttempt, lockPurchases, type PurchaseRow, readItems } from './purchase.store.ts';
import { insertRefunds, type RefundRow, readRefunds } from './refund.store.ts';
import { leftToRefund, newRefund } from './refund-rules.ts';
import { type Answered, settlePurchases } from './settle.ts';

/** What the pay worker needs. */
export type PayNeeds = WriteNeeds & Needs<'registry' | 'breakers' | 'random'>;

/** How many calls to the provider one batch makes at once. */
export const callsInFlight = 10;
/** The longest time for which a payment is parked after its customer did not act in time. */
const overdueDelaySeconds = 10;
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
  const begun = await beginAttempts(deps, batch);
  const hasTime = () => deps.clock() + providerCallTimeoutMs + settleReserveMs <= deadlineMs;
  const settle = batched((answered: readonly Answered[]) => settleEach(deps, answered), {
    maxBatchSize: callsInFlight,
    maxInFlight: 1,
  });
  const repeat: string[] = [];

  await pLimit(callsInFlight).map(begun, async ({ purchase, provider, messageId, command }) => {
    const { purchaseId } = purchase;
    try {
      const answer = await askProvider(providerNamed(deps, provider), purchase, deps.clock(), hasTime);
      const now = await settle({ purchaseId, answer, provider, correlationId: command.correlationId });
      if (now && openStates.includes(now.state)) await park(deps, now, command, answer);
    } catch (error) {
      log.error('the outcome of an attempt could not be committed', { error, purchaseId });
      repeat.push(messageId);
    }
  });
  return repeat;
}

/**
 * Settles in one transaction all answers that the provider has given meanwhile (group commit): a transaction for each would
 * cost every purchase its full price, and waiting for the slowest would cost time. If the transaction fails for another
 * reason than an outage, each answer is settled alone, so that one bad answer does not hold up the others.
 */
async function settleEach(deps: PayNeeds, answered: readonly Answered[]): Promise<(PurchaseRow | undefined | Error)[]> {
  try {
    const settled = await settlePurchases(deps, answered);
    return answered.map(({ purchaseId }) => settled.get(purchaseId));
  } catch (error) {
    // During an outage, settling each alone would fail as well.
    if (answered.length === 1 || isOutage(error)) throw error;
    const alone: (PurchaseRow | undefined | Error)[] = [];
    for (const one of answered) alone.push(...(await settleEach(deps, [one]).catch((reason: Error) => [reason])));
    return alone;
  }
}

interface Attempt {
  readonly messageId: string;
  readonly command: PayCommand;
  /** The purchase before this attempt was counted, with what the next question depends on. */
  readonly purchase: AskedPurchase;
  /** Who charges it. */
  readonly provider: ProviderName;
}

/** Counts an attempt for each purchase that is open and whose command is current; the others need none. */
async function beginAttempts(deps: PayNeeds, batch: readonly Delivered<PayCommand>[]): Promise<Attempt[]> {
  const deliveries = Map.groupBy(batch, (delivered) => delivered.message.purchaseId);
  return deps.db.transaction(async (tx) => {
    const attempts = (await lockPurchases(tx, [...deliveries.keys()])).flatMap((purchase): Attempt[] => {
      const due = deliveries.get(purchase.purchaseId)?.find((delivered) => isDue(purchase, delivered));
      if (!due) return [];
      const provider = providerOf(purchase, deps.registry);
      return [{ purchase, provider, messageId: due.messageId, command: due.message }];
    });
    const nowMs = deps.clock();
    for (const [provider, ones] of Map.groupBy(attempts, (attempt) => attempt.provider)) {
      const purchaseIds = ones.map((attempt) => attempt.purchase.purchaseId);
      await countAttempt(tx, purchaseIds, provider, nowMs);
    }
    const asked = await withQuestions(
      tx,
      attempts.map((attempt) => attempt.purchase),
      nowMs,
    );
    return attempts.map((attempt, index) => ({ ...attempt, purchase: asked[index] ?? attempt.purchase }));
  });
}

/** Adds what the next question to the provider depends on: which refund is next, and whether there is still a sale. */
async function withQuestions(tx: Tx, purchases: readonly PurchaseRow[], nowMs: number): Promise<AskedPurchase[]> {
  const ids = (wanted: (purchase: PurchaseRow) => boolean) => purchases.filter(wanted).map((one) => one.purchaseId);
  const isRefunding = ({ state }: PurchaseRow) => state === 'refunding';
  const items = Map.groupBy(
    await readItems(
      tx,
      ids((one) => !isRefunding(one)),
    ),
    (item) => item.purchaseId,
  );
  const sales = await readSales(tx, [...new Set([...items.values()].flat().map((item) => item.saleId))]);
  const refunds = Map.groupBy(await readRefunds(tx, ids(isRefunding)), (refund) => refund.purchaseId);
  const missing: RefundRow[] = [];
  const asked = purchases.map((purchase): AskedPurchase => {
    const own = items.get(purchase.purchaseId) ?? [];
    const calledOff = own.length > 0 && own.every((item) => sales.get(item.saleId)?.status === 'cancelled');
    if (!isRefunding(purchase)) return { ...purchase, calledOff };
    const given = refunds.get(purchase.purchaseId) ?? [];
    const refund = given.find((one) => one.state === 'pending') ?? wholeRefund(purchase, given, nowMs);
    if (!given.includes(refund)) missing.push(refund);
    return { ...purchase, refund };
  });
  await insertRefunds(tx, missing);
  return asked;
}

/** The refund of a purchase that an older build ordered, before refunds had rows of their own. */
function wholeRefund(purchase: PurchaseRow, given: readonly RefundRow[], nowMs: number): RefundRow {
  const { purchaseId, reason } = purchase;
  const amountMinor = leftToRefund(purchase, given);
  return newRefund({ purchaseId, refundKey: 'refund', amountMinor, reason: reason ?? 'refund_ordered' }, nowMs);
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

/**
 * The longest time for which a purchase is parked. The end of a customer's action is checked to the second, and again soon
 * after, as long as the units wait for it. Pure.
 */
export function secondsToNextLook({ actionDeadlineMs }: Pick<PurchaseRow, 'actionDeadlineMs'>, nowMs: number): number {
  if (actionDeadlineMs === null || nowMs >= actionDeadlineMs + actionGraceMs) return longestDelaySeconds;
  return actionDeadlineMs > nowMs ? Math.ceil((actionDeadlineMs - nowMs) / 1_000) : overdueDelaySeconds;
}

/** Sends the command for the next attempt: at once if the provider has just settled one refund and owes more. */
async function park(deps: PayNeeds, purchase: PurchaseRow, command: PayCommand, answer: PaymentAnswer): Promise<void> {
  const atMostSeconds = secondsToNextLook(purchase, deps.clock());
  const goesOn = answer.outcome === 'refunded' || answer.outcome === 'refused';
  const delay = (attempts: number) => (goesOn ? 0 : Math.min(atMostSeconds, backOffSeconds(attempts, deps.random)));
  const send = () => sendCommands(deps, [purchase], delay);
  await (command.correlationId === undefined ? send() : withCorrelation(command.correlationId, send));
}
