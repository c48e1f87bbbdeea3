import { newId } from '#test/support/ids.ts';
import { actionGraceMs } from './action.ts';
import { isDue, secondsToNextLook } from './pay.ts';
import { backOffSeconds, longestDelaySeconds } from './pay-queue.ts';
import { leftOpenAfterMs } from './resend-open.ts';

const message = (attempt?: number) => ({ message: { purchaseId: newId(), attempt }, deliveries: 1 });

describe('which commands are carried out', () => {
  it('duplicate commands are dropped: a purchase has one chain of attempts', () => {
    expect(isDue({ state: 'requested', attempts: 2 }, message(2))).toBe(true);
    expect(isDue({ state: 'requested', attempts: 2 }, message(1))).toBe(false);
    expect(isDue({ state: 'unknown', attempts: 2 }, message(3))).toBe(false);
  });

  it('a redelivery continues where its first delivery died, and a manual command is always carried out', () => {
    expect(isDue({ state: 'requested', attempts: 1 }, { ...message(0), deliveries: 2 })).toBe(true);
    expect(isDue({ state: 'unknown', attempts: 7 }, message(undefined))).toBe(true);
  });

  it.each(['captured', 'declined', 'refunded'] as const)('a %s purchase needs nothing', (state) => {
    expect(isDue({ state, attempts: 0 }, { ...message(0), deliveries: 3 })).toBe(false);
  });
});

describe('parking', () => {
  it('waits longer each time, with jitter, and never longer than its bound', () => {
    expect([1, 2, 3, 4, 5].map((attempts) => backOffSeconds(attempts, () => 0.999))).toEqual([1, 2, 4, 8, 16]);
    expect(backOffSeconds(5, () => 0)).toBe(8);
    for (const attempts of [0, 1, 10, 1_000_000]) {
      const seconds = backOffSeconds(attempts, Math.random);
      expect(seconds).toBeGreaterThanOrEqual(1);
      expect(seconds).toBeLessThanOrEqual(longestDelaySeconds);
    }
  });

  it('looks at the end of a customer’s action to the second, and then soon again', () => {
    const look = (nowMs: number) => secondsToNextLook({ actionDeadlineMs: 100_000 }, nowMs);
    expect([60_000, 99_001, 99_999].map(look)).toEqual([40, 1, 1]);
    expect(look(100_000)).toBeLessThan(longestDelaySeconds);
    expect(look(100_000 + actionGraceMs)).toBe(longestDelaySeconds);
    expect(secondsToNextLook({ actionDeadlineMs: null }, 0)).toBe(longestDelaySeconds);
  });

  it('the settle job leaves alone what is parked', () => {
    expect(leftOpenAfterMs).toBeGreaterThan(longestDelaySeconds * 1_000);
  });
});
