/**
 * Memory: what 100,000 reservations take in Redis, and whether a worker that drains a million of them grows.
 */

import { asDeployed } from '../settings.ts';
import { type Measure, median, rounded, type Series, series } from '../statistics.ts';
import type { Context, Suite } from '../suite.ts';
import { planFor, type Scenario } from '../workload.ts';

const mib = 1_048_576;
const per = 100_000;
const mustMib = 10;
const aimMib = 6;

export const memory: Suite = {
  name: 'memory',
  title: 'Memory',
  quickSeconds: 14,
  async run(context) {
    const kinds: Scenario[] = context.quick ? ['hot'] : ['hot', 'zipf'];
    const readings: Series[] = [];
    for (const kind of kinds) readings.push(await redisMemory(context, kind));
    const worst = readings.reduce((a, b) => (a.median >= b.median ? a : b));
    const redis: Measure = {
      name: 'redis-memory-per-100k',
      ours: rounded(worst.median),
      against: mustMib,
      ratio: rounded(mustMib / worst.median),
      must: 1,
      aim: rounded(mustMib / aimMib),
      holds: worst.median <= mustMib,
      unit: 'MiB',
      range: [rounded(mustMib / worst.high), rounded(mustMib / worst.low)],
      rounds: worst.values.length,
      note: `the limit is ${mustMib} MiB, the aim ${aimMib}; the larger of accepted and decided`,
    };
    const resident = await residentMemory(context);
    return {
      measures: [redis, resident.measure],
      series: [...readings, resident.series],
      notes: context.quick
        ? ['memory: a quarter of the reservations in Redis, and only 60,000 through the worker.']
        : [],
      details: { residentMib: resident.series.values },
    };
  },
};

/** The growth of Redis per 100,000 reservations, accepted and then decided; the larger of the two. */
async function redisMemory({ environment, runner, quick, report }: Context, kind: Scenario): Promise<Series> {
  const count = quick ? per / 4 : per;
  const plan = planFor(kind, count);
  const used = async (): Promise<number> =>
    Number(/used_memory:(\d+)/.exec(await environment.redis.info('memory'))?.[1]);
  await environment.prepare(plan, { mirror: 'holdfast', stock: 'counters' });
  const before = await used();
  const values: number[] = [];
  const states: Record<string, number> = {};
  // With no time to begin a delivery the requests stay at the gate; then all of them are decided.
  for (const [state, limitMs] of [
    ['accepted', 0],
    ['decided', 120_000],
  ] as const) {
    await runner.run('ours', { plan, ...asDeployed, limitMs });
    states[state] = (((await used()) - before) / mib / count) * per;
    values.push(states[state]);
  }
  report(
    `  Redis, ${kind}: ${rounded(states.accepted ?? 0)} MiB accepted, ${rounded(states.decided ?? 0)} MiB decided`,
  );
  return series(`redis memory ${kind}`, [Math.max(...values)], {
    title: `Redis memory per 100,000 reservations, ${kind}`,
    unit: 'MiB',
  });
}

/** A worker's resident memory over a long drain: the last quarter beside the second. */
async function residentMemory({ runner, quick, report }: Context): Promise<{ measure: Measure; series: Series }> {
  // A process of its own, which has seen nothing else.
  await runner.stop('ours');
  const count = quick ? 60_000 : 1_000_000;
  const run = await runner.run('ours', {
    plan: planFor('hundred', count),
    ...asDeployed,
    limitMs: 600_000,
    streamed: true,
  });
  const samples = run.residentBytes.map((bytes) => bytes / mib);
  const quarter = Math.floor(samples.length / 4);
  const early = median(samples.slice(quarter, 2 * quarter));
  const late = median(samples.slice(3 * quarter));
  report(`  worker: ${rounded(early)} MiB in the second quarter, ${rounded(late)} MiB in the last`);
  return {
    measure: {
      name: 'worker-memory-flat',
      ours: rounded(late),
      against: rounded(early),
      ratio: rounded(early / late),
      must: 0.9,
      aim: 0.95,
      holds: early / late >= 0.9,
      unit: 'MiB',
      range: [rounded(early / late), rounded(early / late)],
      rounds: 1,
      note: `${count.toLocaleString('en-US')} reservations; the last quarter against the second`,
    },
    series: series('worker memory', samples, { title: 'Resident memory of a worker', unit: 'MiB' }),
  };
}
