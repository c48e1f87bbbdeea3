/**
 * Changes of reservations as events carry them: grouped by what they have in common.
 *
 * A batch moves hundreds of reservations of a few sales in the same way, so a group says once which sale, from where and
 * to where, and each of its moves is a row of six values. That is a third of the size of an object for each change, and
 * EventBridge bills and limits by size. Producers call `groupChanges`; consumers read changes one by one again, because
 * the shape `ChangeGroups` expands what it has checked.
 */

import * as z from 'zod';
import type { CustomerId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import { reservationStates } from '#state/reservation-state.ts';

/** One reservation's move. `version` rises with each, so a reader can tell the newer of two. */
export interface ReservationChange {
  readonly reservationId: ReservationId;
  readonly saleId: SaleId;
  readonly customerId: CustomerId;
  readonly from: (typeof reservationStates)[number];
  readonly to: (typeof reservationStates)[number];
  /** Units set aside, bought or given back by this move. */
  readonly units: number;
  readonly quantity: number;
  readonly ticket: number;
  readonly version: number;
  readonly reason?: string | undefined;
  readonly deadlineMs?: number | undefined;
}

const ChangeGroup = z.object({
  saleId: idOf<SaleId>(),
  from: z.enum(reservationStates),
  to: z.enum(reservationStates),
  reason: z.string().optional(),
  deadlineMs: z.number().int().optional(),
  /** Reservation, customer, units, quantity, ticket and version of each. */
  moves: z.array(
    z.tuple([
      idOf<ReservationId>(),
      idOf<CustomerId>(),
      z.number().int(),
      z.number().int(),
      z.number().int().describe('microseconds since the epoch'),
      z.number().int(),
    ]),
  ),
});
export type ChangeGroup = z.infer<typeof ChangeGroup>;

/** Groups on the wire, changes one by one for who reads them. */
export const ChangeGroups = z.array(ChangeGroup).transform(expandChanges);

/** Groups changes for the wire, in the order in which each kind first appears. */
export function groupChanges(changes: readonly ReservationChange[]): ChangeGroup[] {
  const groups: ChangeGroup[] = [];
  const bySale = new Map<string, ChangeGroup[]>();
  for (const change of changes) {
    const { saleId, from, to, reason, deadlineMs } = change;
    const ofSale = bySale.get(saleId) ?? [];
    // A sale has few kinds of moves: looking through them costs less than making a key of all they have in common.
    let group = ofSale.find(
      (one) => one.to === to && one.from === from && one.reason === reason && one.deadlineMs === deadlineMs,
    );
    if (!group) {
      group = {
        saleId,
        from,
        to,
        ...(reason === undefined ? {} : { reason }),
        ...(deadlineMs === undefined ? {} : { deadlineMs }),
        moves: [],
      };
      groups.push(group);
      ofSale.push(group);
      bySale.set(saleId, ofSale);
    }
    const { reservationId, customerId, units, quantity, ticket, version } = change;
    group.moves.push([reservationId, customerId, units, quantity, ticket, version]);
  }
  return groups;
}

/** The changes of groups, one by one. */
export function expandChanges(groups: readonly ChangeGroup[]): ReservationChange[] {
  return groups.flatMap(({ moves, ...common }) =>
    moves.map(([reservationId, customerId, units, quantity, ticket, version]) => ({
      ...common,
      reservationId,
      customerId,
      units,
      quantity,
      ticket,
      version,
    })),
  );
}
