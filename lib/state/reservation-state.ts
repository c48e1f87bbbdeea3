/**
 * Which state transitions a reservation may make. This table is the only definition in code; SQL repeats the guard in its
 * WHERE, so that of several concurrent moves of a reservation only one succeeds.
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
  requested: ['allocated', 'waitlisted', 'rejected', 'cancelled'],
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

/** True if a reservation never leaves this state. */
export function isFinal(state: ReservationState): boolean {
  return moves[state].length === 0;
}

/** The states from which a reservation may reach `to`, for the WHERE of the statement that moves it. */
export function statesBefore(to: ReservationState): ReservationState[] {
  return reservationStates.filter((from) => mayMove(from, to));
}

/**
 * What a reservation counts against its customer's cap, by its state: on the waitlist the quantity requested, when
 * allocated the units set aside. This is the only definition: decisions, SQL and the mirror's script follow it.
 */
const countsAgainstCap: Record<ReservationState, 'quantity' | 'units' | 'nothing'> = {
  requested: 'quantity',
  waitlisted: 'quantity',
  allocated: 'units',
  purchased: 'units',
  rejected: 'nothing',
  cancelled: 'nothing',
  expired: 'nothing',
  refunded: 'nothing',
};

/** The units that a reservation counts against the cap. */
export function unitsAgainstCap(row: { state: ReservationState; units: number; quantity: number }): number {
  const counted = countsAgainstCap[row.state];
  return counted === 'nothing' ? 0 : row[counted];
}

/** What a reservation in this state counts against the cap. */
export function countedAgainstCap(state: ReservationState): 'quantity' | 'units' | 'nothing' {
  return countsAgainstCap[state];
}

/** The states in which a reservation counts its quantity, or its units, against the cap. */
export function statesCounting(what: 'quantity' | 'units'): ReservationState[] {
  return reservationStates.filter((state) => countsAgainstCap[state] === what);
}
