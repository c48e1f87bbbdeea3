import { replaced } from './keep.ts';
import type { Measure, Series } from './statistics.ts';

const measure = (name: string, ours: number) => ({ name, ours }) as Measure;
const rates = (name: string, median: number) => ({ name, median }) as Series;

test('a suite that was run alone replaces its part of the kept report, and nothing else', () => {
  const whole = {
    suites: ['drain', 'read'],
    measures: [measure('drain-a', 1), measure('read-a', 2)],
    series: [rates('drain one', 1), rates('read one', 2)],
    notes: ['drain: drifted', 'read: drifted'],
    details: { drain: { of: 'then' }, read: { of: 'then' } },
    since: { drain: { at: 'before', machine: { model: 'an older one' } } },
    at: 'then',
    machine: { model: 'one' },
  };
  const part = {
    suites: ['read'],
    measures: [measure('read-a', 3), measure('read-b', 4)],
    series: [rates('read one', 3)],
    notes: [],
    details: { read: { of: 'now' } },
    at: 'now',
    machine: { model: 'another' },
  };
  expect(replaced(whole, part)).toEqual({
    suites: ['drain', 'read'],
    measures: [measure('drain-a', 1), measure('read-a', 3), measure('read-b', 4)],
    series: [rates('drain one', 1), rates('read one', 3)],
    notes: ['drain: drifted'],
    details: { drain: { of: 'then' }, read: { of: 'now' } },
    since: {
      drain: { at: 'before', machine: { model: 'an older one' } },
      read: { at: 'now', machine: { model: 'another' } },
    },
    at: 'then',
    machine: { model: 'one' },
  });
});
