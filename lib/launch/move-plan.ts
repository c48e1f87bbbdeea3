/**
 * What moving a sale's times would do, before it is done: the row as it would be, who is concerned, and whether somebody
 * would have less time than they were told (invariant I12).
 *
 * A move that takes time from somebody, or ends the sale at once, needs a confirmation: a token that only the preview gives
 * and that stands for this very move of the sale as it is. So a slip of the hand cannot end a sale.
 */
import { createHash } from 'node:crypto';
import type { Needs } from '#platform/environment/deps.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import type { Sql } from '#platform/mysql/mysql.ts';
import { type Concerned, countConcerned } from '#reservation/reservation.store.ts';
import type { SaleTimes } from '#sale/phase.ts';
import type { moveDangers } from '#sale/sale.shapes.ts';
import { readSales, type SaleRow } from '#sale/sale.store.ts';
import { type ClockChange, giveBackPause, moveTimes, saleNowMs } from '#sale/sale-clock.ts';
import { refuseDisorder } from './sale-times.ts';

/** Where a sale's times should go: to new ones, or all that are still to come by the same time. */
export type Move = Partial<SaleTimes> | { readonly shiftMs: number };

/** A move that would change something. */
export interface MovePlan {
  readonly change: ClockChange;
  readonly dangers: (typeof moveDangers)[number][];
  readonly concerned: Concerned;
  /** Stands for this move of the sale as it is. */
  readonly confirmation: string;
  /** Whether holders or waiters have to be told: the purchase window or a deadline moves. */
  readonly isTold: boolean;
}

const timeNames = ['reserveOpensAtMs', 'reserveClosesAtMs', 'purchaseOpensAtMs', 'purchaseClosesAtMs'] as const;

/**
 * Plans a move of a sale without locking it, because counting whom it concerns reads the whole sale. Undefined if nothing
 * would move; refuses times out of order and sales that are over.
 */
export async function previewMove(
  deps: Needs<'db' | 'clock'>,
  saleId: SaleId,
  move: Move,
): Promise<{ sale: SaleRow; plan: MovePlan | undefined } | Refusal> {
  const sale = (await readSales(deps.db, [saleId])).get(saleId);
  if (!sale) return refuse('not_found', 'There is no such sale.');
  const plan = await planMove(deps.db, sale, move, deps.clock());
  return isRefusal(plan) ? plan : { sale, plan };
}

/**
 * Plans a move of a locked sale. Whom it concerns was counted right before; reservations decided since are told all the
 * same.
 */
export async function planMove(
  sql: Sql,
  sale: SaleRow,
  move: Move,
  nowMs: number,
  counted?: Concerned,
): Promise<MovePlan | Refusal | undefined> {
  if (sale.status === 'cancelled') return refuse('sale_cancelled', 'A cancelled sale cannot be changed.');
  if (saleNowMs(sale, nowMs) >= sale.purchaseClosesAtMs) {
    return refuse('illegal_state', 'A closed sale cannot be changed.');
  }
  const before = giveBackPause(sale, nowMs);
  const wanted = 'shiftMs' in move ? shifted(before, move.shiftMs, nowMs) : different(sale, move);
  if (Object.keys(wanted).length === 0) return undefined;
  const change = moveTimes(sale, wanted, nowMs, 'shiftMs' in move ? move.shiftMs : 0);
  const disorder = refuseDisorder(change);
  if (disorder) return disorder;
  const concerned = counted ?? (await countConcerned(sql, sale.saleId, before, change));
  const dangers: MovePlan['dangers'] = [];
  if (change.purchaseClosesAtMs <= nowMs) dangers.push('closes_at_once');
  if (concerned.shortened > 0) dangers.push('takes_time');
  const isTold =
    change.purchaseOpensAtMs !== before.purchaseOpensAtMs ||
    change.purchaseClosesAtMs !== before.purchaseClosesAtMs ||
    change.clockOffsetMs !== before.clockOffsetMs;
  return { change, dangers, concerned, confirmation: confirmationOf(sale, move, wanted, dangers), isTold };
}

/** Refuses a dangerous move without the confirmation from its preview. */
export function refuseUnconfirmed(plan: MovePlan, confirmation: string | undefined): Refusal | undefined {
  if (plan.dangers.length === 0 || confirmation === plan.confirmation) return undefined;
  const { dangers, concerned } = plan;
  const what = dangers.includes('closes_at_once')
    ? 'The sale would be closed at once.'
    : `${concerned.shortened} who hold units would have less time than they were told.`;
  return refuse(
    'confirmation_required',
    `${what} Ask for a preview (dryRun) of this reschedule and send the confirmation that it gives.`,
    { dangers, concerned },
  );
}

/** Every time that is still to come, moved by the same amount. */
function shifted(times: SaleTimes, byMs: number, nowMs: number): Partial<SaleTimes> {
  return Object.fromEntries(
    timeNames.filter((name) => byMs !== 0 && times[name] > nowMs).map((name) => [name, times[name] + byMs]),
  );
}

/** The named times that differ from the sale's present ones. */
function different(sale: SaleTimes, named: Partial<SaleTimes>): Partial<SaleTimes> {
  return Object.fromEntries(
    timeNames
      .filter((name) => named[name] !== undefined && named[name] !== sale[name])
      .map((name) => [name, named[name]]),
  );
}

function confirmationOf(sale: SaleRow, move: Move, wanted: Partial<SaleTimes>, dangers: readonly string[]): string {
  const { saleId, status, pausedAtMs } = sale;
  const asked = 'shiftMs' in move ? move.shiftMs : wanted;
  const times = timeNames.map((name) => sale[name]);
  return createHash('sha256')
    .update(JSON.stringify([saleId, status, pausedAtMs, times, asked, dangers]))
    .digest('base64url')
    .slice(0, 32);
}
