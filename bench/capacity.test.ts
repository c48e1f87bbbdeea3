import { type KeptScale, planOf, tableOf } from './capacity.ts';
import { type ShownSize, type ShownVerb, shownBy } from './scale-report.ts';

const nothing: Omit<ShownSize, 'size' | 'perSecond' | 'more'> = {
  ...{
    at: '2026-11-29T00:00:00.000Z',
    cpuUsPerRow: 100,
    tookMs: 1,
    waitedShare: 0.5,
    firstMs: 0,
    lastMs: 0,
    heldMs: 0,
  },
  ...{ heldMedianMs: 0, diskMs: 0, statementBytes: 0, eventBytes: 0, restMib: 1 },
  ...{ peakMib: 100, redelivered: 0, purchasesP99Ms: null, purchasesAloneP99Ms: 5, purchases: 0, purchasesFailed: 0 },
};
const figure = (perSecond: number, more: Record<string, number> = {}): ShownVerb => ({
  ...{ function: 'advance', memoryMb: 512, unit: 'rows/s', within: {} },
  bySize: [
    { ...nothing, size: 10_000, perSecond: 1, more: {} },
    { ...nothing, size: 1_000_000, perSecond: perSecond / 2, cpuUsPerRow: 120, more },
  ],
});
const kept: KeptScale = {
  measures: [],
  details: {
    scale: {
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

test('sums follow from the figures of the largest size, without what waited for a processor', () => {
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

test('a figure that is missing is an error; that a verb, or everything, was not run is said', () => {
  const { opening: _, ...others } = kept.details.scale;
  expect(planOf({ ...kept, details: { scale: others } }, concurrency)).toMatch(
    /`opening` \|[^|\d]+\|[^|]+(?:\| — )+\|/,
  );
  const without = { ...kept.details.scale, 'cancelling with refunds': figure(1) };
  expect(() => planOf({ ...kept, details: { scale: without } }, concurrency)).toThrow('refundsPerSecond');
  expect(planOf(undefined, concurrency)).not.toMatch(/^\||\d/m);
});

test('the table shows the largest size, and its cost against 10,000', () => {
  expect(tableOf(kept)).toContain('| opening | 1,000,000 | 10,000 rows/s | 120 µs | 1.2× |');
  expect(tableOf(undefined)).not.toMatch(/^\||\d/m);
});

describe('what is larger than the bounds are for', () => {
  const at = (size: number, more: Partial<ShownSize>): ShownSize => ({
    ...{ ...nothing, size, perSecond: 1, more: {} },
    ...more,
  });
  const verb: ShownVerb = {
    ...{ function: 'advance', memoryMb: 512, unit: 'rows/s', within: { lastMs: 180_000 } },
    bySize: [
      at(10_000, { lastMs: 1 }),
      at(1_000_000, { lastMs: 170_000, heldMs: 20 }),
      at(3_000_000, { lastMs: 500_000, heldMs: 60 }),
    ],
  };
  const named = (of: ShownVerb, name: string) => shownBy({ opening: of }).measures.find((one) => one.name === name);

  test('is shown, and held only to what is for any size', () => {
    expect(tableOf({ measures: [], details: { scale: { opening: verb } } })).toMatch(
      /\| opening \| 1,000,000 \|.*\n\| opening \| 3,000,000 \|/,
    );
    expect(named(verb, 'scale-last-opening')).toMatchObject({ ours: 170_000, holds: true });
    expect(named(verb, 'scale-held-opening')).toMatchObject({ ours: 60, holds: false });
  });

  test('times of different processors are not compared', () => {
    const [small, ...larger] = verb.bySize;
    const mixed = { ...verb, bySize: [{ ...(small as ShownSize), processor: 'another' }, ...larger] };
    expect(named(verb, 'scale-cost-opening')).toBeDefined();
    expect(named(mixed, 'scale-cost-opening')).toBeUndefined();
    expect(tableOf({ measures: [], details: { scale: { opening: mixed } } })).not.toContain('×');
  });
});
