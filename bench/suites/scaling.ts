/**
 * Scaling: workers × batch size on one hot sale, each worker a process of its own. The surface shows where the knee is, and
 * whether more workers than needed do harm.
 */

import { asDeployed, shippedBatchSize, shippedWorkers } from '../settings.ts';
import { compare, median, type Series, series } from '../statistics.ts';
import { type Entry, inRounds, notesOf, type Suite } from '../suite.ts';
import { planFor, requestsFillingBatches } from '../workload.ts';

const workerCounts = [1, 2, 4, 8, 16];
const warmUpLimitMs = 60_000;
const batchesOfEach = 10;
const batchSizes = [1, 10, 50, 100, 250, 500, 1_000];

/** One point of the surface. */
export interface Point {
  readonly workers: number;
  readonly batch: number;
  readonly perSecond: number;
}

export const scaling: Suite = {
  name: 'scaling',
  title: 'Workers × batch size',
  quickSeconds: 16,
  async run(context) {
    const { runner, quick } = context;
    const most = Math.max(...workerCounts);
    const limitMs = quick ? 600 : 2_500;
    const longLimitMs = quick ? limitMs : 30_000;
    const few = 15_000;
    const some = 40_000;
    // The same number of batches for each worker: with a rest, most of them would be idle while some have one more. And so many
    // that a run is more than its beginning, when all of them insert into the few pages that a sale has by then.
    const countFor = (workers: number): number => {
      const least = quick ? some : Math.max(100_000, batchesOfEach * workers * shippedBatchSize);
      return requestsFillingBatches(least, shippedBatchSize, workers);
    };

    const entries = workerCounts.map(
      (workers): Entry => ({
        name: String(workers),
        run: async () =>
          (
            await runner.run('ours', {
              plan: planFor('hot', countFor(workers)),
              ...asDeployed,
              processes: workers,
              limitMs: longLimitMs,
            })
          ).perSecond,
      }),
    );
    // Each process compiles its code by itself, and many have little to do in a run: all are warm before the first round.
    const toWarmUp = requestsFillingBatches((quick ? 4 : 10) * most * shippedBatchSize, shippedBatchSize, most);
    await runner.run('ours', {
      plan: planFor('hot', toWarmUp),
      ...asDeployed,
      processes: most,
      limitMs: warmUpLimitMs,
    });
    const rounds = await inRounds(context, quick ? 2 : 5, entries);
    const all = workerCounts.map(
      (workers): Series =>
        series(`scaling ${workers} workers`, rounds.values.get(String(workers)) ?? [], {
          title: `${workers} workers`,
          unit: 'confirmed/s',
          settings: `batches of ${shippedBatchSize}`,
        }),
    );
    const best = all.reduce((a, b) => (a.median >= b.median ? a : b));
    const ofMost = all.at(-1) ?? best;

    const points: Point[] = all.map((one, index) => ({
      workers: workerCounts[index] ?? 0,
      batch: shippedBatchSize,
      perSecond: one.median,
    }));
    // A quick run has no time for the rest of the surface.
    for (const batch of quick ? [] : batchSizes) {
      if (batch === shippedBatchSize) continue;
      for (const workers of workerCounts) {
        const runs: number[] = [];
        for (let run = 0; run < 2; run++) {
          const plan = planFor('hot', batch <= 10 ? few : some);
          runs.push((await runner.run('ours', { plan, processes: workers, lanes: 1, batch, limitMs })).perSecond);
        }
        points.push({ workers, batch, perSecond: median(runs) });
      }
      const row = points.filter((point) => point.batch === batch);
      context.report(
        `  batches of ${batch}: ${row.map((point) => `${point.workers}: ${Math.round(point.perSecond).toLocaleString('en-US')}/s`).join(', ')}`,
      );
    }
    await runner.stop('ours', shippedWorkers);
    return {
      measures: [
        compare(ofMost, best, {
          name: 'sixteen-workers-vs-best',
          must: 0.9,
          aim: 0.95,
          note: `the best was ${best.title}`,
        }),
      ],
      series: all,
      notes: notesOf('scaling', rounds),
      details: { surface: points },
    };
  },
};
