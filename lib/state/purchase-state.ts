/**
 * Which state transitions a purchase may make; SQL repeats the guard in its WHERE.
 *
 * `unknown` means that the provider was asked and did not answer: the units stay set aside until a query or the
 * provider's webhook says what happened. `requires_action` means that the provider waits for the customer, who confirms the
 * payment at an address of the provider until a deadline; the units stay set aside until then. `refunding` means that a
 * refund is pending, of the whole or of a part; afterwards the purchase is `refunded` if all of the money went back, and
 * `captured` again if a part of it did. `refund_failed` means that the provider has refused a refund, and `disputed` that it
 * has captured something other than the order: both wait for an operator.
 */

export const purchaseStates = [
  'requested',
  'unknown',
  'captured',
  'declined',
  'refunding',
  'refunded',
  'refund_failed',
  'disputed',
  'requires_action',
] as const;

export type PurchaseState = (typeof purchaseStates)[number];

const moves: Record<PurchaseState, readonly PurchaseState[]> = {
  // Straight to `refunded` if the provider gave the money back before we knew of the capture.
  requested: ['unknown', 'requires_action', 'captured', 'declined', 'refunding', 'refunded', 'disputed'],
  unknown: ['requires_action', 'captured', 'declined', 'refunding', 'refunded', 'disputed'],
  requires_action: ['captured', 'declined', 'refunding', 'refunded', 'disputed'],
  captured: ['refunding', 'refunded'],
  // A capture that the provider reports after we settled for a decline is given back.
  declined: ['refunding', 'refunded', 'disputed'],
  refunding: ['captured', 'refunded', 'refund_failed'],
  // Units may return after all of the money.
  refunded: ['refunding'],
  refund_failed: ['refunding', 'captured', 'refunded'],
  disputed: ['captured', 'refunding', 'refunded'],
};

/** What can become of a refund: asked for, given back, or refused by the provider. */
export const refundStates = ['pending', 'refunded', 'failed'] as const;

export type RefundState = (typeof refundStates)[number];

/** True if a purchase may go from one state to the other. */
export function mayMove(from: PurchaseState, to: PurchaseState): boolean {
  return moves[from].includes(to);
}

/** The states from which a purchase may reach `to`, for the WHERE of the statement that moves it. */
export function statesBefore(to: PurchaseState): PurchaseState[] {
  return purchaseStates.filter((from) => mayMove(from, to));
}

/** The states in which the provider's answer is still outstanding. */
export const openStates: readonly PurchaseState[] = ['requested', 'unknown', 'requires_action', 'refunding'];

/** The states in which it is not known yet whether the provider will capture the payment. */
export const awaitedStates: readonly PurchaseState[] = ['requested', 'unknown', 'requires_action'];
