/**
 * Deciding a dispute: the provider captured something other than the order, or tells of a refund that contradicts its purchase,
 * and an operator says what becomes of it.
 *
 * Invariant I13: until then a disputed capture is neither bought nor given back, and a disputed refund changes no money. Once a
 * refund is accepted, it is in the books like any other that was made at the provider.
 */

import { changeOf, type Keep, keepNothing } from '#idempotency/kept-answer.ts';
import { type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { PurchaseId } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { readForAudit } from './for-audit.ts';
import { sendCommands } from './pay-queue.ts';
import type { DecideDispute, PurchaseAccepted } from './purchase.shapes.ts';
import { findPurchase, lockPurchases, type PurchaseRow } from './purchase.store.ts';
import { toAccepted } from './read.ts';
import { type RefundRow, readRefunds } from './refund.store.ts';
import { closeDispute, findRefundDispute, type RefundDispute } from './refund-dispute.store.ts';
import { capturedOf, costOf, givenBackOf } from './refund-rules.ts';
import { type Settled, settle } from './settle.ts';

/**
 * Decides a dispute. Of a capture: `accept` makes it a purchase for what was captured, `refund` gives the money back and frees
 * the units. Of a refund, which `refund` names: `accept` records it as made, `reject` leaves the purchase as it is. Refuses with
 * `illegal_state` unless it is disputed, if its units can no longer be bought, if the refund does not fit what is left of what
 * was captured, or if the opposite was decided meanwhile. The answer is given to `keep` in the same transaction.
 */
export async function decideDispute(
  deps: WriteNeeds & Needs<'queue'>,
  purchaseId: PurchaseId,
  decided: DecideDispute,
  keep: Keep = keepNothing,
): Promise<PurchaseAccepted | Refusal> {
  const current = await findPurchase(deps.db, purchaseId, undefined);
  if (!current) return refuse('not_found', 'There is no such purchase.');
  const { refund } = decided;
  const done =
    refund === undefined
      ? await decideCapture(deps, current, decided, keep)
      : await decideRefund(deps, current, refund, decided, keep);
  if (isRefusal(done)) return done;
  if (done.purchase.state === 'refunding') await sendCommands(deps, [done.purchase]);
  return done.answer;
}

/** A purchase whose dispute is decided, and what the operator is told. */
interface Decided {
  readonly purchase: PurchaseRow;
  readonly answer: PurchaseAccepted;
}

/** `before` is what the audit trail shows of the purchase before the decision, `refundKey` the disputed refund. */
async function answered(
  tx: Tx,
  purchase: PurchaseRow,
  keep: Keep,
  { before, refundKey }: { before: object | null; refundKey?: string },
): Promise<Decided> {
  const { purchaseId } = purchase;
  const change = changeOf(purchaseId, before, await readForAudit(tx, purchaseId, refundKey));
  return { purchase, answer: await keep(tx, toAccepted(purchase), change) };
}

async function decideCapture(
  deps: WriteNeeds,
  { purchaseId, state: before }: PurchaseRow,
  { decision }: DecideDispute,
  keep: Keep,
): Promise<Decided | Refusal> {
  if (before !== 'disputed')
    return refuse('illegal_state', `A purchase that is ${before} is not disputed.`, { state: before });
  const outcome = decision === 'accept' ? 'accepted' : 'rejected';
  return writeThrough(deps, async (tx, nowMs): Promise<(Settled & Decided) | Refusal> => {
    const found = await readForAudit(tx, purchaseId);
    const settled = await settle(tx, [{ purchaseId, answer: { outcome } }], nowMs);
    const [decided] = settled.purchases;
    if (!decided || decided.state === 'disputed') {
      return refuse('illegal_state', 'Its units can no longer be bought; refund it.', { state: 'disputed' });
    }
    const { state } = decided;
    // Decisions that arrive together are carried out one by one; the others are told what was decided.
    const isAccepted = state === 'captured';
    if (isAccepted !== (decision === 'accept')) {
      return refuse('illegal_state', 'It was decided otherwise in the meantime.', { state });
    }
    return { ...settled, ...(await answered(tx, decided, keep, { before: found })) };
  });
}

async function decideRefund(
  deps: WriteNeeds,
  purchase: PurchaseRow,
  refundKey: string,
  { decision, amountMinor }: DecideDispute,
  keep: Keep,
): Promise<Decided | Refusal> {
  const dispute = await findRefundDispute(deps.db, purchase.purchaseId, refundKey);
  if (!dispute) return refuse('not_found', 'The purchase has no such disputed refund.');
  const verdict = decision === 'accept' ? 'accepted' : 'rejected';
  if (dispute.state === verdict) return decideAgain(deps, purchase, dispute, amountMinor, keep);
  if (dispute.state !== 'open') return cameFirst(dispute.state);
  if (verdict === 'rejected') return reject(deps, purchase, dispute, keep);
  if (noRefundReasons.includes(dispute.reason)) {
    return refuse(
      'illegal_state',
      'That is no refund that could be recorded; settle it at the provider, then reject it.',
      {
        reason: dispute.reason,
      },
    );
  }
  const isSame = dispute.currency === null || dispute.currency === costOf(purchase).currency;
  const given = amountMinor ?? (isSame ? dispute.amountMinor : null);
  if (given === null) {
    const captured = costOf(purchase);
    return refuse('illegal_state', 'Say in amountMinor how much of what was captured it gave back.', { captured });
  }
  return accept(deps, purchase, dispute, given, keep);
}

/** What was told is not that money went back: there is nothing to accept, and the books stand until it is dealt with. */
const noRefundReasons = ['second_charge', 'refused_after_refund'];

/** The same verdict again changes nothing; with another amount than is recorded it is refused. */
async function decideAgain(
  { db }: Needs<'db'>,
  purchase: PurchaseRow,
  { purchaseId, refundKey }: RefundDispute,
  amountMinor: number | undefined,
  keep: Keep,
): Promise<Decided | Refusal> {
  return db.transaction(async (tx) => {
    const done = (await readRefunds(tx, [purchaseId])).find((one) => one.refundKey === refundKey);
    if (done && amountMinor !== undefined && done.amountMinor !== amountMinor) return recordedOtherwise(done);
    const before = await readForAudit(tx, purchaseId, refundKey);
    return answered(tx, purchase, keep, { before, refundKey });
  });
}

function recordedOtherwise({ amountMinor }: RefundRow): Refusal {
  return refuse('illegal_state', 'It is already recorded with another amount; reject what contradicts that.', {
    recordedMinor: amountMinor,
  });
}

function cameFirst(decided: RefundDispute['state']): Refusal {
  return refuse('illegal_state', 'It was decided otherwise in the meantime.', { decided });
}

async function reject(
  { db, clock }: Needs<'db' | 'clock'>,
  purchase: PurchaseRow,
  dispute: RefundDispute,
  keep: Keep,
): Promise<Decided | Refusal> {
  return db.transaction(async (tx) => {
    const { purchaseId, refundKey } = dispute;
    const [current = purchase] = await lockPurchases(tx, [purchaseId]);
    const before = await readForAudit(tx, purchaseId, refundKey);
    return (await close(tx, dispute, 'rejected', clock())) ?? answered(tx, current, keep, { before, refundKey });
  });
}

/** Closes a dispute; refuses if it was decided otherwise meanwhile. The purchase must be locked. */
async function close(
  tx: Tx,
  dispute: RefundDispute,
  verdict: 'accepted' | 'rejected',
  nowMs: number,
): Promise<Refusal | undefined> {
  if (await closeDispute(tx, dispute, verdict, nowMs)) return undefined;
  const now = await findRefundDispute(tx, dispute.purchaseId, dispute.refundKey);
  return now?.state === verdict ? undefined : cameFirst(now?.state ?? 'open');
}

/** Thrown where a decision cannot be carried out: the transaction is rolled back. */
class CannotDecide extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.detail);
    this.name = 'CannotDecide';
    this.refusal = refusal;
  }
}

