import { expect, test } from '@jest/globals';
import { parseSchedule, ScheduleError } from './schedule.ts';

const startMs = Date.parse('2026-01-15T10:07:30Z');

test.each([
  ['rate(1 minute)', '2026-01-15T10:08:30.000Z'],
  ['rate(5 minutes)', '2026-01-15T10:12:30.000Z'],
  ['rate(1 hour)', '2026-01-15T11:07:30.000Z'],
  ['rate(7 days)', '2026-01-22T10:07:30.000Z'],
])('%s fires at the right time', (expression, time) => {
  expect(new Date(parseSchedule(expression).next(startMs, startMs)).toISOString()).toBe(time);
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
  'cron(0 10 * * ? *)',
])('%s is refused', (expression) => {
  expect(() => parseSchedule(expression)).toThrow(ScheduleError);
});
