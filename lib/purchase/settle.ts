/**
 * Settling: applies the provider's answers, from the pay worker or the webhook, to purchases, reservations and stock.
 *
 * Invariants. I7: a purchase is captured once, and a capture that can no longer become a purchase is refunded. I1: units
 * move from allocated to sold in the transaction that marks the reservation as purchased. A missing answer settles
 * nothing: the purchase is unknown and its units stay set aside. Every answer may be repeated, late or out of order: the
 * rows are locked while its effect is decided.
 */

import type { ReservationChange } from '#events/changes.ts';
import { changeEvents, newEvent, type RecordedEvent, recordEvents } from '#events/outbox.ts';
import { type Committed, type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import type { PurchaseId, ReservationId } from '#platform/kernel/ids.ts';
import { log, withCorrelation } from '#platform/kernel/log.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import {
  lockReservations,
  markPurchased,
  markRefunded,
  type ReservationRow,
  unbindFromPurchases,
} from '#reservation/reservation.store.ts';
import { type Movement, recordMovements } from '#sale/ledger.store.ts';
import type { StockLevel } from '#sale/sale.shapes.ts';
import { lockSales, moveStock, type StockMove } from '#sale/sale.store.ts';
import type { ReservationState } from '#state/reservation-state.ts';
import type { PaymentAnswer } from './provider.ts';
import {
  lockPurchases,
  movePurchases,
  type PurchaseItem,
  type PurchaseMove,
  type PurchaseRow,
  readItems,
} from './purchase.store.ts';

/** The provider's answer for one purchase. */
export interface Answered {
  readonly purchaseId: PurchaseId;
  readonly answer: PaymentAnswer;
  readonly correlationId?: string | undefined;
}

/** The effect of an answer on a purchase in its current state. */
export type Settlement =
  | { readonly kind: 'capture'; readonly chargeId: string }
  | { readonly kind: 'decline'; readonly reason: string }
  /** Captured, but there is nothing left to buy: the charge must be refunded. */
  | { readonly kind: 'give back'; readonly chargeId: string; readonly reason: string }
  | { readonly kind: 'refund' }
  /** The outcome is unknown: the units stay set aside. */
  | { readonly kind: 'await' }
  | { readonly kind: 'nothing' };

/** Decides the effect of an answer. Pure. `reservations` are the rows of the purchase's items that still exist. */
export function decideSettlement(
  purchase: Pick<PurchaseRow, 'purchaseId' | 'state'>,
  items: readonly PurchaseItem[],
  reservations: ReadonlyMap<ReservationId, ReservationRow>,
  answer: PaymentAnswer,
): Settlement {
  const awaited = purchase.state === 'requested' || purchase.state === 'unknown';
  switch (answer.outcome) {
    case 'captured': {
      const { chargeId } = answer;
      if (purchase.state === 'declined') return { kind: 'give back', chargeId, reason: 'captured_after_decline' };
      if (!awaited) return { kind: 'nothing' };
      const held = items.every(({ reservationId }) => {
        const row = reservations.get(reservationId);
        return row?.state === 'allocated' && row.purchaseId === purchase.purchaseId;
      });
      return held ? { kind: 'capture', chargeId } : { kind: 'give back', chargeId, reason: 'reservation_gone' };
    }
    case 'declined':
      return awaited ? { kind: 'decline', reason: answer.reason } : { kind: 'nothing' };
    case 'refunded': {
      if (purchase.state === 'refunding') return { kind: 'refund' };
      if (purchase.state === 'refunded') return { kind: 'nothing' };
      // Refunded at the provider without an order from here: treated as an order to refund.
      return { kind: 'give back', chargeId: answer.chargeId, reason: 'refunded_by_provider' };
    }
    case 'unknown':
      return purchase.state === 'requested' ? { kind: 'await' } : { kind: 'nothing' };
    case 'absent':
    case 'unsent':
      return { kind: 'nothing' };
  }
}

/** The answers that move units; the others concern the purchase alone. */
function movesStock(answer: PaymentAnswer): boolean {
  return answer.outcome === 'captured' || answer.outcome === 'refunded';
}

/** All effects of a batch of answers. */
interface Plan {
  readonly moves: PurchaseMove[];
  readonly bought: ReservationRow[];
  readonly refunded: ReservationRow[];
  readonly freed: ReservationRow[];
}

