/**
 * What follows from calling a sale off: each buyer is told and, unless the operator keeps the money, is refunded what was
 * paid in this sale.
 *
 * Invariant I13. A capture after the cancellation is refunded by the transaction that settles it, since it locks the sale's
 * row; so the sweep covers only earlier captures. It works in steps of bounded size, each one transaction that moves the
 * cursor with the refunds that it orders: dying between two steps, or repeating one, changes nothing. It continues by a
 * message of its own; if that is lost, the minute's rule continues it.
 */

import * as z from 'zod';
import { newEvent, recordEvents } from '#events/outbox.ts';
import { type Committed, nothingChanged, type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import { idOf, Time } from '#platform/kernel/shapes.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { beginPaced } from '#platform/resilience/pace.ts';
import { sendCommands } from '#purchase/pay-queue.ts';
import { countInStates, type PurchaseRow } from '#purchase/purchase.store.ts';
import { countRefundsOfSale } from '#purchase/refund.store.ts';
import { orderSharesBack } from '#purchase/refund.ts';
import { countByState, readPage } from '#reservation/reservation.store.ts';
import { lockSales, readSales } from '#sale/sale.store.ts';
import { awaitedStates, refundStates } from '#state/purchase-state.ts';
import { reservationStates } from '#state/reservation-state.ts';
import {
  findCancellation,
  insertCancellation,
  listUnsweptSaleIds,
  lockCancellation,
  type RefundPolicy,
  updateCancellation,
} from './cancellation.store.ts';
import { refundPolicies } from './cancellation.table.ts';
import { sliceEndMs } from './jobs.ts';
import { oneAtATime } from './one-at-a-time.ts';

/** What an operator decides when calling a sale off: unless said otherwise, what was paid is given back. */
export const CancelSale = z
  .strictObject({ refunds: z.enum(refundPolicies).default('refund') })
  .meta({ id: 'SaleCancelling' });
export type CancelSale = z.output<typeof CancelSale>;

/** The command in the queue `advance` that continues the sweep over the buyers of a sale that was called off. */
export const SweepCommand = z.object({
  sweep: z.object({
    saleId: idOf<SaleId>(),
    /** The sender's progress; the row is right if another worker was faster. */
    afterId: z.string().nullable(),
    /** The turn that it goes on with (`one-at-a-time.ts`). */
    turn: z.string().optional(),
  }),
});
export type SweepCommand = z.infer<typeof SweepCommand>;

const Counted = z.object({ refunds: z.int(), amountMinor: z.int() });

/** How far calling a sale off has come. */
export const CancellationView = z
  .object({
    saleId: idOf<SaleId>(),
    refunds: z.enum(refundPolicies),
    calledOffAt: Time,
    /** When every buyer had been seen, and told; null until then. */
    sweptAt: Time.nullable(),
    /**
     * Whether nothing is left to do: there are no holders and no waiters, no payment is open, no purchase is still to be
     * refunded, every refund is done.
     */
    done: z.boolean(),
    /** Purchases with units of this sale whose payment is still with the provider or its customer, or disputed. */
    openPayments: z.int(),
    reservations: z.record(z.enum(reservationStates), z.int()),
    /** The refunds that this led to, and others of its purchases that are not done; those that failed wait for an operator. */
    refundsByState: z.record(z.enum(refundStates), Counted),
    /** What the sale was sold in. */
    currency: z.string(),
  })
  .meta({ id: 'SaleCancellation' });
export type CancellationView = z.infer<typeof CancellationView>;

/** How many reservations one transaction looks at, bought or not: it locks the sale meanwhile. */
const rowsPerStep = 50;

/**
 * Records for a locked sale that it is called off. Repeating it changes nothing, except that keeping the money may become
 * refunding it. Refuses the opposite: an ordered refund is not revoked.
 */
export async function callOff(
  tx: Tx,
  saleId: SaleId,
  refunds: RefundPolicy,
  nowMs: number,
): Promise<Refusal | undefined> {
  const known = await lockCancellation(tx, saleId);
  if (!known) {
    await insertCancellation(tx, { saleId, refunds, calledOffAtMs: nowMs, afterId: null, sweptAtMs: null });
    return undefined;
  }
  if (known.refunds === refunds) return undefined;
  if (refunds === 'keep') return refuse('illegal_state', 'What was paid is already being refunded.');
  await updateCancellation(tx, { ...known, refunds, afterId: null, sweptAtMs: null });
  return undefined;
}

/** Sends the command that begins or continues a sweep. Never throws: the minute's rule makes up for a lost one. */
export async function sendSweep(
  deps: Needs<'queue'>,
  saleId: SaleId,
  afterId: ReservationId | null,
  turn?: string,
  delaySeconds = 0,
): Promise<void> {
  const body: SweepCommand = { sweep: { saleId, afterId, turn } };
  await deps
    .queue('advance')
    .send({ body, delaySeconds })
    .catch((error) => log.warn('the next tick will continue a cancellation', { error, saleId }));
}

/** Continues the sweeps that are not over and whose own messages were lost. */
export async function sweepLeftOpen(deps: WriteNeeds & Needs<'queue'>, deadlineMs: number): Promise<void> {
  for (const saleId of await listUnsweptSaleIds(deps.db)) {
    if (deps.clock() >= sliceEndMs(deps.clock(), deadlineMs)) return;
    await sweepCancellation(deps, saleId, deadlineMs);
  }
}

/**
 * Makes a step of the sweep over a sale's buyers, and more of them for a while, one process at a time; sends the command for
 * the rest. Harmless at any time.
 */
export async function sweepCancellation(
  deps: WriteNeeds & Needs<'queue'>,
  saleId: SaleId,
  deadlineMs: number,
  turn?: string,
): Promise<void> {
  const endsMs = sliceEndMs(deps.clock(), deadlineMs);
  let step = await sweepOn(deps, saleId);
  if (step.isOver) return;
  await oneAtATime(deps, {
    kind: 'sweep',
    saleId,
    turn,
    async work() {
      const rest = beginPaced(deps.clock);
      for (;;) {
        step = await sweepOn(deps, saleId);
        if (step.isOver || deps.clock() >= endsMs) return !step.isOver;
        await rest(endsMs);
      }
    },
    send: (mine, delaySeconds) => sendSweep(deps, saleId, step.afterId, mine, delaySeconds),
  });
}

/** Makes a step of the sweep over a sale's buyers, and has what it ordered carried out. */
async function sweepOn(deps: WriteNeeds & Needs<'queue'>, saleId: SaleId): Promise<Step> {
  const step = await writeThrough(deps, (tx, nowMs) => sweepSome(tx, saleId, nowMs));
  await sendCommands(deps, step.ordered);
  return step;
}

interface Step extends Committed {
  /** Purchases of which something is refunded by this step. */
  readonly ordered: readonly PurchaseRow[];
  readonly afterId: ReservationId | null;
  readonly isOver: boolean;
}

async function sweepSome(tx: Tx, saleId: SaleId, nowMs: number): Promise<Step> {
  // The sale is locked first, as everywhere: after that no capture from before the cancellation can still commit.
  const sale = (await lockSales(tx, [saleId])).get(saleId);
  const cancellation = await lockCancellation(tx, saleId);
  if (!sale || !cancellation || cancellation.sweptAtMs !== null) {
    return { ...nothingChanged, ordered: [], afterId: null, isOver: true };
  }
  const page = await readPage(tx, saleId, cancellation.afterId ?? undefined, rowsPerStep);
  const isOver = page.length < rowsPerStep;
  const afterId = page.at(-1)?.reservationId ?? cancellation.afterId;
  const bought = page.filter(({ state }) => state === 'purchased');
  await updateCancellation(tx, { ...cancellation, afterId, sweptAtMs: isOver ? nowMs : null });
  // Units may have returned before, without what was paid for them.
  const paid = page.filter(({ state }) => state === 'purchased' || state === 'refunded');
  const purchaseIds = [...new Set(paid.flatMap((row) => row.purchaseId ?? []))];
  const ordered = cancellation.refunds === 'refund' ? await orderSharesBack(tx, saleId, purchaseIds, nowMs) : [];
  if (bought.length === 0) return { ...nothingChanged, ordered, afterId, isOver };
  const recipients = bought.map(({ reservationId, customerId, units, version }) => ({
    ...{ reservationId, customerId, units, version },
    deadlineMs: sale.purchaseClosesAtMs,
  }));
  const reason = cancellation.refunds === 'refund' ? 'called-off-refund' : 'called-off-keep';
  const events = [newEvent('reservations.reminded', { saleId, reason, recipients }, nowMs)];
  await recordEvents(tx, events, nowMs);
  return { ...nothingChanged, events, ordered, afterId, isOver };
}

/** How far calling a sale off has come; refuses for a sale that was not called off. */
export async function readCancellation({ db }: Needs<'db'>, saleId: SaleId): Promise<CancellationView | Refusal> {
  const cancellation = await findCancellation(db, saleId);
  const sale = (await readSales(db, [saleId])).get(saleId);
  if (!cancellation || !sale) return refuse('not_found', 'There is no such sale, or it was not cancelled.');
  const [reservations, refundsByState, openPayments] = await Promise.all([
    countByState(db, saleId),
    countRefundsOfSale(db, saleId),
    countInStates(db, saleId, [...awaitedStates, 'disputed']),
  ]);
  const { refunds, calledOffAtMs, sweptAtMs } = cancellation;
  const isOpen =
    openPayments > 0 ||
    reservations.allocated > 0 ||
    reservations.waitlisted > 0 ||
    (refunds === 'refund' && reservations.purchased > 0) ||
    refundsByState.pending.refunds > 0 ||
    refundsByState.failed.refunds > 0;
  return {
    saleId,
    refunds,
    calledOffAt: toIso(calledOffAtMs),
    sweptAt: sweptAtMs === null ? null : toIso(sweptAtMs),
    done: sweptAtMs !== null && !isOpen,
    openPayments,
    reservations,
    refundsByState,
    currency: sale.currency,
  };
}
