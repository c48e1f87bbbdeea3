/**
 * Which state transitions a purchase may make; SQL repeats the guard in its WHERE.
 *
 * `unknown` means that the provider was asked and did not answer: the units stay set aside until a query or the
 * provider's webhook says what happened.
 */

export const purchaseStates = ['requested', 'unknown', 'captured', 'declined', 'refunding', 'refunded'] as const;

export type PurchaseState = (typeof purchaseStates)[number];

const moves: Record<PurchaseState, readonly PurchaseState[]> = {
  requested: ['unknown', 'captured', 'declined', 'refunding'],
  unknown: ['captured', 'declined', 'refunding'],
  captured: ['refunding'],
  // A capture that the provider reports after the purchase was settled as declined is refunded.
  declined: ['refunding'],
  refunding: ['refunded'],
  refunded: [],
};

/** True if a purchase may go from one state to the other. */
export function mayMove(from: PurchaseState, to: PurchaseState): boolean {
  return moves[from].includes(to);
}

/** The states from which a purchase may reach `to`, for the WHERE of the statement that moves it. */
export function statesBefore(to: PurchaseState): PurchaseState[] {
  return purchaseStates.filter((from) => mayMove(from, to));
}

/** The states in which the provider's answer is still outstanding. */
export const openStates: readonly PurchaseState[] = ['requested', 'unknown', 'refunding'];
