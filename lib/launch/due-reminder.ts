/**
 * The reminder to pay: in a sale with `payWithinSeconds`, holders are reminded once before their units go to the line, with
 * the deadline.
 *
 * Invariant I12: the round of this notice is the deadline itself, so the same deadline is never told twice, and one that has
 * moved is told again. Steps are of bounded size; each is one transaction that moves the cursor with the events that it
 * records.
 */
import type { EventDetail } from '#events/catalog.ts';
import { changesPerEvent, newEvent, recordEvents } from '#events/outbox.ts';
import { type Committed, nothingChanged, type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { beginPaced, withTimeToSpare } from '#platform/resilience/pace.ts';
import { type Due, endOfDeadline, readDue } from '#reservation/reservation.store.ts';
import { lockSales, type SaleRow } from '#sale/sale.store.ts';
import { deadlineAtMs, toSaleTime } from '#sale/sale-clock.ts';
import { readReminded, writeReminded } from './due-reminder.store.ts';

const longestLeadMs = 3_600_000;

/**
 * How long before its deadline a holder is reminded: a fifth of the time to pay, or of an offer's life if that is shorter,
 * and at most an hour. Undefined for a sale without a time to pay.
 */
export function dueLeadMs(sale: Pick<SaleRow, 'payWithinMs' | 'offerLifeMs'>): number | undefined {
  if (sale.payWithinMs === null) return undefined;
  return Math.min(longestLeadMs, Math.floor(Math.min(sale.payWithinMs, sale.offerLifeMs) / 5));
}

/** Reminds holders whose time to pay ends soon. Goes on until `deadlineMs`; safe at any time and any number of times. */
export async function remindDue(deps: WriteNeeds, saleId: SaleId, deadlineMs: number): Promise<void> {
  const rest = beginPaced(deps.clock, withTimeToSpare);
  for (;;) {
    const step = await writeThrough(deps, (tx, nowMs) => remindSome(tx, saleId, nowMs));
    if (step.isOver || deps.clock() >= deadlineMs) return;
    await rest(deadlineMs);
  }
}

interface Step extends Committed {
  readonly isOver: boolean;
}

async function remindSome(tx: Tx, saleId: SaleId, nowMs: number): Promise<Step> {
  const over = { ...nothingChanged, isOver: true };
  const sale = (await lockSales(tx, [saleId])).get(saleId);
  const leadMs = sale && dueLeadMs(sale);
  if (!sale || leadMs === undefined || sale.status !== 'active') return over;
  // Units whose time ends with the window go to no other customer, and their holder is reminded of the close.
  const untilMs = Math.min(toSaleTime(sale, nowMs) + leadMs, toSaleTime(sale, sale.purchaseClosesAtMs) - 1);
  const known = await readReminded(tx, saleId);
  // When the sale's clock stood still or was moved, holders whose reminder is due again are reminded again.
  const back = known && known.deadlineMs > untilMs ? endOfDeadline(untilMs) : undefined;
  const after = back ?? known ?? endOfDeadline(toSaleTime(sale, nowMs));
  const due = await readDue(tx, saleId, after, untilMs, changesPerEvent);
  const last = due.at(-1) ?? back;
  if (!last) return over;
  await writeReminded(tx, saleId, last, known === undefined);
  const events = [...Map.groupBy(due, (one) => one.deadlineMs)].map(([storedMs, rows]) =>
    newEvent('reservations.reminded', reminderOf(sale, storedMs, rows), nowMs),
  );
  await recordEvents(tx, events, nowMs);
  return { ...nothingChanged, events, isOver: due.length < changesPerEvent };
}

function reminderOf(sale: SaleRow, storedMs: number, rows: readonly Due[]): EventDetail<'reservations.reminded'> {
  const deadlineMs = deadlineAtMs(sale, storedMs);
  const recipients = rows.map(({ reservationId, customerId, units, version }) => {
    return { reservationId, customerId, units, version, deadlineMs };
  });
  return { saleId: sale.saleId, reason: 'payment-due', round: deadlineMs, recipients };
}
