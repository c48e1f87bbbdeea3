/**
 * What moving a sale's times would do, before it is done: the row as it would be, who is concerned, and what is dangerous
 * about it (invariant I12).
 *
 * A dangerous move needs a confirmation: a token that only the preview gives and that stands for this very move of the sale
 * as it is. So a mistake cannot end a sale. These are dangerous:
 * - `closes_at_once`: the purchase window would be over;
 * - `takes_time`: a holder or a waiter would have less time than they were told;
 * - `short_window`, `ends_reserving`: what is left of the purchase window, or of the reservation period, would shrink to less
 *   than a tenth of it, or to less than ten seconds; or no offer could be made any more in what is left of the window.
 *
 * A window that is not longer than the sale's cut-off for offers is refused, with a confirmation as well.
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
import { isPublicAt } from '#sale/visibility.ts';
import { refuseEarlyOpening } from './publication.ts';
import { refuseCutoff, refuseDisorder, refuseNewCutoff } from './sale-times.ts';

/**
 * Where a sale's times should go: to new ones, perhaps with another cut-off for offers or another time of publication, or all
 * that are still to come by the same time.
 */
export type Move = Partial<SaleTimes & Pick<SaleRow, 'offerCutoffMs' | 'publicFromMs'>> | { readonly shiftMs: number };

/** What a move does to customers. */
interface Effect {
  readonly dangers: (typeof moveDangers)[number][];
  readonly concerned: Concerned;
  /** Stands for this move of the sale as it is. */
  readonly confirmation: string;
}

/** A move that would change something. */
export interface MovePlan extends Effect {
  readonly change: ClockChange & Pick<SaleRow, 'offerCutoffMs'>;
  /** Whether holders or waiters have to be told: the purchase window or a deadline moves. */
  readonly isTold: boolean;
}

/** What shrinks may not shrink to less than this part of it, nor to less than this time, without a confirmation. */
const leastPartLeft = 1 / 10;
const leastLeftMs = 10_000;

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
  const wanted = 'shiftMs' in move ? shifted(before, move.shiftMs, nowMs) : different(before, move);
  if (Object.keys(wanted).length === 0) return undefined;
  const change = moveTimes(sale, wanted, nowMs, 'shiftMs' in move ? move.shiftMs : 0);
  const newCutoffMs = 'shiftMs' in move ? undefined : move.offerCutoffMs;
  const offerCutoffMs = newCutoffMs ?? sale.offerCutoffMs;
  const { publicFromMs = sale.publicFromMs } = 'shiftMs' in move ? sale : move;
  const wrong =
    refuseDisorder(change) ??
    // Of a sale that is public already, reservations may open at once.
    (isPublicAt(sale, nowMs) ? undefined : refuseEarlyOpening(change, publicFromMs)) ??
    refuseCutoff(offerCutoffMs, change) ??
    (newCutoffMs === undefined ? undefined : refuseNewCutoff(newCutoffMs, change, nowMs));
  if (wrong) return wrong;
  const concerned = counted ?? (await countConcerned(sql, sale.saleId, before, change));
  const dangers = dangersOf({ before, after: change, offerCutoffMs }, concerned, nowMs);
  const isMoved =
    change.purchaseOpensAtMs !== before.purchaseOpensAtMs ||
    change.purchaseClosesAtMs !== before.purchaseClosesAtMs ||
    change.clockOffsetMs !== before.clockOffsetMs;
  // In a sale that is over by then, its end is told instead; a pause puts the end off.
  const isTold = isMoved && (sale.status === 'paused' || change.purchaseClosesAtMs > nowMs);
  const asked = 'shiftMs' in move ? move.shiftMs : wanted;
  const confirmation = confirmationOf(sale, asked, dangers);
  return { change: { ...change, offerCutoffMs }, dangers, concerned, confirmation, isTold };
}

/**
 * What resuming a paused sale with its times as they are would do, compared with giving the pause back, which is what
 * customers were told. The sale is locked if `counted` is given.
 */
