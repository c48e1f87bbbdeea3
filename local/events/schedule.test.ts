/**
 * Schedule expressions: the examples of the EventBridge guide with their dates, and what is refused.
 */
import { expect, test } from '@jest/globals';
import { parseSchedule, ScheduleError } from './schedule.ts';

const START_MS = Date.parse('2026-01-15T10:07:30Z');

function firings(expression: string, count: number): string[] {
  const schedule = parseSchedule(expression);
  const found: string[] = [];
  let atMs = START_MS;
  for (let index = 0; index < count; index += 1) {
    const nextMs = schedule.next(atMs, atMs);
    if (nextMs === undefined) break;
    found.push(new Date(nextMs).toISOString().slice(0, 19));
    atMs = nextMs;
  }
  return found;
}

test.each([
  ['rate(1 minute)', ['2026-01-15T10:08:30', '2026-01-15T10:09:30']],
  ['rate(5 minutes)', ['2026-01-15T10:12:30', '2026-01-15T10:17:30']],
  ['rate(1 hour)', ['2026-01-15T11:07:30', '2026-01-15T12:07:30']],
  ['rate(7 days)', ['2026-01-22T10:07:30', '2026-01-29T10:07:30']],
  ['cron(0 10 * * ? *)', ['2026-01-16T10:00:00', '2026-01-17T10:00:00']],
  ['cron(15 12 * * ? *)', ['2026-01-15T12:15:00', '2026-01-16T12:15:00']],
  ['cron(0 18 ? * MON-FRI *)', ['2026-01-15T18:00:00', '2026-01-16T18:00:00', '2026-01-19T18:00:00']],
  ['cron(0 8 1 * ? *)', ['2026-02-01T08:00:00', '2026-03-01T08:00:00']],
  ['cron(0/15 * * * ? *)', ['2026-01-15T10:15:00', '2026-01-15T10:30:00']],
  ['cron(1/10 * * * ? *)', ['2026-01-15T10:11:00', '2026-01-15T10:21:00']],
  ['cron(0/5 8-17 ? * MON-FRI *)', ['2026-01-15T10:10:00', '2026-01-15T10:15:00']],
  ['cron(0 9 ? * 2#1 *)', ['2026-02-02T09:00:00', '2026-03-02T09:00:00']],
  ['cron(15 10 ? * 6L *)', ['2026-01-30T10:15:00', '2026-02-27T10:15:00']],
  ['cron(0 0 ? * L *)', ['2026-01-17T00:00:00', '2026-01-24T00:00:00']],
  ['cron(0 0 L * ? *)', ['2026-01-31T00:00:00', '2026-02-28T00:00:00']],
  ['cron(0 0 3W * ? *)', ['2026-02-03T00:00:00', '2026-03-03T00:00:00']],
  ['cron(0 12 1 JAN,JUL ? 2027-2028)', ['2027-01-01T12:00:00', '2027-07-01T12:00:00', '2028-01-01T12:00:00']],
  ['cron(30 6 15 1 ? 2026)', []],
])('%s fires at the right times', (expression, times) => {
  expect(firings(expression, Math.max(times.length, 1))).toEqual(times);
});

test('a rate keeps its phase after firings were missed', () => {
  const minute = 60_000;
  expect(parseSchedule('rate(1 minute)').next(1_000, 1_000 + 10.5 * minute)).toBe(1_000 + 11 * minute);
});

test.each([
  'every minute',
  'rate(0 minutes)',
  'rate(1 minutes)',
  'rate(5 minute)',
  'rate(30 seconds)',
  'rate(1.5 hours)',
  'cron(* * * * *)',
  'cron(* * * * * *)',
  'cron(* * ? * ? *)',
  'cron(60 * * * ? *)',
  'cron(* 24 * * ? *)',
  'cron(* * 0 * ? *)',
  'cron(* * ? * 0 *)',
  'cron(* * * 13 ? *)',
  'cron(* * * * ? 1969)',
  'cron(20-10 * * * ? *)',
  'cron(*/0 * * * ? *)',
  'cron(1-2-3 * * * ? *)',
  'cron(0 0 L-3 * ? *)',
  'cron(0 0 ? * 3#6 *)',
  'cron(0 0 ? * MON#1,FRI#2 *)',
])('%s is refused', (expression) => {
  expect(() => parseSchedule(expression)).toThrow(ScheduleError);
});
