/**
 * Which moves a reservation may make. This table is the only place that says so in code; SQL repeats the guard in its
 * WHERE, so that a reservation moves once however many try.
 */

export const reservationStates = [
  'requested',
  'allocated',
  'waitlisted',
  'rejected',
  'purchased',
  'cancelled',
  'expired',
  'refunded',
] as const;

export type ReservationState = (typeof reservationStates)[number];

const moves: Record<ReservationState, readonly ReservationState[]> = {
  requested: ['allocated', 'waitlisted', 'rejected'],
  waitlisted: ['allocated', 'cancelled', 'expired'],
  allocated: ['purchased', 'cancelled', 'expired'],
  purchased: ['refunded'],
  rejected: [],
  cancelled: [],
  expired: [],
  refunded: [],
};

/** True if a reservation may go from one state to the other. */
export function mayMove(from: ReservationState, to: ReservationState): boolean {
  return moves[from].includes(to);
}

/** The states from which a reservation may reach `to`, for the WHERE of the statement that moves it. */
export function statesBefore(to: ReservationState): ReservationState[] {
  return reservationStates.filter((from) => mayMove(from, to));
}

/** True if nothing further can happen to a reservation in this state. */
export function isFinal(state: ReservationState): boolean {
  return moves[state].length === 0;
}

/** The states whose units count against the customer's cap. */
export const holdingStates: readonly ReservationState[] = ['allocated', 'purchased'];
/** The states whose requested quantity counts against the customer's cap: a place in line is a claim too. */
export const waitingStates: readonly ReservationState[] = ['requested', 'waitlisted'];
