/**
 * The places in line: if the mirror does not know those of all who wait, everybody gets a new one, a page at a time from the
 * end of the line (`mirror/renumber.ts`). Until then MySQL counts those at the front, and the others are told none.
 */
import { beginRenumbering, type NewPlaces, renumber } from '#mirror/renumber.ts';
import type { Needs } from '#platform/environment/deps.ts';
import type { ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import { readLineFromEnd } from '#reservation/reservation.store.ts';

/** How far giving new places has come. */
export interface LinePlace extends NewPlaces {
  /** The request that got the last one; null before the first. */
  readonly before: { readonly ticket: number; readonly reservationId: ReservationId } | null;
}

/** What was done of a sale's line. */
export interface CheckedLine {
  readonly rows: number;
  /** Where to go on; null if nothing is left. */
  readonly next: LinePlace | null;
}

/** Gives the next page of those who wait their places, if they need any; `place` is null to begin. */
export async function checkLine(
  deps: Needs<'db' | 'redis'>,
  saleId: SaleId,
  place: LinePlace | null,
  limit: number,
): Promise<CheckedLine> {
  const begun = place ?? (await beginLine(deps, saleId));
  if (!begun) return { rows: 0, next: null };
  const { after, upTo, upToTicket, before } = begun;
  const rows = await readLineFromEnd(deps.db, saleId, before ?? { ticket: upToTicket + 1, reservationId: null }, limit);
  // Whoever is too many has a place from before, or none, and is earlier than all of these.
  const placed = rows.slice(0, upTo - after).map((row, index) => ({ ...row, place: upTo - index }));
  if (placed.length > 0) await renumber(deps, saleId, placed);
  const last = placed.at(-1);
  const isLast = !last || rows.length < limit || placed.length < rows.length;
  const next = isLast ? null : { after, upToTicket, upTo: upTo - placed.length, before: last };
  return { rows: rows.length, next };
}

async function beginLine(deps: Needs<'redis'>, saleId: SaleId): Promise<LinePlace | undefined> {
  const begun = await beginRenumbering(deps, saleId);
  if (!begun) return undefined;
  log.warn('all who wait get new places in line', { saleId, waiting: begun.upTo - begun.after });
  return { ...begun, before: null };
}
