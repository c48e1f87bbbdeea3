/**
 * Changes of reservations as events carry them: grouped by their common fields.
 *
 * A batch moves hundreds of reservations of a few sales in the same way, so a group states the sale and both states once,
 * and each of its moves is a row of six values. That is a third of the size of one object per change, and EventBridge
 * bills and limits by size. Producers call `groupChanges`; consumers get single changes again, because the schema
 * `ChangeGroups` expands the groups after validating them.
 */

import * as z from 'zod';
import type { CustomerId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import { reservationStates } from '#state/reservation-state.ts';

/** One reservation's move. `version` rises with each move, so a reader can tell which of two is newer. */
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

/** Groups on the wire, parsed into single changes. */
export const ChangeGroups = z.array(ChangeGroup).transform(expandChanges);

/** Groups changes for the wire, in the order in which each group first appears. */
export function groupChanges(changes: readonly ReservationChange[]): ChangeGroup[] {
  const groups: ChangeGroup[] = [];
  const bySale = new Map<SaleId, ChangeGroup[]>();
  for (const change of changes) {
    const { saleId, from, to, reason, deadlineMs } = change;
    const ofSale = bySale.get(saleId) ?? [];
    // A sale has few kinds of moves: searching them is cheaper than building a key of all their common fields.
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

/** The single changes of groups. */
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
