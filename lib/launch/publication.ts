/**
 * Publishing a sale, and who can find it: what an operator may change of that, and what has to hold for it.
 *
 * A sale is public before its reservations open (invariant I8): a time of publication after `reserveOpensAt` is refused, and so
 * is a move of `reserveOpensAt` before it. A sale that is public may be taken back, or published later, only as long as nobody
 * could reserve in it.
 */
import { newEvent } from '#events/outbox.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { hasReservations } from '#reservation/reservation.store.ts';
import type { SaleTimes } from '#sale/phase.ts';
import type { UpdateSale } from '#sale/sale.shapes.ts';
import type { SaleRow } from '#sale/sale.store.ts';
import { saleNowMs } from '#sale/sale-clock.ts';
import { isPublicAt, newAccessCode, publicSinceMs } from '#sale/visibility.ts';

/** What a change of its publication changes in a sale's row. */
export type Publication = Pick<SaleRow, 'publicFromMs' | 'publishTold'>;

/**
 * Of a sale that is public as soon as it is made: its id is known to nobody before, so no clock has to be compared, and its
 * reservations may be open already.
 */
export const atOnce: Publication = { publicFromMs: 0, publishTold: true };

/** When a sale becomes public that is told to become so then; a time that has passed means now. */
export function publicationAt(wantedMs: number | null, nowMs: number): Publication {
  const publicFromMs = wantedMs === null ? null : Math.max(wantedMs, nowMs);
  return { publicFromMs, publishTold: publicFromMs !== null && publicFromMs <= nowMs };
}

/** Refuses reservations that open before the sale is public. */
export function refuseEarlyOpening(
  { reserveOpensAtMs }: Pick<SaleTimes, 'reserveOpensAtMs'>,
  publicFromMs: number | null,
): Refusal | undefined {
  if (publicFromMs === null || reserveOpensAtMs >= publicFromMs) return undefined;
  return refuse(
    'unprocessable',
    `The sale would be public at ${toIso(publicFromMs)} only, after its reservations open at ${toIso(reserveOpensAtMs)}; move reserveOpensAt first.`,
  );
}

/**
 * What publishing a locked sale at a time changes, or taking it back to draft, with null; undefined if nothing. `times` are the
 * sale's as they will be.
 */
export async function changePublication(
  tx: Tx,
  sale: SaleRow,
  times: Pick<SaleTimes, 'reserveOpensAtMs'>,
  wantedMs: number | null,
  nowMs: number,
): Promise<Publication | Refusal | undefined> {
  const isPublic = isPublicAt(sale, nowMs);
  const wanted = publicationAt(wantedMs, nowMs);
  const stays = isPublic ? wanted.publishTold : wanted.publicFromMs === sale.publicFromMs;
  if (stays) return undefined;
  const isOpen = saleNowMs(sale, nowMs) >= sale.reserveOpensAtMs;
  // One that was open, and was moved, has reservations of that time.
  if (isPublic && (isOpen || (await hasReservations(tx, sale.saleId)))) {
    return refuse(
      'illegal_state',
      'Customers could reserve in this sale already, so it stays public; pause or cancel it.',
    );
  }
  return refuseEarlyOpening(times, wanted.publicFromMs) ?? wanted;
}

/** The code that a sale asks for after a change; null if it asks for none. */
export function changeAccess(
  sale: Pick<SaleRow, 'accessCode'>,
  { requiresCode = sale.accessCode !== null, accessCode }: Pick<UpdateSale, 'requiresCode' | 'accessCode'>,
): Pick<SaleRow, 'accessCode'> | Refusal {
  if (!requiresCode && accessCode !== undefined) {
    return refuse('unprocessable', 'accessCode goes with requiresCode: a sale that everybody can find asks for none.');
  }
  if (!requiresCode) return { accessCode: null };
  if (accessCode === undefined) return { accessCode: sale.accessCode ?? newAccessCode() };
  return { accessCode: accessCode ?? newAccessCode() };
}

/** Whether some who could find a sale before a change cannot any more, or only with another code. */
export function isHiddenBy(before: SaleRow, after: SaleRow, nowMs: number): boolean {
  if (isPublicAt(before, nowMs) && !isPublicAt(after, nowMs)) return true;
  return after.accessCode !== null && after.accessCode !== before.accessCode;
}

/** The event of a sale that has become public. */
export function salePublished(sale: SaleRow, nowMs: number) {
  const { saleId, accessCode } = sale;
  const detail = { saleId, publicFromMs: publicSinceMs(sale) ?? nowMs, requiresCode: accessCode !== null };
  return newEvent('sale.published', detail, nowMs);
}
