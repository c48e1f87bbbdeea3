/**
 * Changing a sale: new terms, a pause, and calling it off. The row is held while the change is decided.
 *
 * Invariant I12: a pause stops every clock, and resuming gives the time back. Every customer who was told a time that moves
 * is told the new one, once for each change, beginning in the same transaction; a change that moves nothing is not announced.
 * If times get shorter, nothing expires until all customers have been told (`endsWait`).
 * Those who move up in line because others get an offer are told as well.
 */

import { recordEvents } from '#events/outbox.ts';
import { changeOf, type Keep, keepNothing } from '#idempotency/kept-answer.ts';
import { type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { isOver } from '#reservation/expire.ts';
import { offerAndMove } from '#reservation/release.ts';
import { endOfDeadline } from '#reservation/reservation.store.ts';
import type { SaleView, UpdateSale } from '#sale/sale.shapes.ts';
import {
  changeTerms,
  lockSales,
  readSales,
  type SaleProgress,
  type SaleRow,
  type SaleTerms,
  setEndsWait,
} from '#sale/sale.store.ts';
import { giveBackPause, isShorter, saleNowMs, toSaleTime } from '#sale/sale-clock.ts';
import { viewOfRow } from '#sale/terms.ts';
import { isPublicAt } from '#sale/visibility.ts';
import { type Announcement, announce, announceMoves } from './announce.ts';
import { scheduleBoundaries } from './boundaries.ts';
import { type CancelSale, callOff, sendSweep } from './cancellation.ts';
import { writeReminded } from './due-reminder.store.ts';
import type { SaleJob } from './job.store.ts';
import { sendJob } from './jobs.ts';
import {
  type MovePlan,
  planKeptTimes,
  planMove,
  previewMove,
  refuseKeptTimes,
  refuseUnconfirmed,
} from './move-plan.ts';
import { changeAccess, changePublication, isHiddenBy } from './publication.ts';
import { recordSale, type SaleCommitted } from './sale-changed.ts';
import { refuseProvider } from './sale-provider.ts';
import { readPublishAt, readTimes, refuseNewCutoff } from './sale-times.ts';

/** What an operator's call changes in a sale's row, and what holders and waiters are told of it. */
export interface SaleChange {
  readonly terms: Partial<SaleTerms & SaleProgress>;
  readonly tell?: Announcement | undefined;
}

interface SaleChanged<Answer> extends SaleCommitted {
  readonly answer: Answer;
  /** Jobs of announcements that are not finished yet. */
  readonly jobs?: readonly SaleJob[];
}

/**
 * Changes a sale's terms. A sale that has closed or was cancelled stays as it was. Times that are dangerous (`move-plan.ts`)
 * need the confirmation of a preview (`rescheduleSale`). A payment provider must be in use and take the sale's currency.
 */
export async function updateSale(
  deps: WriteNeeds & Needs<'registry'>,
  saleId: SaleId,
  change: UpdateSale,
  keep: Keep = keepNothing,
): Promise<SaleView | Refusal> {
  const times = readTimes(change);
  const cutoff = change.offerCutoffSeconds === undefined ? {} : { offerCutoffMs: change.offerCutoffSeconds * 1000 };
  const publishAtMs = change.publishAt === undefined ? undefined : readPublishAt(change.publishAt);
  const moveTo = { ...times, ...cutoff, ...(publishAtMs === undefined ? {} : { publicFromMs: publishAtMs }) };
  const preview = Object.keys(times).length > 0 ? await previewMove(deps, saleId, moveTo) : undefined;
  if (isRefusal(preview)) return preview;
  const decide: DecideChange = async (tx, sale, nowMs) => {
    const move = applyMove(await planMove(tx, sale, moveTo, nowMs, preview?.plan?.concerned), change.confirmation);
    if (isRefusal(move)) return move;
    const unusable = refuseProvider(deps.registry, change.paymentProvider, sale.currency);
    if (unusable) return unusable;
    const waitlistSize = change.waitlistSize ?? sale.waitlistSize;
    if (waitlistSize < sale.waitlisted) {
      return refuse('illegal_state', `${sale.waitlisted} reservations are waiting; the waitlist cannot be smaller.`);
    }
    const { offerCutoffMs = sale.offerCutoffMs } = cutoff;
    // If the window moves, the plan of the move has judged the cut-off.
    const cutoffTooLong =
      move || change.offerCutoffSeconds === undefined
        ? undefined
        : refuseNewCutoff(offerCutoffMs, sale, saleNowMs(sale, nowMs));
    if (cutoffTooLong) return cutoffTooLong;
    const publication =
      publishAtMs === undefined
        ? undefined
        : await changePublication(tx, sale, { ...sale, ...move?.terms }, publishAtMs, nowMs);
    if (isRefusal(publication)) return publication;
    const access = changeAccess(sale, change);
    if (isRefusal(access)) return access;
    const terms = {
      ...move?.terms,
      ...publication,
      ...access,
      name: change.name ?? sale.name,
      capPerCustomer: change.capPerCustomer ?? sale.capPerCustomer,
      requiresContact: change.requiresContact ?? sale.requiresContact,
      paymentProvider: change.paymentProvider === undefined ? sale.paymentProvider : change.paymentProvider,
      waitlistSize,
      offerLifeMs: change.offerLifeSeconds === undefined ? sale.offerLifeMs : change.offerLifeSeconds * 1000,
      payWithinMs: change.payWithinSeconds === undefined ? sale.payWithinMs : change.payWithinSeconds * 1000,
      offerCutoffMs,
    };
    return { terms, tell: move?.tell };
  };
  return changeSale(deps, saleId, decide, keepView(keep));
}

/** The change that a planned move makes, or why it is not made; undefined if nothing moves. */
export function applyMove(
  plan: MovePlan | Refusal | undefined,
  confirmation: string | undefined,
): SaleChange | Refusal | undefined {
  if (plan === undefined || isRefusal(plan)) return plan;
  return refuseUnconfirmed(plan, confirmation) ?? { terms: plan.change, tell: plan.isTold ? 'rescheduled' : undefined };
}

/** Makes a draft public now. Repeating it changes nothing. */
export async function publishSale(
  deps: WriteNeeds,
  saleId: SaleId,
  keep: Keep = keepNothing,
): Promise<SaleView | Refusal> {
  const decide: DecideChange = async (tx, sale, nowMs) => {
    if (sale.status === 'cancelled') return refuse('sale_cancelled', 'A cancelled sale cannot be published.');
    if (isPublicAt(sale, nowMs)) return undefined;
    if (saleNowMs(sale, nowMs) >= sale.purchaseClosesAtMs)
      return refuse('illegal_state', 'A closed sale cannot be published.');
    const publication = await changePublication(tx, sale, sale, nowMs, nowMs);
    return publication && !isRefusal(publication) ? { terms: publication } : publication;
  };
  return changeSale(deps, saleId, decide, keepView(keep));
}

/**
 * Pauses a sale: nothing can be reserved or bought, and its clock stands still until it is resumed. Repeating it changes
 * nothing.
 */
export async function pauseSale(
  deps: WriteNeeds,
  saleId: SaleId,
  keep: Keep = keepNothing,
): Promise<SaleView | Refusal> {
  const decide: DecideChange = async (_tx, sale, nowMs) => {
    if (sale.status === 'cancelled') return refuse('sale_cancelled', 'A cancelled sale cannot be paused.');
    if (sale.status === 'paused') return undefined;
    if (saleNowMs(sale, nowMs) >= sale.purchaseClosesAtMs)
      return refuse('illegal_state', 'A closed sale cannot be paused.');
    return { terms: { status: 'paused', pausedAtMs: nowMs, pauseBeganMs: nowMs }, tell: 'paused' };
  };
  return changeSale(deps, saleId, decide, keepView(keep));
}

/**
 * Resumes a paused sale. The time of the pause is given back: each time that was still to come is later by its length. With
 * `keepTimes` the times stay as they are, and what has ended by them ends; if that is dangerous, it is refused with
 * `confirmation_required`, and the next call must send the confirmation from that refusal. Units that became available in
 * the pause are offered to those who wait before anybody else can have them. Repeating it changes nothing.
 */
export async function resumeSale(
  deps: WriteNeeds,
  saleId: SaleId,
  { keepTimes = false, confirmation }: { keepTimes?: boolean; confirmation?: string | undefined } = {},
  keep: Keep = keepNothing,
): Promise<SaleView | Refusal> {
  const paused = keepTimes ? (await readSales(deps.db, [saleId])).get(saleId) : undefined;
  // Counted without a lock, because it reads the whole sale.
  const seen = paused && (await planKeptTimes(deps.db, paused, deps.clock()));
  const decide: DecideChange = async (tx, sale, nowMs) => {
    if (sale.status === 'cancelled') return refuse('sale_cancelled', 'A cancelled sale cannot be resumed.');
    if (sale.status === 'active') return undefined;
    const resumed = { status: 'active', pausedAtMs: null, pauseBeganMs: null } as const;
    // In a sale that is over, its end is told instead.
    const tellOf = (closesAtMs: number) => (nowMs < closesAtMs ? 'resumed' : undefined);
    if (!keepTimes) {
      const times = giveBackPause(sale, nowMs);
      // What was announced for the old close is announced again for the new one.
      const isLater = times.purchaseClosesAtMs !== sale.purchaseClosesAtMs;
      const remindedAtMs = isLater ? null : sale.remindedAtMs;
      return { terms: { ...times, ...resumed, remindedAtMs }, tell: tellOf(times.purchaseClosesAtMs) };
    }
    const refusal = refuseKeptTimes(await planKeptTimes(tx, sale, nowMs, seen?.concerned), confirmation);
    if (refusal) return refusal;
    return { terms: resumed, tell: tellOf(sale.purchaseClosesAtMs) };
  };
  return changeSale(deps, saleId, decide, keepView(keep));
}

/**
 * Calls a sale off for good; its open reservations are cancelled right afterwards, and what was paid in it is refunded
 * unless it is to be kept. Idempotent; refuses with `illegal_state` to keep what is being refunded already.
 */
export async function cancelSale(
  deps: WriteNeeds & Needs<'queue'>,
  saleId: SaleId,
  { refunds }: CancelSale,
  keep: Keep = keepNothing,
): Promise<SaleView | Refusal> {
  const decide: DecideChange = async (tx, _sale, nowMs) => {
    const refusal = await callOff(tx, saleId, refunds, nowMs);
    return refusal ?? { terms: { status: 'cancelled', pausedAtMs: null, pauseBeganMs: null } };
  };
  const cancelled = await changeSale(deps, saleId, decide, keepView(keep));
  if (isRefusal(cancelled)) return cancelled;
  await deps.queue('advance').send({ body: { saleId } });
  await sendSweep(deps, saleId, null);
  return cancelled;
}

type DecideChange = (tx: Tx, sale: SaleRow, nowMs: number) => Promise<SaleChange | Refusal | undefined>;

/** Keeps the sale's view as the answer of a call. */
function keepView(keep: Keep) {
  return (tx: Tx, sale: SaleRow, nowMs: number, before: SaleRow): Promise<SaleView> => {
    const view = viewOfRow(sale, nowMs);
    return keep(tx, view, changeOf(sale.saleId, viewOfRow(before, nowMs), view));
  };
}

/**
 * Changes a sale's row under lock, tells the customers it concerns, then schedules what comes next. Units that could not be
 * offered before, as in a pause, are offered in the same transaction (invariant I11), by the changed times. If `decide`
 * finds nothing to change, nothing is written or announced. `answer` gets the row as the transaction leaves it and as it found
 * it, runs last within the transaction, and makes the result.
 */
export async function changeSale<Answer extends object>(
  deps: WriteNeeds,
  saleId: SaleId,
  decide: DecideChange,
  answer: (tx: Tx, sale: SaleRow, nowMs: number, before: SaleRow) => Promise<Answer>,
): Promise<Answer | Refusal> {
  const result = await writeThrough(deps, async (tx): Promise<SaleChanged<Answer> | Refusal> => {
    const sale = (await lockSales(tx, [saleId])).get(saleId);
    if (!sale) return refuse('not_found', 'There is no such sale.');
    // The change is made now, not when its transaction began to wait for the sale.
    const nowMs = deps.clock();
    const change = await decide(tx, sale, nowMs);
    if (isRefusal(change)) return change;
    if (!change) return { sale, stocks: [], reservations: [], events: [], answer: await answer(tx, sale, nowMs, sale) };
    const changed = { ...sale, ...change.terms };
    await changeTerms(tx, saleId, changed);
    // Deadlines have moved with the sale's clock: holders are reminded of the new ones, also if they were of the old ones.
    if (changed.clockOffsetMs !== sale.clockOffsetMs) {
      await writeReminded(tx, saleId, endOfDeadline(toSaleTime(changed, nowMs)), false);
    }
    const offered = await offerAndMove(tx, changed, [], { available: 0 }, nowMs);
    const publishes = change.terms.publishTold === true;
    const hides = isHiddenBy(sale, changed, nowMs);
    const recorded = await recordSale(tx, saleId, nowMs, { publishes, hides });
    const told = change.tell
      ? await announce(tx, { sale: recorded.sale, before: sale }, change.tell, nowMs)
      : { events: [] };
    const endsWait = told.job
      ? sale.endsWait || isShorter(sale, changed, nowMs)
      : sale.endsWait && !isOver(changed, nowMs);
    if (endsWait !== sale.endsWait) await setEndsWait(tx, saleId, endsWait);
    const moves = await announceMoves(tx, recorded.sale, offered.reservations, nowMs);
    await recordEvents(tx, [...told.events, ...moves.events], nowMs);
    const events = [...offered.events, ...recorded.events, ...told.events, ...moves.events];
    const reservations = offered.reservations;
    const jobs = [told.job, moves.job].filter((job) => job !== undefined);
    return { ...recorded, reservations, events, jobs, answer: await answer(tx, recorded.sale, nowMs, sale) };
  });
  if (isRefusal(result)) return result;
  for (const job of result.jobs ?? []) await sendJob(deps, job);
  if (result.stocks.length > 0) await scheduleBoundaries(deps, result.sale);
  return result.answer;
}
