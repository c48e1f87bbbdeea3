/**
 * Burst: ten thousand requests for one sale within a second. How long until the last is decided? Requests arrive by
 * the clock, whether a worker is ready or not, and their time runs from when they should have arrived.
 */

import { bestSettings, type Settings } from '../best-settings.ts';
import { asDeployed } from '../settings.ts';
import { compare, percentile, type Series, series } from '../statistics.ts';
import { type Entry, inRounds, notesOf, type Suite } from '../suite.ts';
import { planFor } from '../workload.ts';

const requests = 10_000;
const arrivalsPerSecond = 10_000;

export const burst: Suite = {
  name: 'burst',
  title: 'Burst of 10,000 on one sale',
  quickSeconds: 14,
  async run(context) {
    const { runner, quick } = context;
    const limitMs = quick ? 8_000 : 90_000;
    const original = await runner.info('r0-setnx');
    const settings = await bestSettings(context, original, 'hot', 6_000);
    const latencies: Record<string, number[]> = {};
    const entry = (name: 'ours' | 'r0-setnx', settings: Settings): Entry => ({
      name,
      run: async () => {
        const plan = planFor('hot', requests);
        const run = await runner.run(name, { plan, ...settings, limitMs, arrivalsPerSecond });
        latencies[name] = [...run.latenciesMs];
        return percentile(run.latenciesMs, 0.99);
      },
    });
    const entries = [entry('ours', { ...asDeployed }), entry('r0-setnx', settings)];
    await entries[0]?.run(0);
    const rounds = await inRounds(context, quick ? 1 : 5, entries);
    const of = (name: string, title: string): Series =>
      series(`burst ${name}`, rounds.values.get(name) ?? [], { title, unit: 'ms (p99)' });
    const ours = of('ours', 'Holdfast, accept to decision');
    const against = of('r0-setnx', `${original.title}, accept to decision`);
    const cutShort = against.values.some((value) => value > limitMs * 0.95);
    return {
      measures: [
        compare(ours, against, {
          name: 'burst-p99-vs-original',
          must: 40,
          aim: 100,
          lessIsBetter: true,
          ...(cutShort
            ? {
                note: `the original design was stopped after ${limitMs / 1000} s; what was left counts as decided then`,
              }
            : {}),
        }),
      ],
      series: [ours, against],
      notes: [
        ...notesOf('burst', rounds),
        ...(quick ? ['burst: one round only, and the original design is cut short, which favours it.'] : []),
      ],
      details: {
        percentiles: Object.fromEntries(
          Object.entries(latencies).map(([name, values]) => [
            name,
            Object.fromEntries(
              [0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999].map((share) => [share, percentile(values, share)]),
            ),
          ]),
        ),
      },
    };
  },
};