export async function planKeptTimes(sql: Sql, sale: SaleRow, nowMs: number, counted?: Concerned): Promise<Effect> {
  const before = giveBackPause(sale, nowMs);
  const concerned = counted ?? (await countConcerned(sql, sale.saleId, before, sale));
  const dangers = dangersOf({ before, after: sale, offerCutoffMs: sale.offerCutoffMs }, concerned, nowMs);
  return { dangers, concerned, confirmation: confirmationOf(sale, 'keepTimes', dangers) };
}

function dangersOf(
  { before, after, offerCutoffMs }: { before: SaleTimes; after: SaleTimes; offerCutoffMs: number },
  concerned: Concerned,
  nowMs: number,
): MovePlan['dangers'] {
  const dangers: MovePlan['dangers'] = [];
  const closesAtOnce = before.purchaseClosesAtMs > nowMs && after.purchaseClosesAtMs <= nowMs;
  if (closesAtOnce) dangers.push('closes_at_once');
  const closesEarlier = after.purchaseClosesAtMs < before.purchaseClosesAtMs;
  if (concerned.shortened > 0 || (closesEarlier && concerned.waiting > 0)) dangers.push('takes_time');
  if (closesAtOnce) return dangers;
  const windowMs = (times: SaleTimes) => times.purchaseClosesAtMs - Math.max(times.purchaseOpensAtMs, nowMs);
  const reservingMs = (times: SaleTimes) => times.reserveClosesAtMs - Math.max(times.reserveOpensAtMs, nowMs);
  const endsOffers = windowMs(before) > offerCutoffMs && windowMs(after) <= offerCutoffMs;
  if (endsOffers || shrinksTooFar(windowMs(before), windowMs(after))) dangers.push('short_window');
  if (shrinksTooFar(reservingMs(before), reservingMs(after))) dangers.push('ends_reserving');
  return dangers;
}

function shrinksTooFar(leftMs: number, willBeLeftMs: number): boolean {
  return leftMs > 0 && willBeLeftMs < leftMs && willBeLeftMs < Math.max(leftMs * leastPartLeft, leastLeftMs);
}

/** Refuses a dangerous move without the confirmation from its preview. */
export function refuseUnconfirmed(plan: Effect, confirmation: string | undefined): Refusal | undefined {
  if (plan.dangers.length === 0 || confirmation === plan.confirmation) return undefined;
  const { dangers, concerned } = plan;
  return refuse(
    'confirmation_required',
    `${whatIsDangerous(plan)} Ask for a preview (dryRun) of this reschedule and send the confirmation that it gives.`,
    { dangers, concerned },
  );
}

/**
 * Refuses to resume a sale with its times as they are if that is dangerous. The refusal changes nothing and is the preview:
 * it says whom it concerns, and gives the confirmation.
 */
export function refuseKeptTimes(effect: Effect, given: string | undefined): Refusal | undefined {
  const { dangers, concerned, confirmation } = effect;
  if (dangers.length === 0 || given === confirmation) return undefined;
  return refuse(
    'confirmation_required',
    `${whatIsDangerous(effect)} Send this confirmation with the call if that is meant, or resume the sale with the time given back and reschedule it.`,
    { dangers, concerned, confirmation },
  );
}

function whatIsDangerous({ dangers, concerned: { shortened, waiting } }: Effect): string {
  if (dangers.includes('closes_at_once')) return 'The sale would be closed at once.';
  if (dangers.includes('short_window'))
    return 'Hardly any time would be left to buy, or none in which offers are made.';
  if (dangers.includes('ends_reserving')) return 'Hardly any time would be left to reserve.';
  const who = shortened > 0 ? `${shortened} who hold units` : `${waiting} who wait`;
  return `${who} would have less time than they were told.`;
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

function confirmationOf(
  sale: SaleRow,
  asked: Partial<SaleTimes> | number | 'keepTimes',
  dangers: readonly string[],
): string {
  const { saleId, termsVersion, status, pausedAtMs } = sale;
  const times = timeNames.map((name) => sale[name]);
  return createHash('sha256')
    .update(JSON.stringify([saleId, termsVersion, status, pausedAtMs, times, asked, dangers]))
    .digest('base64url')
    .slice(0, 32);
}
