import fc from 'fast-check';
import { localTimeOf, momentOf, momentsOf, offsetName, typedFor, utcTime } from './times.ts';

const zones = ['Asia/Seoul', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kolkata', 'UTC'];

test('a time that the clocks jump over is none, one that comes twice is two', () => {
  expect(momentsOf('2026-03-29T02:30', 'Europe/Berlin')).toEqual([]);
  expect(momentsOf('2026-10-25T02:30', 'Europe/Berlin')?.map((ms) => new Date(ms).toISOString())).toEqual([
    '2026-10-25T00:30:00.000Z',
    '2026-10-25T01:30:00.000Z',
  ]);
  // Half an hour is put back there.
  expect(momentsOf('2026-04-05T01:45', 'Australia/Lord_Howe')).toHaveLength(2);
  expect(momentsOf('2026-04-05T01:15', 'Australia/Lord_Howe')).toHaveLength(1);
  expect(momentsOf('', 'UTC')).toBeUndefined();
});

test('which of two is meant has to be said', () => {
  const typed = { local: '2026-10-25T02:30' };
  expect(momentOf(typed, 'Europe/Berlin')).toEqual({ problem: 'ambiguous' });
  expect(momentOf({ ...typed, which: 1 }, 'Europe/Berlin')).toEqual({ ms: Date.parse('2026-10-25T01:30:00Z') });
  expect(momentOf({ local: '2026-03-29T02:30' }, 'Europe/Berlin')).toEqual({ problem: 'impossible' });
  expect(momentOf({ local: '' }, 'Europe/Berlin')).toEqual({ problem: 'missing' });
});

test('what is typed for a moment means that moment, in every zone and at every change of clocks', () => {
  const second = fc.integer({ min: Date.parse('2020-01-01') / 1_000, max: Date.parse('2040-01-01') / 1_000 });
  const nearAChange = fc
    .integer({ min: -7_200, max: 7_200 })
    .map((by) => Date.parse('2026-10-25T01:00:00Z') / 1_000 + by);
  fc.assert(
    fc.property(fc.oneof(second, nearAChange), fc.constantFrom(...zones), (seconds, zone) => {
      expect(momentOf(typedFor(seconds * 1_000, zone), zone)).toEqual({ ms: seconds * 1_000 });
    }),
  );
});

test('the zone and UTC are written as people do', () => {
  const ms = Date.parse('2026-11-29T10:00:00Z');
  expect([localTimeOf(ms, 'Asia/Seoul'), offsetName(ms, 'Asia/Seoul')]).toEqual(['2026-11-29T19:00:00', 'GMT+9']);
  expect([utcTime(ms), utcTime(ms + 5_000)]).toEqual(['2026-11-29 10:00', '2026-11-29 10:00:05']);
});