/** Records a disputed refund as made. */
async function accept(
  deps: WriteNeeds,
  purchase: PurchaseRow,
  dispute: RefundDispute,
  amountMinor: number,
  keep: Keep,
): Promise<Decided | Refusal> {
  try {
    return await writeThrough(deps, async (tx, nowMs): Promise<Settled & Decided> => {
      const { purchaseId, refundKey } = dispute;
      const before = await readForAudit(tx, purchaseId, refundKey);
      const settled = await acceptWithin(tx, purchase, dispute, amountMinor, nowMs);
      const [current = purchase] = settled.purchases;
      return { ...settled, ...(await answered(tx, current, keep, { before, refundKey })) };
    });
  } catch (error) {
    if (error instanceof CannotDecide) return error.refusal;
    throw error;
  }
}

async function acceptWithin(
  tx: Tx,
  purchase: PurchaseRow,
  dispute: RefundDispute,
  amountMinor: number,
  nowMs: number,
): Promise<Settled> {
  const { purchaseId } = purchase;
  const { refundKey } = dispute;
  // As it should have been told: of this purchase's charge, in its currency.
  const chargeId = purchase.chargeId ?? dispute.chargeId;
  const answer = { outcome: 'refunded', chargeId, amountMinor, refundKey } as const;
  const settled = await settle(tx, [{ purchaseId, answer }], nowMs);
  const refusal = await close(tx, dispute, 'accepted', nowMs);
  if (refusal) throw new CannotDecide(refusal);
  const refunds = await readRefunds(tx, [purchaseId]);
  const done = refunds.find((one) => one.refundKey === refundKey && one.state === 'refunded');
  if (done && done.amountMinor !== amountMinor) throw new CannotDecide(recordedOtherwise(done));
  const leftMinor = capturedOf(purchase) - givenBackOf(refunds.filter((one) => one !== done));
  if (!done || amountMinor > leftMinor) {
    const detail = 'That is more than is left of what was captured; say in amountMinor how much it gave back.';
    throw new CannotDecide(refuse('illegal_state', detail, { leftMinor: Math.max(0, leftMinor) }));
  }
  return settled;
}
