import { type KeptScale, planOf } from './capacity.ts';

const figure = (perSecond: number, more: Record<string, number> = {}) => ({
  bySize: [
    { size: 10_000, perSecond: 1, more: {} },
    { size: 1_000_000, perSecond, more },
  ],
});
const kept: KeptScale = {
  details: {
    scale: {
      purchasesAloneP99Ms: 5,
      opening: figure(20_000),
      closing: figure(5_000),
      'notices and pushes': figure(10_000),
      'purchase rush': figure(100),
      'cancelling with refunds': figure(1, { refundsPerSecond: 50 }),
      'everybody asks': figure(4_000),
      reconcile: figure(25_000),
      'repair of an empty Redis': figure(10_000),
    },
  },
};
const concurrency = new Map([
  ['notify', 2],
  ['pay', 4],
]);

test('sums follow from the figures of the largest size', () => {
  const rows = planOf(kept, concurrency)
    .split('\n')
    .filter((line) => line.startsWith('| ') && line.includes('`'))
    .map((line) => line.split(' | ').slice(-3).join(' ').replace(' |', ''));
  expect(rows).toEqual([
    '1 s 50 s 42 min',
    '2 s 4 min 167 min',
    '2 s 4 min 167 min',
    '1 4 167',
    '1 2 56',
    '1 3 13',
    '1 s 40 s 34 min',
    '1 s 2 min 84 min',
  ]);
});

test('a figure that is missing is an error, and no report says so', () => {
  const { opening: _, ...others } = kept.details.scale;
  expect(() => planOf({ details: { scale: others } }, concurrency)).toThrow('opening');
  expect(planOf(undefined, concurrency)).toContain('No run of the suite is kept yet');
});
