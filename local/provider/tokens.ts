/**
 * What the sandbox does for a card token:
 *
 *   tok_approve          captured
 *   tok_decline          declined with card_declined; tok_decline_<code> names another decline code
 *   tok_slow             captured at once, answered late (2 s); tok_slow_<ms> names another delay
 *   tok_error            500 at every attempt, never charged
 *   tok_charged_timeout  captured, and the first request is not answered; the same key later replays the answer
 *   tok_flaky_<n>        500 at the first n attempts with the key, not charged, then captured
 *   tok_action           waits for the customer, who confirms or refuses it on a page of the sandbox, for 15 minutes;
 *                        tok_action_<seconds> names another time
 *
 * Any other token is declined with unknown_token. Called by server.ts.
 */

export type Verdict =
  | { charge: false }
  | { charge: true; status: 'captured'; answerAfterMs: number }
  | { charge: true; status: 'requires_action'; waitsMs: number; answerAfterMs: number }
  | { charge: true; status: 'declined'; declineCode: string; answerAfterMs: number };

/** How long tok_slow waits before its answer. */
export const slowMs = 2_000;
/** How long tok_action waits for the customer. */
export const actionMs = 15 * 60_000;
/** How long tok_charged_timeout keeps the request open: longer than any client waits. */
export const unansweredMs = 120_000;

/** The verdict on a new charge. `attempt` counts this key's attempts, this one included. */
export function verdictOn(token: string, attempt: () => number): Verdict {
  const captured = (answerAfterMs: number): Verdict => ({ charge: true, status: 'captured', answerAfterMs });
  if (token === 'tok_approve') return captured(0);
  if (token === 'tok_error') return { charge: false };
  if (token === 'tok_charged_timeout') return captured(unansweredMs);
  const slow = /^tok_slow(?:_(\d{1,6}))?$/.exec(token);
  if (slow) return captured(Number(slow[1] ?? slowMs));
  const flaky = /^tok_flaky_(\d{1,3})$/.exec(token);
  if (flaky) return attempt() > Number(flaky[1]) ? captured(0) : { charge: false };
  const action = /^tok_action(?:_(\d{1,6}))?$/.exec(token);
  if (action) {
    const waitsMs = action[1] === undefined ? actionMs : Number(action[1]) * 1_000;
    return { charge: true, status: 'requires_action', waitsMs, answerAfterMs: 0 };
  }
  const decline = /^tok_decline(?:_([a-z_]{1,60}))?$/.exec(token);
  const declineCode = decline ? (decline[1] ?? 'card_declined') : 'unknown_token';
  return { charge: true, status: 'declined', declineCode, answerAfterMs: 0 };
}
