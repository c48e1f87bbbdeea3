/** What each test card does. */
import { expect, test } from '@jest/globals';
import { actionMs, slowMs, unansweredMs, verdictOn } from './tokens.ts';

const captured = (answerAfterMs: number) => ({ charge: true, status: 'captured', answerAfterMs });
const waits = (waitsMs: number) => ({ charge: true, status: 'requires_action', waitsMs, answerAfterMs: 0 });
const declined = (declineCode: string) => ({ charge: true, status: 'declined', declineCode, answerAfterMs: 0 });

test.each([
  ['tok_approve', captured(0)],
  ['tok_decline', declined('card_declined')],
  ['tok_decline_insufficient_funds', declined('insufficient_funds')],
  ['tok_slow', captured(slowMs)],
  ['tok_slow_50', captured(50)],
  ['tok_error', { charge: false }],
  ['tok_charged_timeout', captured(unansweredMs)],
  ['tok_action', waits(actionMs)],
  ['tok_action_7', waits(7_000)],
  ['tok_unheard_of', declined('unknown_token')],
  ['', declined('unknown_token')],
])('%s', (token, verdict) => {
  expect(verdictOn(token, () => 1)).toEqual(verdict);
});

test('tok_flaky_2 fails twice, then is captured', () => {
  const verdicts = [1, 2, 3, 4].map((attempt) => verdictOn('tok_flaky_2', () => attempt).charge);
  expect(verdicts).toEqual([false, false, true, true]);
});

test('only flaky tokens count attempts', () => {
  let counted = 0;
  verdictOn('tok_approve', () => {
    counted += 1;
    return counted;
  });
  expect(counted).toBe(0);
});
