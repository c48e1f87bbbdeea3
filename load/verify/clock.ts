/**
 * I12, the clock, as the notices tell it: nobody's reservation expired before the last time that its owner had been told.
 */
import type { NoticeRow } from './store.ts';
import type { Tally } from './tally.ts';

/** Judges the notices about one reservation, in whatever order. */
export function checkToldTime(reservationId: string, notices: readonly NoticeRow[], tally: Tally): void {
  const inOrder = [...notices].sort((one, other) => one.createdAtMs - other.createdAtMs);
  let toldMs: number | undefined;
  for (const { kind, deadline, createdAtMs } of inOrder) {
    if (deadline !== null) toldMs = Date.parse(deadline);
    const told = toldMs;
    if (kind !== 'reservation.expired' || told === undefined) continue;
    tally.expect(
      createdAtMs >= told,
      () => `reservation ${reservationId} expired at ${createdAtMs}, and its owner was told ${told}`,
    );
  }
}
