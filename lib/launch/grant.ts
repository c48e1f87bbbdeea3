/**
 * Granting: an operator gives units to a waiter, out of turn and with a reason.
 *
 * It is the one exception to the line (invariant I11): an earlier ticket may be passed, by a person who answers for it. So it is
 * recorded in the same transaction, with the reason; the one who gets it is told that it was granted, and those behind are
 * told their new places. Its units are added to the sale, so that no waiter in front loses any. It is an offer
 * like any other: it has a deadline, and counts against the cap.
 */
import * as z from 'zod';
import { recordEvents } from '#events/outbox.ts';
import { changeOf, type Keep, keepNothing } from '#idempotency/kept-answer.ts';
import { type Committed, type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { idOf, line, Time } from '#platform/kernel/shapes.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { decideOffers, mayOffer } from '#reservation/offer.ts';
import { type Moved, offerAndMove } from '#reservation/release.ts';
import { lockReservations, makeOffers, type ReservationRow } from '#reservation/reservation.store.ts';
import { adjustment, recordMovements } from '#sale/ledger.store.ts';
import { maxUnits } from '#sale/sale.shapes.ts';
import { lockSales, readSales, type SaleRow } from '#sale/sale.store.ts';
import { announceMoves } from './announce.ts';
import { insertGrant } from './grant.store.ts';
import type { SaleJob } from './job.store.ts';
import { sendJob } from './jobs.ts';

/** The reason that the reservation's change carries, for its owner. */
const granted = 'granted';

export const GrantRequest = z
  .strictObject({
    reservationId: idOf<ReservationId>().describe('It must be waiting'),
    reason: line(3, 500).describe('Why it is served out of turn; kept for good, and not shown to customers'),
  })
  .meta({ id: 'GrantRequest' });
export type GrantRequest = z.output<typeof GrantRequest>;

export const Granted = z
  .object({
    reservationId: idOf<ReservationId>(),
    saleId: idOf<SaleId>(),
    state: z.literal('allocated'),
    units: z.int().describe('All that it asked for, added to the sale for it'),
    deadline: Time.describe('Until when the units can be bought'),
  })
  .meta({ id: 'Granted' });
export type Granted = z.infer<typeof Granted>;

interface Served extends Committed {
  readonly answer: Granted;
  /** Jobs that must still tell the others their new places. */
  readonly job?: SaleJob | undefined;
}

/**
 * Gives a waiting reservation all the units that it asks for, out of turn, and adds them to the sale. Refused if it does not
 * wait, if no offers can be made now, or if the sale would have more than `maxUnits`.
 */
export async function grantReservation(
  deps: WriteNeeds & Needs<'queue'>,
  saleId: SaleId,
  request: GrantRequest,
  keep: Keep = keepNothing,
): Promise<Granted | Refusal> {
  const served = await writeThrough(deps, async (tx, nowMs): Promise<Served | Refusal> => {
    const sale = (await lockSales(tx, [saleId])).get(saleId);
    if (!sale) return refuse('not_found', 'There is no such sale.');
    const [row] = await lockReservations(tx, [request.reservationId]);
    if (row?.saleId !== saleId) return refuse('not_found', 'The sale has no such reservation.');
    return refuseGrant(sale, row, nowMs) ?? give(tx, sale, row, request, keep, nowMs);
  });
  if (isRefusal(served)) return served;
  if (served.job) await sendJob(deps, served.job);
  return served.answer;
}

function refuseGrant(sale: SaleRow, row: ReservationRow, nowMs: number): Refusal | undefined {
  if (sale.status === 'cancelled') return refuse('sale_cancelled', 'Nothing of a cancelled sale can be granted.');
  if (!mayOffer(sale, nowMs))
    return refuse('illegal_state', 'The sale is paused, or too near to its close for an offer.');
  if (row.state === 'waitlisted') return undefined;
  return refuse('illegal_state', `A reservation that is ${row.state} does not wait.`, { state: row.state });
}

async function give(
  tx: Tx,
  sale: SaleRow,
  row: ReservationRow,
  { reason }: GrantRequest,
  keep: Keep,
  nowMs: number,
): Promise<Served | Refusal> {
  const { saleId, reservationId, quantity } = row;
  if (sale.allotment + quantity > maxUnits) {
    return refuse('illegal_state', `A sale may have at most ${maxUnits} units; this one has ${sale.allotment}.`, {
      allotment: sale.allotment,
    });
  }
  // Of units of its own: what is available stays for the line.
  const [offer] = decideOffers(sale, quantity, [row], nowMs);
  if (!offer) throw new Error('a reservation that waits cannot be served with all that it asks for');
  const { units, deadlineMs } = offer;
  await makeOffers(tx, [offer]);
  await recordMovements(
    tx,
    [adjustment(saleId, units, nowMs), { subjectId: reservationId, kind: 'ALLOCATE' as const, saleId, units }],
    nowMs,
  );
  await insertGrant(tx, { reservationId, saleId, units, reason }, nowMs);
  const after = {
    ...sale,
    allotment: sale.allotment + units,
    allocated: sale.allocated + units,
    waitlisted: sale.waitlisted - 1,
  };
  const moved: Moved = {
    ...{ ...row, state: 'allocated', units, deadlineMs: offer.storedDeadlineMs, version: row.version + 1 },
    ...{ from: row.state, reason: granted, untilMs: deadlineMs },
  };
  const deltas = { allotment: units, available: 0, allocated: units, waitlisted: -1 };
  const committed = await offerAndMove(tx, after, [moved], deltas, nowMs);
  const written = (await readSales(tx, [saleId])).get(saleId);
  if (!written) throw new Error('a sale that was just written cannot be read');
  const told = await announceMoves(tx, written, committed.reservations, nowMs);
  await recordEvents(tx, told.events, nowMs);
  const answer = {
    reservationId,
    saleId,
    state: 'allocated',
    units,
    deadline: toIso(deadlineMs),
  } as const;
  await keep(tx, answer, changeOf(reservationId, { state: row.state, quantity: row.quantity }, { ...answer, reason }));
  // That it was granted is told; the row keeps no reason for units that were given, and the mirror shows what the row has.
  const reservations = committed.reservations.map((one) =>
    one.reservationId === reservationId ? { ...one, reason: row.reason } : one,
  );
  return { ...committed, reservations, events: [...committed.events, ...told.events], job: told.job, answer };
}
