/**
 * Splitting: some units of a reservation become a reservation of their own, a part, so that every row has a single state.
 * Reducing splits off what is given back, buying fewer units splits off the rest, and a refund of some units splits those
 * off.
 *
 * Invariants. I1 and I4: whole and part together have what the whole had, so a split changes neither stock nor cap. I3: the
 * ledger has one ALLOCATE and one SELL for the original whole; later movements of a part are recorded under the part's id,
 * and the movements of a reservation and its parts add up.
 */
import type { Tx } from '#platform/mysql/mysql.ts';
import { firstVersion } from './decide.ts';
import type { Moved } from './release.ts';
import { insertPart, type ReservationRow, shrinkReservation } from './reservation.store.ts';
import { derivePartId } from './reservation-id.ts';

/** What becomes of the units that are split off. */
export interface Fate {
  readonly state: 'allocated' | 'cancelled' | 'refunded';
  readonly reason: string | null;
}

/** A reservation after a split, and the part. */
export interface Split {
  readonly whole: Moved;
  readonly part: Moved;
}

/** A reservation after its quantity was lowered, with no more units than that. Pure. */
export function shrunk(row: ReservationRow, quantity: number): Moved {
  return {
    ...row,
    quantity,
    atLeast: Math.min(row.atLeast, quantity),
    units: Math.min(row.units, quantity),
    version: row.version + 1,
    askedQuantity: row.askedQuantity ?? row.quantity,
    askedAtLeast: row.askedAtLeast ?? row.atLeast,
    from: row.state,
  };
}

/** The result of splitting a reservation after `quantity` units; it must have more. Pure. */
export function splitAfter(row: ReservationRow, quantity: number, fate: Fate, nowMs: number): Split {
  const whole = shrunk(row, quantity);
  const units = row.units - whole.units;
  const part: Moved = {
    ...row,
    ...{ reservationId: derivePartId(row.saleId, row), partOf: row.partOf ?? row.reservationId },
    ...{ quantity: units, atLeast: units, units, ...fate, version: firstVersion, decidedAtMs: nowMs },
    deadlineMs: fate.state === 'allocated' ? row.deadlineMs : null,
    ...{ purchaseId: fate.state === 'refunded' ? row.purchaseId : null, askedQuantity: null, askedAtLeast: null },
    // An allocation of its own; the holder has not been told of it yet.
    from: fate.state === 'allocated' ? 'requested' : row.state,
  };
  return { whole, part };
}

/** Writes a split of a locked reservation, in a locked sale. */
export async function writeSplit(tx: Tx, before: ReservationRow, { whole, part }: Split): Promise<void> {
  await shrinkReservation(tx, { before, after: whole });
  await insertPart(tx, part);
}
