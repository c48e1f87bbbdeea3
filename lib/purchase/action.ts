/**
 * What a payment may need of its customer: a confirmation in the bank's app, 3-D Secure, a transfer to a virtual account.
 * The customer does it at an address of the provider, until a deadline; the purchase is `requires_action` until then.
 *
 * Invariant I12: the deadline is told once and never gets shorter, even if the sale's times move; a pause does not
 * move it, since the provider's clock goes on. So it is bounded when it is given: units wait for a customer's action only
 * for a limited time, and not long after the close. When it is over, the payment is stopped at the provider in any case. A
 * capture that arrives while the purchase still holds its units is a purchase; a later one is given back (I13). Used by
 * `settle.ts`, `provider.ts` and `read.ts`.
 */
import type { Action, PurchaseRow } from './purchase.store.ts';

/** The longest time for an action, even if the provider would wait longer. */
export const actionLifeAtMostMs = 30 * 60_000;

/**
 * How long after the close of a sale an action may still be taken. The purchase was ordered before the close, its customer
 * needs a fair time, and no other customer can buy these units then.
 */
export const actionAfterCloseAtMostMs = 10 * 60_000;

/**
 * How long after the deadline units still wait if the provider cannot be asked. Then they are released, and a capture after
 * that is given back.
 */
export const actionGraceMs = 2 * 60_000;

/** The reason for stopping a payment that its customer gave up. */
export const givenUp = 'given_up';

/**
 * Until when the customer may act: as long as the provider waits, within our bounds. `closesAtMs` is the earliest close of
 * the purchase's sales; if it has passed because the provider could not be asked before, now counts instead. Pure.
 */
export function actionDeadlineMs(providerDeadlineMs: number | null, closesAtMs: number, nowMs: number): number {
  return Math.min(
    providerDeadlineMs ?? Number.POSITIVE_INFINITY,
    nowMs + actionLifeAtMostMs,
    Math.max(nowMs, closesAtMs) + actionAfterCloseAtMostMs,
  );
}

/** Why a payment that waits for its customer is to be stopped now; undefined if it may go on. Pure. */
export function reasonToStop(
  {
    reason,
    actionDeadlineMs,
    calledOff,
  }: Pick<PurchaseRow, 'reason' | 'actionDeadlineMs'> & {
    readonly calledOff?: boolean | undefined;
  },
  nowMs: number,
): string | undefined {
  if (calledOff) return 'sale_cancelled';
  if (reason === givenUp) return givenUp;
  return nowMs >= (actionDeadlineMs ?? 0) ? 'action_expired' : undefined;
}

/** What the customer can do now for a purchase, or undefined. Pure. */
export function openAction(
  { state, reason, actionUrl, actionDeadlineMs, actionAccount }: PurchaseRow,
  nowMs: number,
): Action | undefined {
  const isOpen = state === 'requires_action' && reason !== givenUp;
  if (!isOpen || actionUrl === null || actionDeadlineMs === null || nowMs >= actionDeadlineMs) return undefined;
  return { url: actionUrl, deadlineMs: actionDeadlineMs, transferTo: actionAccount };
}
