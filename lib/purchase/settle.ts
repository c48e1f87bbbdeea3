/**
 * Settling: applies the provider's answers, from the pay worker or the webhook, to purchases, reservations and stock.
 *
 * Invariants. I7: a purchase is captured once, and a capture that can no longer be a purchase is given back. I13: nothing is
 * kept for a sale that was called off, and a capture that differs from the order is disputed, not bought. I1: units move
 * from allocated to sold in the transaction that makes the reservation bought. A missing answer settles nothing: the
 * purchase is unknown and its units stay set aside. Any answer may come twice, late, or out of order, so its meaning is
 * decided with the rows locked.
 */

import type { ReservationChange } from '#events/changes.ts';
import { changeEvents, newEvent, type RecordedEvent, recordEvents } from '#events/outbox.ts';
import { type Committed, type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import type { PurchaseId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { log, withCorrelation } from '#platform/kernel/log.ts';
import { measure } from '#platform/kernel/metrics.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import type { ProviderName } from '#platform/payments/provider-names.ts';
import { endOf } from '#reservation/expire.ts';
import { endAndOffer, movedChange } from '#reservation/release.ts';
import {
  lockReservations,
  markPurchased,
  markRefunded,
  type ReservationRow,
  unbindFromPurchases,
} from '#reservation/reservation.store.ts';
import { type Split, splitAfter, writeSplit } from '#reservation/split.ts';
import { type Movement, recordMovements } from '#sale/ledger.store.ts';
import type { StockLevel } from '#sale/sale.shapes.ts';
import { lockSales, moveStock, readSales, type SaleRow, type StockMove } from '#sale/sale.store.ts';
import { awaitedStates } from '#state/purchase-state.ts';
import type { ReservationState } from '#state/reservation-state.ts';
import { actionDeadlineMs } from './action.ts';
import { absenceIn, type Capture, type GivenBack, type PaymentAnswer } from './provider.ts';
import { firstProvider } from './provider-name.ts';
import type { BankAccount } from './purchase.shapes.ts';
import {
  countAbsence,
  lockPurchases,
  movePurchases,
  type PurchaseItem,
  type PurchaseMove,
  type PurchaseRow,
  readItems,
} from './purchase.store.ts';
import { insertRefunds, type RefundRow, readRefunds, updateRefunds } from './refund.store.ts';
import { insertNewDisputes, type RefundDispute } from './refund-dispute.store.ts';
import {
  capturedOf,
  costOf,
  givenBackOf,
  leftToRefund,
  missingShares,
  newRefund,
  reasonOf,
  shareOf,
  stateAfterRefunds,
  unitsToReturn,
} from './refund-rules.ts';

/** What an operator decides about a dispute: it counts as paid after all, or the money goes back. */
export interface DisputeDecision {
  readonly outcome: 'accepted' | 'rejected';
}

/** What the provider said of one purchase, or an operator decided about it. */
export interface Answered {
  readonly purchaseId: PurchaseId;
  readonly answer: PaymentAnswer | DisputeDecision;
  /** Which provider has said it; absent for an operator's decision. */
  readonly provider?: ProviderName | undefined;
  readonly correlationId?: string | undefined;
}

interface Asked {
  readonly kind: 'ask customer';
  readonly url: string;
  readonly deadlineMs: number | null;
  readonly transferTo: BankAccount | null;
  /** The provider's id of the charge to be, if it has one already. */
  readonly chargeId: string | undefined;
}

/** The effect of an answer on a purchase in its current state. */
export type Settlement =
  /** Paid. The shares of sales that were called off meanwhile must be given back. */
  | { readonly kind: 'capture'; readonly capture: Capture; readonly calledOff: readonly SaleId[] }
  | { readonly kind: 'decline'; readonly reason: string }
  /** The customer must act, until `deadlineMs` if the provider says so. */
  | Asked
  /** The time for the customer's action is over, and the provider cannot be asked: the units are released. */
  | { readonly kind: 'let go' }
  /** Captured, but there is nothing to buy any more: the charge must be given back. */
  | { readonly kind: 'give back'; readonly capture: Capture; readonly reason: string }
  /** Captured, but not what was ordered: an operator must decide. */
  | { readonly kind: 'dispute'; readonly capture: Capture; readonly reason: string }
  /** Money went back: for the refund that we asked for, or for one that we did not. */
  | { readonly kind: 'refund'; readonly given: GivenBack; readonly refund: RefundRow | undefined }
  | { readonly kind: 'refuse refund'; readonly refund: RefundRow; readonly reason: string }
  /** The provider tells of a refund that cannot be one of this purchase: an operator must decide. */
  | { readonly kind: 'dispute refund'; readonly given: GivenBack; readonly reason: string }
  /** Not known yet: the units stay set aside. */
  | { readonly kind: 'await' }
  | { readonly kind: 'nothing' };

type Ordered = Pick<PurchaseRow, 'purchaseId' | 'state' | 'amountMinor' | 'currency'>;

/** A purchase as it is, with what was captured for it so far. */
type Known = Ordered & Pick<PurchaseRow, 'chargeId' | 'capturedMinor' | 'capturedCurrency'>;

/** What else the meaning of an answer depends on. */
export interface Circumstances {
  /** The sales of the purchase that were called off. */
  readonly calledOff: ReadonlySet<SaleId>;
  /** Its refunds so far. */
  readonly refunds: readonly RefundRow[];
}

/** Decides what an answer means. Pure. `reservations` are the rows of the purchase's items that still exist. */
export function decideSettlement(
  purchase: Known,
  items: readonly PurchaseItem[],
  reservations: ReadonlyMap<ReservationId, ReservationRow>,
  answer: PaymentAnswer | DisputeDecision,
  { calledOff, refunds }: Circumstances,
): Settlement {
  const awaited = awaitedStates.includes(purchase.state);
  const isHeld = ({ reservationId }: PurchaseItem) => {
    const row = reservations.get(reservationId);
    return row?.state === 'allocated' && row.purchaseId === purchase.purchaseId;
  };
  switch (answer.outcome) {
    case 'captured': {
      if (!awaited && purchase.state !== 'declined') return { kind: 'nothing' };
      const mismatch = mismatchOf(purchase, answer);
      if (mismatch) return { kind: 'dispute', capture: answer, reason: mismatch };
      if (!awaited) return { kind: 'give back', capture: answer, reason: 'captured_after_decline' };
      const isOff = ({ saleId }: PurchaseItem) => calledOff.has(saleId);
      if (items.every(isOff)) return { kind: 'give back', capture: answer, reason: 'sale_cancelled' };
      // What was called off has been taken from the purchase, or is left now.
      if (!items.every((item) => isOff(item) || isHeld(item)))
        return { kind: 'give back', capture: answer, reason: 'reservation_gone' };
      const off = [...new Set(items.filter(isOff).map((item) => item.saleId))];
      return { kind: 'capture', capture: answer, calledOff: off };
    }
    case 'declined':
      return awaited ? { kind: 'decline', reason: answer.reason } : { kind: 'nothing' };
    case 'requires_action': {
      const { url, deadlineMs, transferTo = null, chargeId } = answer;
      const asks = awaited && purchase.state !== 'requires_action';
      return asks ? { kind: 'ask customer', url, deadlineMs, transferTo, chargeId } : { kind: 'nothing' };
    }
    case 'overdue':
      return purchase.state === 'requires_action' ? { kind: 'let go' } : { kind: 'nothing' };
    case 'refunded': {
      const given = besideWaived(refunds, answer);
      const refund = refundOf(refunds, given);
      const mismatch = mismatchOfRefund(purchase, refunds, refund, given);
      if (mismatch) return { kind: 'dispute refund', given, reason: mismatch };
      const isKnown = refund?.state === 'refunded' || purchase.state === 'refunded';
      return isKnown ? { kind: 'nothing' } : { kind: 'refund', given, refund };
    }
    case 'refused': {
      const { told } = answer;
      const refund = refunds.find((one) => one.refundKey === answer.refundKey);
      // What is told of an earlier attempt is known, and was made up for since.
      if (!refund || (told && told.refusals !== refund.refusals)) return { kind: 'nothing' };
      if (refund.state === 'pending') return { kind: 'refuse refund', refund, reason: answer.reason };
      const isContradiction = told && refund.state === 'refunded' && refund.amountMinor > 0;
      if (!isContradiction) return { kind: 'nothing' };
      return {
        kind: 'dispute refund',
        given: { ...told, refundKey: refund.refundKey },
        reason: 'refused_after_refund',
      };
    }
    case 'accepted': {
      const capture = disputedCapture(purchase);
      const canBeBought = items.every((item) => isHeld(item) && !calledOff.has(item.saleId));
      return capture && canBeBought ? { kind: 'capture', capture, calledOff: [] } : { kind: 'nothing' };
    }
    case 'rejected': {
      const capture = disputedCapture(purchase);
      return capture ? { kind: 'give back', capture, reason: 'dispute_rejected' } : { kind: 'nothing' };
    }
    case 'unknown':
      return purchase.state === 'requested' ? { kind: 'await' } : { kind: 'nothing' };
    case 'absent':
    case 'unsent':
      return { kind: 'nothing' };
  }
}

/** What was captured, if the purchase is disputed; otherwise undefined. */
function disputedCapture({ state, purchaseId, chargeId, capturedMinor, capturedCurrency }: Known): Capture | undefined {
  if (state !== 'disputed' || chargeId === null || capturedMinor === null || capturedCurrency === null)
    return undefined;
  return { chargeId, amountMinor: capturedMinor, currency: capturedCurrency, reference: purchaseId };
}

/** How a capture differs from the order, or undefined if it does not. Pure. */
export function mismatchOf(order: Ordered, capture: Capture): string | undefined {
  if (capture.reference !== order.purchaseId) return 'reference_mismatch';
  if (capture.currency !== order.currency) return 'currency_mismatch';
  return capture.amountMinor === order.amountMinor ? undefined : 'amount_mismatch';
}

/**
 * The refund that money was given back for. If the provider names none, the amount decides; one that was asked for under a
 * key that is not ours is never ours.
 */
function refundOf(refunds: readonly RefundRow[], given: GivenBack): RefundRow | undefined {
  const named = refunds.find((one) => one.refundKey === keyOf(given));
  if (named || given.refundKey !== undefined) return named;
  const { amountMinor } = given;
  return refunds.find((one) => one.state === 'pending' && (amountMinor === null || one.amountMinor === amountMinor));
}

/**
 * A refund of ours that was waived moves no money. If the provider makes it after all, that is a refund of its own, made at the
 * provider.
 */
function besideWaived(refunds: readonly RefundRow[], given: GivenBack): GivenBack {
  const isWaived = refunds.some((one) => one.refundKey === given.refundKey && one.amountMinor === 0);
  if (!isWaived || given.amountMinor === 0) return given;
  return { ...given, refundKey: keyOf({ ...given, refundKey: undefined }) };
}

/** The key of a refund: our own, or one for a refund that was made at the provider without our order. */
function keyOf({ refundKey, refundId, chargeId }: GivenBack): string {
  return (refundKey ?? `at-provider:${refundId ?? chargeId}`).slice(0, 64);
}

/**
 * How a refund that the provider tells of contradicts the purchase, or undefined if it does not. Pure. More than is left of
 * what was captured cannot have been given back. What the provider answers to our own request is not judged here.
 */
function mismatchOfRefund(
  purchase: Known,
  refunds: readonly RefundRow[],
  refund: RefundRow | undefined,
  { chargeId, currency, reference, amountMinor }: GivenBack,
): string | undefined {
  const isTold = refund === undefined || currency !== undefined;
  if (!isTold) return undefined;
  if (purchase.chargeId !== null && chargeId !== purchase.chargeId) return 'charge_mismatch';
  if (currency !== undefined && currency !== (purchase.capturedCurrency ?? purchase.currency))
    return 'currency_mismatch';
  if (!refund && reference !== undefined && reference !== purchase.purchaseId) return 'reference_mismatch';
  if (refund?.state === 'failed') return 'refunded_after_refusal';
  if (amountMinor === null) return undefined;
  if (refund) return amountMinor === refund.amountMinor ? undefined : 'amount_mismatch';
  return amountMinor > capturedOf(purchase) - givenBackOf(refunds) ? 'amount_mismatch' : undefined;
}

/** The answers that move money. */
function movesMoney({ outcome }: Answered['answer']): boolean {
  return outcome === 'captured' || outcome === 'refunded' || outcome === 'accepted' || outcome === 'rejected';
}

/** The answers that may move units; the others concern only the purchase. */
function movesStock(answer: Answered['answer']): boolean {
  return movesMoney(answer) || answer.outcome === 'declined' || answer.outcome === 'overdue';
}

/** A bought reservation that is split, since only some of its units return. */
interface RefundedInPart {
  readonly before: ReservationRow;
  readonly split: Split;
}

/** All effects of a batch of answers. */
interface Plan {
  readonly moves: PurchaseMove[];
  readonly bought: ReservationRow[];
  readonly refunded: ReservationRow[];
  /** Bought reservations of which only some units return. */
  readonly refundedInPart: RefundedInPart[];
  readonly freed: ReservationRow[];
  readonly newRefunds: RefundRow[];
  readonly changedRefunds: RefundRow[];
  readonly disputedRefunds: RefundDispute[];
  /** What was given back just now, by purchase. */
  readonly givenBack: Map<PurchaseId, number>;
  /** Purchases of which the last of the money went back just now, even if other work on them is left. */
  readonly allBack: Set<PurchaseId>;
}

export interface Settled extends Committed {
  /** The current purchases, whether or not the answer moved them. */
  readonly purchases: readonly PurchaseRow[];
}

/**
 * Settles purchases by the provider's answers, in one transaction, then refreshes the mirror and publishes.
 * Returns the updated purchases; one that does not exist is left out. Throws if the store fails; the answers must then be
 * settled again.
 */
export async function settlePurchases(
  deps: WriteNeeds,
  answered: readonly Answered[],
): Promise<Map<PurchaseId, PurchaseRow>> {
  const distinct = [...new Map(answered.map((one) => [one.purchaseId, one])).values()];
  const settled = await writeThrough(deps, (tx, nowMs) => settle(tx, distinct, nowMs));
  return new Map(settled.purchases.map((purchase) => [purchase.purchaseId, purchase]));
}

/** Settles within a transaction that has locked none of these purchases, nor anything that is locked before them. */
export async function settle(tx: Tx, answered: readonly Answered[], nowMs: number): Promise<Settled> {
  const answers = new Map(answered.map((one) => [one.purchaseId, one]));
  const ids = [...answers.keys()];
  const items = Map.groupBy(await readItems(tx, ids), (item) => item.purchaseId);
  const touched = (which: (answer: Answered['answer']) => boolean) =>
    answered.flatMap((one) => (which(one.answer) ? (items.get(one.purchaseId) ?? []) : []));

  const concerned = touched(movesStock);
  const sales = await lockSales(tx, [...new Set(concerned.map((item) => item.saleId))].sort());
  const purchases = await lockPurchases(tx, ids);
  const rows = await lockReservations(tx, [...new Set(concerned.map((item) => item.reservationId))]);
  const reservations = new Map(rows.map((row) => [row.reservationId, row]));

  const refunds = Map.groupBy(await readRefunds(tx, withRefunds(purchases, answers)), (refund) => refund.purchaseId);
  const calledOff = new Set(
    [...sales.values()].filter((sale) => sale.status === 'cancelled').map((sale) => sale.saleId),
  );

  const closesAtMs = await closesOf(
    tx,
    touched(({ outcome }) => outcome === 'requires_action'),
  );

  const plan = planFor(purchases, items, reservations, answers, { calledOff, refunds, closesAtMs }, nowMs);
  await insertRefunds(tx, plan.newRefunds);
  await updateRefunds(tx, plan.changedRefunds);
  for (const dispute of await insertNewDisputes(tx, plan.disputedRefunds)) {
    log.error(alarmOf(dispute), { ...dispute });
    measure({ PaymentsDisputed: 1 });
  }
  for (const [absence, ones] of Map.groupBy(answered, ({ answer }) => absenceIn(answer))) {
    const purchaseIds = ones.map(({ purchaseId }) => purchaseId);
    if (absence > 0) await countAbsence(tx, purchaseIds, absence);
  }
  await movePurchases(tx, plan.moves, nowMs);
  // A purchase that releases its units keeps its own state.
  const movedIds = [
    ...plan.moves.map((move) => move.from.purchaseId),
    ...plan.freed.flatMap((row) => row.purchaseId ?? []),
  ];
  await markPurchased(tx, plan.bought, movedIds);
  await markRefunded(tx, plan.refunded, movedIds);
  for (const { before, split } of plan.refundedInPart) await writeSplit(tx, before, split);
  await unbindFromPurchases(tx, plan.freed, movedIds);
  const returned = [...plan.refunded, ...plan.refundedInPart.map(({ split }) => split.part)];
  await recordMovements(tx, [...movements(plan.bought, 'SELL'), ...movements(returned, 'RELEASE')], nowMs);
  // The hot rows last: other workers wait for their locks.
  const stocks = await moveStock(tx, stockMoves(plan));
  const after = purchases.map((purchase) => afterMove(purchase, plan.moves, nowMs));
  const events = eventsOf(plan, after, items, stocks, answers, nowMs);
  await recordEvents(tx, events, nowMs);
  const changed = [
    ...[...movedTo('purchased', plan.bought), ...movedTo('refunded', plan.refunded)].map(({ to }) => to),
    ...plan.refundedInPart.flatMap(({ split }) => [split.whole, split.part]),
  ];
  const released = await release(tx, plan, sales, stocks, nowMs);
  return {
    purchases: after,
    stocks: [...stocks, ...released.stocks],
    reservations: [...changed, ...released.reservations],
    events: [...events, ...released.events],
  };
}

/**
 * Offers the units that a purchase leaves behind to the line in the same transaction (invariant I11): refunded units, and
 * those of reservations whose time ran out during the payment. `stocks` are the sales' after their moves.
 */
async function release(
  tx: Tx,
  plan: Plan,
  sales: ReadonlyMap<SaleId, SaleRow>,
  stocks: readonly StockLevel[],
  nowMs: number,
): Promise<Committed> {
  const released: Committed[] = [];
  for (const sale of sales.values()) {
    const over = plan.freed.flatMap((row) => {
      const end = row.saleId === sale.saleId ? endOf(sale, row, nowMs) : undefined;
      return end ? [{ row: { ...row, purchaseId: null }, end }] : [];
    });
    const refunded = [...plan.refunded, ...plan.refundedInPart.map(({ before }) => before)].some(
      (row) => row.saleId === sale.saleId,
    );
    if (over.length === 0 && !refunded) continue;
    const now = { ...sale, ...stocks.find((stock) => stock.saleId === sale.saleId) };
    // All reservations that end here end for one reason: the sale is over or called off, or these were offers.
    const { to, reason } = over[0]?.end ?? { to: 'expired', reason: null };
    const rows = over.map(({ row }) => row);
    released.push(await endAndOffer(tx, now, rows, to, reason, nowMs));
  }
  return {
    stocks: released.flatMap((one) => one.stocks),
    reservations: released.flatMap((one) => one.reservations),
    events: released.flatMap((one) => one.events),
  };
}

/**
 * When the earliest of each purchase's sales closes; none if all of them were called off, so that the customer is asked for
 * no action. Read without a lock: a deadline once told is kept, even if the sale's times move.
 */
async function closesOf(tx: Tx, items: readonly PurchaseItem[]): Promise<Map<PurchaseId, number>> {
  const closesAtMs = new Map<PurchaseId, number>();
  if (items.length === 0) return closesAtMs;
  const sales = await readSales(tx, [...new Set(items.map((item) => item.saleId))]);
  for (const { purchaseId, saleId } of items) {
    const sale = sales.get(saleId);
    if (!sale || sale.status === 'cancelled') continue;
    const known = closesAtMs.get(purchaseId) ?? Number.POSITIVE_INFINITY;
    closesAtMs.set(purchaseId, Math.min(known, sale.purchaseClosesAtMs));
  }
  return closesAtMs;
}

/** The purchases whose answers depend on their refunds. */
function withRefunds(purchases: readonly PurchaseRow[], answers: ReadonlyMap<PurchaseId, Answered>): PurchaseId[] {
  return purchases.flatMap(({ purchaseId }) => {
    const answer = answers.get(purchaseId)?.answer;
    return answer && (movesMoney(answer) || answer.outcome === 'refused') ? [purchaseId] : [];
  });
}

/** What is known of the sales and refunds of a batch. */
interface BatchCircumstances {
  readonly calledOff: ReadonlySet<SaleId>;
  readonly refunds: ReadonlyMap<PurchaseId, readonly RefundRow[]>;
  /** When the sales of a purchase close, if that matters. */
  readonly closesAtMs: ReadonlyMap<PurchaseId, number>;
}

/** What a batch of answers means for the purchases and reservations that it concerns. Pure but for the log. */
export function planFor(
  purchases: readonly PurchaseRow[],
  items: ReadonlyMap<PurchaseId, PurchaseItem[]>,
  reservations: ReadonlyMap<ReservationId, ReservationRow>,
  answers: ReadonlyMap<PurchaseId, Answered>,
  { calledOff, refunds, closesAtMs }: BatchCircumstances,
  nowMs: number,
): Plan {
  const plan: Plan = {
    moves: [],
    bought: [],
    refunded: [],
    refundedInPart: [],
    freed: [],
    newRefunds: [],
    changedRefunds: [],
    disputedRefunds: [],
    givenBack: new Map(),
    allBack: new Set(),
  };
  for (const purchase of purchases) {
    const said = answers.get(purchase.purchaseId);
    if (!said || !mayTell(purchase, said)) continue;
    const { answer } = said;
    plan.disputedRefunds.push(...secondChargeIn(purchase, answer, nowMs));
    const own = items.get(purchase.purchaseId) ?? [];
    const given = refunds.get(purchase.purchaseId) ?? [];
    const settlement = decideSettlement(purchase, own, reservations, answer, { calledOff, refunds: given });
    const rows = own.flatMap(({ reservationId }) => reservations.get(reservationId) ?? []);
    const held = (state: ReservationState) =>
      rows.filter((row) => row.state === state && row.purchaseId === purchase.purchaseId);
    planOne(plan, { purchase, items: own, refunds: given, held, calledOff, closesAtMs, nowMs }, settlement);
  }
  return plan;
}

/** Whether it is the purchase's own provider that says it: one provider's secret is not trusted with another's payments. */
export function mayTell({ purchaseId, provider: own }: PurchaseRow, { provider, answer }: Answered): boolean {
  if (provider === undefined || provider === (own ?? firstProvider)) return true;
  log.error('a provider tells of a purchase that is with another one', { purchaseId, provider, own, answer });
  return false;
}

/** One purchase and what belongs to it. */
interface Subject {
  readonly purchase: PurchaseRow;
  readonly items: readonly PurchaseItem[];
  readonly refunds: readonly RefundRow[];
  /** Its reservations in this state. */
  readonly held: (state: ReservationState) => ReservationRow[];
  readonly calledOff: ReadonlySet<SaleId>;
  readonly closesAtMs: ReadonlyMap<PurchaseId, number>;
  readonly nowMs: number;
}

function planOne(plan: Plan, subject: Subject, settlement: Settlement): void {
  const { purchase, held, calledOff, nowMs } = subject;
  const { purchaseId, chargeId } = purchase;
  switch (settlement.kind) {
    case 'capture': {
      const shares = sharesOf(subject, settlement.capture, settlement.calledOff);
      planCapture(plan, subject, settlement.capture, shares, shares.length > 0 ? 'sale_cancelled' : null);
      plan.bought.push(...held('allocated').filter((row) => !calledOff.has(row.saleId)));
      plan.freed.push(...held('allocated').filter((row) => calledOff.has(row.saleId)));
      break;
    }
    case 'give back': {
      const { capture, reason } = settlement;
      log.warn('a captured payment is given back', { purchaseId, reason });
      planCapture(plan, subject, capture, owedOf(subject, capture, reason), reason);
      plan.freed.push(...held('allocated'));
      break;
    }
    case 'dispute': {
      const { capture, reason } = settlement;
      log.error('the provider captured something other than the order', { purchaseId, reason, capture });
      measure({ PaymentsDisputed: 1 });
      plan.moves.push({ from: purchase, to: 'disputed', chargeId: capture.chargeId, reason, captured: capture });
      break;
    }
    case 'decline':
      plan.moves.push({ from: purchase, to: 'declined', chargeId, reason: settlement.reason });
      plan.freed.push(...held('allocated'));
      break;
    case 'ask customer': {
      const closesAtMs = subject.closesAtMs.get(purchaseId);
      if (closesAtMs === undefined) break;
      const { url, transferTo } = settlement;
      const action = { url, transferTo, deadlineMs: actionDeadlineMs(settlement.deadlineMs, closesAtMs, nowMs) };
      const named = settlement.chargeId ?? chargeId;
      plan.moves.push({ from: purchase, to: 'requires_action', chargeId: named, reason: null, action });
      break;
    }
    case 'let go':
      if (held('allocated').length > 0) log.warn('units wait no longer for an unanswered payment', { purchaseId });
      plan.freed.push(...held('allocated'));
      break;
    case 'refund':
      planRefund(plan, subject, settlement);
      break;
    case 'refuse refund': {
      const { refund, reason } = settlement;
      log.error('the provider refused a refund', { purchaseId, refundKey: refund.refundKey, reason });
      measure({ RefundsFailed: 1 });
      const failed: RefundRow = { ...refund, ...{ state: 'failed', failure: reason, updatedAtMs: nowMs } };
      const counted = { ...failed, refusals: refund.refusals + 1 };
      plan.changedRefunds.push(counted);
      const known = [...subject.refunds.filter((one) => one !== refund), counted];
      const missing = missingShares(purchase, subject.items, known, nowMs);
      plan.newRefunds.push(...missing);
      const to = stateAfterRefunds(purchase, [...known, ...missing]);
      if (to !== purchase.state) plan.moves.push({ from: purchase, to, chargeId, reason });
      break;
    }
    case 'dispute refund': {
      const { given, reason } = settlement;
      plan.disputedRefunds.push(openDispute(purchaseId, keyOf(given), reason, given, nowMs));
      break;
    }
    case 'await':
      plan.moves.push({ from: purchase, to: 'unknown', chargeId, reason: 'awaiting_provider' });
      break;
    case 'nothing':
      break;
  }
}

/** Plans what a capture leads to, with what must be given back of it at once. */
function planCapture(
  plan: Plan,
  { purchase, refunds }: Subject,
  capture: Capture,
  owed: readonly RefundRow[],
  reason: string | null,
): void {
  const fresh = owed.filter((one) => !refunds.some((known) => known.refundKey === one.refundKey));
  plan.newRefunds.push(...fresh);
  const captured = { ...purchase, state: 'captured', capturedMinor: capture.amountMinor } as const;
  const to = stateAfterRefunds(captured, [...refunds, ...fresh]);
  plan.moves.push({ from: purchase, to, chargeId: capture.chargeId, reason, captured: capture });
}

/** The shares of sales that were called off, as refunds. Their reservations were not bought. */
function sharesOf(
  { purchase, items, refunds, nowMs }: Subject,
  { amountMinor: capturedMinor }: Capture,
  calledOff: readonly SaleId[],
): RefundRow[] {
  const shares: RefundRow[] = [];
  for (const saleId of calledOff) {
    const known = [...refunds, ...shares];
    const share = shareOf({ ...purchase, capturedMinor }, saleId, items, known, nowMs, { isBought: false });
    if (share) shares.push(share);
  }
  return shares;
}

/** All of a capture that was not given back before, as refunds: what a called-off sale is the reason for is named so. */
function owedOf(subject: Subject, capture: Capture, reason: string): RefundRow[] {
  const { purchase, items, refunds, calledOff, nowMs } = subject;
  const { purchaseId } = purchase;
  const off = [...new Set(items.map((item) => item.saleId))].filter((saleId) => calledOff.has(saleId));
  const shares = sharesOf(subject, capture, off);
  const amountMinor = leftToRefund({ ...purchase, capturedMinor: capture.amountMinor }, [...refunds, ...shares]);
  if (amountMinor === 0 && (shares.length > 0 || reason === 'sale_cancelled')) return shares;
  return [...shares, newRefund({ purchaseId, refundKey: 'refund', amountMinor, reason }, nowMs)];
}

/** Plans what follows from money that went back, no matter who asked for it. */
function planRefund(
  plan: Plan,
  { purchase, items, refunds, held, nowMs }: Subject,
  { given, refund }: Extract<Settlement, { kind: 'refund' }>,
): void {
  const { purchaseId } = purchase;
  const captured = capturedOf(purchase);
  const before = givenBackOf(refunds);
  const amountMinor = given.amountMinor ?? refund?.amountMinor ?? captured - before;
  const reason = 'refunded_by_provider';
  const key = { purchaseId, refundKey: keyOf(given), amountMinor, reason };
  // A refund that was made at the provider is recorded as it is; only the last of the money takes the units with it.
  const elsewhere = { ...newRefund(key, nowMs), releases: before + amountMinor >= captured ? ('all' as const) : [] };
  const done: RefundRow = {
    ...(refund ?? elsewhere),
    amountMinor,
    state: 'refunded',
    failure: null,
    updatedAtMs: nowMs,
  };
  if (refund) plan.changedRefunds.push(done);
  else plan.newRefunds.push(done);
  if (refund && refund.amountMinor !== amountMinor) {
    log.error('the provider gave back another amount than it was asked to', { purchaseId, refund, amountMinor });
  }
  if (amountMinor > 0) plan.givenBack.set(purchaseId, amountMinor);
  if (amountMinor > 0 && before + amountMinor >= captured) plan.allBack.add(purchaseId);
  const known = [...refunds.filter((one) => one !== refund), done];
  // It may have given back less than it was asked to.
  const missing = missingShares(purchase, items, known, nowMs);
  plan.newRefunds.push(...missing);
  const to = stateAfterRefunds(purchase, [...known, ...missing]);
  const chargeId = purchase.chargeId ?? given.chargeId;
  plan.moves.push({ from: purchase, to, chargeId, reason: purchase.reason ?? (refund ? refund.reason : reason) });
  for (const row of held('purchased')) {
    const units = unitsToReturn(done, row);
    const because = amountMinor === 0 ? 'units_returned' : null;
    if (units === row.units) plan.refunded.push({ ...row, reason: because });
    else if (units > 0) {
      const split = splitAfter(row, row.units - units, { state: 'refunded', reason: because }, nowMs);
      plan.refundedInPart.push({ before: row, split });
    }
  }
  if (to === 'refunded') plan.freed.push(...held('allocated'));
}

/**
 * A purchase is charged once (invariant I7): another charge is a fault that an operator must look at. It changes nothing, and is
 * kept among the disputes until an operator has dealt with it.
 */
function secondChargeIn(
  { purchaseId, chargeId }: PurchaseRow,
  answer: Answered['answer'],
  nowMs: number,
): RefundDispute[] {
  if (answer.outcome !== 'captured' || chargeId === null || chargeId === answer.chargeId) return [];
  return [openDispute(purchaseId, `charge:${answer.chargeId}`.slice(0, 64), 'second_charge', answer, nowMs)];
}

function openDispute(
  purchaseId: PurchaseId,
  refundKey: string,
  reason: string,
  { chargeId, amountMinor, currency, reference }: GivenBack,
  nowMs: number,
): RefundDispute {
  const told = { chargeId, amountMinor, currency: currency ?? null, reference: reference ?? null };
  return { purchaseId, refundKey, state: 'open', reason, ...told, toldAtMs: nowMs, decidedAtMs: null };
}

/** What the log says of a new dispute. */
function alarmOf({ reason }: RefundDispute): string {
  switch (reason) {
    case 'second_charge':
      return 'the provider tells of a second charge for a purchase';
    case 'refused_after_refund':
    case 'refunded_after_refusal':
      return 'the provider contradicts what it said of a refund';
    default:
      return 'the provider tells of a refund that is not of this purchase';
  }
}

function afterMove(purchase: PurchaseRow, moves: readonly PurchaseMove[], nowMs: number): PurchaseRow {
  const move = moves.find((one) => one.from.purchaseId === purchase.purchaseId);
  if (!move) return purchase;
  const { to: state, chargeId, reason, action, captured } = move;
  const known = {
    capturedMinor: captured?.amountMinor ?? purchase.capturedMinor,
    capturedCurrency: captured?.currency ?? purchase.capturedCurrency,
    actionUrl: action?.url ?? null,
    actionDeadlineMs: action?.deadlineMs ?? null,
    actionAccount: action?.transferTo ?? null,
  };
  return { ...purchase, ...known, state, chargeId, reason, version: purchase.version + 1, updatedAtMs: nowMs };
}

function movements(rows: readonly ReservationRow[], kind: Movement['kind']): Movement[] {
  return rows.map(({ reservationId, saleId, units }) => ({ subjectId: reservationId, kind, saleId, units }));
}

/** One move for each sale, however many of its reservations are among the rows. */
function stockMoves(plan: Plan): StockMove[] {
  const sum = (rows: readonly ReservationRow[] = []) => rows.reduce((total, row) => total + row.units, 0);
  const bought = Map.groupBy(plan.bought, (row) => row.saleId);
  const returning: ReservationRow[] = [...plan.refunded, ...plan.refundedInPart.map(({ split }) => split.part)];
  const refunded = Map.groupBy(returning, (row) => row.saleId);
  return [...new Set([...bought.keys(), ...refunded.keys()])].map((saleId) => {
    const sold = sum(bought.get(saleId));
    const returned = sum(refunded.get(saleId));
    return { saleId, allocated: -sold, sold: sold - returned, available: returned };
  });
}

/** The rows before and after a move. */
function movedTo(state: ReservationState, rows: readonly ReservationRow[]) {
  return rows.map((from) => ({ from, to: { ...from, state, version: from.version + 1 } }));
}

const toldStates = ['captured', 'declined', 'refunded', 'requires_action'] as const;

function eventsOf(
  plan: Plan,
  after: readonly PurchaseRow[],
  items: ReadonlyMap<PurchaseId, PurchaseItem[]>,
  stocks: StockLevel[],
  answers: ReadonlyMap<PurchaseId, Answered>,
  nowMs: number,
): RecordedEvent[] {
  const purchases = after
    // What was bought was captured, also if a part of it goes back at once.
    .map((purchase): PurchaseRow => {
      const isBought = plan.bought.some((row) => row.purchaseId === purchase.purchaseId);
      return isBought ? { ...purchase, state: 'captured' } : purchase;
    })
    .filter((purchase) => isTold(plan, purchase))
    .map((purchase) => {
      const reservationIds = (items.get(purchase.purchaseId) ?? []).map((item) => item.reservationId);
      // Answers of many requests are settled together; each event keeps the correlation id of its own.
      const { correlationId } = answers.get(purchase.purchaseId) ?? {};
      const event = () => purchaseEvent(purchase, reservationIds, plan, nowMs);
      return correlationId === undefined ? event() : withCorrelation(correlationId, event);
    });
  const changes = [...movedTo('purchased', plan.bought), ...movedTo('refunded', plan.refunded)].map(
    ({ from, to }): ReservationChange => {
      const { reservationId, saleId, customerId, units, quantity, ticket, version, reason } = to;
      const change = {
        reservationId,
        saleId,
        customerId,
        from: from.state,
        to: to.state,
        units,
        quantity,
        ticket,
        version,
      };
      return reason === null ? change : { ...change, reason };
    },
  );
  const inPart = plan.refundedInPart.flatMap(({ split }) => [split.whole, split.part]).map(movedChange);
  return [...purchases, ...changeEvents([...changes, ...inPart], stocks, false, nowMs)];
}

/** Whether the customer is notified: of outcomes, and of money that went back. */
function isTold(plan: Plan, { purchaseId, state }: PurchaseRow): boolean {
  const move = plan.moves.find(({ from }) => from.purchaseId === purchaseId);
  if (!move) return false;
  // Only units have returned: the customer is told of them, not of money.
  if (move.from.state === 'refunding' && state !== 'refund_failed') return plan.givenBack.has(purchaseId);
  return plan.givenBack.has(purchaseId) || toldStates.some((told) => told === state);
}

function purchaseEvent(
  purchase: PurchaseRow,
  reservationIds: ReservationId[],
  { givenBack, allBack, changedRefunds, newRefunds }: Plan,
  nowMs: number,
): RecordedEvent {
  const { purchaseId, customerId, state, version, actionDeadlineMs } = purchase;
  const givenBackMinor = givenBack.get(purchaseId);
  const refunds = [...changedRefunds, ...newRefunds].filter((one) => one.purchaseId === purchaseId);
  // Money that went back has the reason of its own refund, independent of other refunds.
  const done = refunds.find((one) => one.state === 'refunded');
  const reason = done ? done.reason : reasonOf(purchase, refunds);
  const detail = {
    ...{ purchaseId, customerId, state, ...costOf(purchase), reservationIds, version },
    ...(reason === null ? {} : { reason }),
    ...(givenBackMinor === undefined ? {} : { givenBackMinor }),
    ...(allBack.has(purchaseId) && state === 'refunding' ? { isAllBack: true } : {}),
    ...(actionDeadlineMs === null ? {} : { deadlineMs: actionDeadlineMs }),
  };
  return newEvent('purchase.changed', detail, nowMs);
}