interface Settled extends Committed {
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

async function settle(tx: Tx, answered: readonly Answered[], nowMs: number): Promise<Settled> {
  const answers = new Map(answered.map((one) => [one.purchaseId, one]));
  const ids = [...answers.keys()];
  const items = Map.groupBy(await readItems(tx, ids), (item) => item.purchaseId);
  const touched = (which: (answer: PaymentAnswer) => boolean) =>
    answered.flatMap((one) => (which(one.answer) ? (items.get(one.purchaseId) ?? []) : []));

  await lockSales(tx, [...new Set(touched(movesStock).map((item) => item.saleId))].sort());
  const purchases = await lockPurchases(tx, ids);
  const concerned = touched((answer) => movesStock(answer) || answer.outcome === 'declined');
  const rows = await lockReservations(tx, [...new Set(concerned.map((item) => item.reservationId))]);
  const reservations = new Map(rows.map((row) => [row.reservationId, row]));

  const plan = planFor(purchases, items, reservations, answers);
  await movePurchases(tx, plan.moves, nowMs);
  const movedIds = plan.moves.map((move) => move.from.purchaseId);
  await markPurchased(tx, plan.bought, movedIds);
  await markRefunded(tx, plan.refunded, movedIds);
  await unbindFromPurchases(tx, plan.freed, movedIds);
  await recordMovements(tx, [...movements(plan.bought, 'SELL'), ...movements(plan.refunded, 'RELEASE')], nowMs);
  // The hot rows last: other workers wait for their locks.
  const stocks = await moveStock(tx, stockMoves(plan));
  const after = purchases.map((purchase) => afterMove(purchase, plan.moves, nowMs));
  const events = eventsOf(plan, after, items, stocks, answers, nowMs);
  await recordEvents(tx, events, nowMs);
  const changed = [...movedTo('purchased', plan.bought), ...movedTo('refunded', plan.refunded)];
  return { purchases: after, stocks, reservations: changed.map(({ to }) => to), events };
}

/** The effects of a batch of answers on its purchases and reservations. Pure except for the log. */
export function planFor(
  purchases: readonly PurchaseRow[],
  items: ReadonlyMap<PurchaseId, PurchaseItem[]>,
  reservations: ReadonlyMap<ReservationId, ReservationRow>,
  answers: ReadonlyMap<PurchaseId, Answered>,
): Plan {
  const plan: Plan = { moves: [], bought: [], refunded: [], freed: [] };
  for (const purchase of purchases) {
    const answer = answers.get(purchase.purchaseId)?.answer;
    if (!answer) continue;
    const own = items.get(purchase.purchaseId) ?? [];
    const settlement = decideSettlement(purchase, own, reservations, answer);
    const rows = own.flatMap(({ reservationId }) => reservations.get(reservationId) ?? []);
    const held = (state: ReservationState) =>
      rows.filter((row) => row.state === state && row.purchaseId === purchase.purchaseId);
    const { chargeId } = purchase;
    switch (settlement.kind) {
      case 'capture':
        plan.moves.push({ from: purchase, to: 'captured', chargeId: settlement.chargeId, reason: null });
        plan.bought.push(...held('allocated'));
        break;
      case 'decline':
        plan.moves.push({ from: purchase, to: 'declined', chargeId, reason: settlement.reason });
        plan.freed.push(...held('allocated'));
        break;
      case 'give back':
        log.warn('a captured payment is refunded', { purchaseId: purchase.purchaseId, reason: settlement.reason });
        plan.moves.push({
          from: purchase,
          to: 'refunding',
          chargeId: settlement.chargeId,
          reason: settlement.reason,
        });
        plan.freed.push(...held('allocated'));
        break;
      case 'refund':
        plan.moves.push({ from: purchase, to: 'refunded', chargeId, reason: purchase.reason });
        plan.refunded.push(...held('purchased'));
        break;
      case 'await':
        plan.moves.push({ from: purchase, to: 'unknown', chargeId, reason: 'awaiting_provider' });
        break;
      case 'nothing':
        break;
    }
  }
  return plan;
}

function afterMove(purchase: PurchaseRow, moves: readonly PurchaseMove[], nowMs: number): PurchaseRow {
  const move = moves.find((one) => one.from.purchaseId === purchase.purchaseId);
  if (!move) return purchase;
  const { to: state, chargeId, reason } = move;
  return { ...purchase, state, chargeId, reason, version: purchase.version + 1, updatedAtMs: nowMs };
}

function movements(rows: readonly ReservationRow[], kind: Movement['kind']): Movement[] {
  return rows.map(({ reservationId, saleId, units }) => ({ subjectId: reservationId, kind, saleId, units }));
}

/** One move for each sale, however many of its reservations are among the rows. */
function stockMoves(plan: Plan): StockMove[] {
  const sum = (rows: readonly ReservationRow[] = []) => rows.reduce((total, row) => total + row.units, 0);
  const bought = Map.groupBy(plan.bought, (row) => row.saleId);
  const refunded = Map.groupBy(plan.refunded, (row) => row.saleId);
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

const toldStates = ['captured', 'declined', 'refunded'] as const;

function eventsOf(
  plan: Plan,
  after: readonly PurchaseRow[],
  items: ReadonlyMap<PurchaseId, PurchaseItem[]>,
  stocks: StockLevel[],
  answers: ReadonlyMap<PurchaseId, Answered>,
  nowMs: number,
): RecordedEvent[] {
  const purchases = after
    .filter((purchase) => plan.moves.some((move) => move.from.purchaseId === purchase.purchaseId))
    .filter((purchase) => toldStates.some((state) => state === purchase.state))
    .map((purchase) => purchaseEvent(purchase, items.get(purchase.purchaseId) ?? [], answers, nowMs));
  const changes = [...movedTo('purchased', plan.bought), ...movedTo('refunded', plan.refunded)].map(
    ({ from, to }): ReservationChange => {
      const { reservationId, saleId, customerId, units, quantity, ticket, version } = to;
      return { reservationId, saleId, customerId, from: from.state, to: to.state, units, quantity, ticket, version };
    },
  );
  const released = plan.refunded.length > 0;
  return [...purchases, ...changeEvents(changes, stocks, released, nowMs)];
}

function purchaseEvent(
  purchase: PurchaseRow,
  items: readonly PurchaseItem[],
  answers: ReadonlyMap<PurchaseId, Answered>,
  nowMs: number,
): RecordedEvent {
  const { purchaseId, customerId, state, amountMinor, currency, version, reason } = purchase;
  const reservationIds = items.map((item) => item.reservationId);
  const detail = { purchaseId, customerId, state, amountMinor, currency, reservationIds, version };
  const make = () => newEvent('purchase.changed', reason === null ? detail : { ...detail, reason }, nowMs);
  // Answers for many requests are settled together; each event keeps the correlation id of its own request.
  const correlationId = answers.get(purchaseId)?.correlationId;
  return correlationId === undefined ? make() : withCorrelation(correlationId, make);
}
