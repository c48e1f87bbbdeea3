/**
 * Drain through SQS: the same, with receiving and deleting included, from the local queue server and by the local event
 * source mapping. An empty consumer of the same queue says how much of the rest is the queue itself.
 *
 * No process has a processor set apart: the queue server and the stub of the bus share the machine with the workers. The
 * server keeps its messages in memory and pollers do without the SDK (`lean-sqs.ts`): on AWS neither takes processor time
 * of the function, and with both an empty consumer was limited to a third.
 */
import { bestSettings, described } from '../best-settings.ts';
import type { ContenderName } from '../contender.ts';
import { openFilledQueue } from '../queue-fill.ts';
import { asDeployed, shippedBatchSize, shippedWindowMs, shippedWorkers } from '../settings.ts';
import { compare, type Series, series } from '../statistics.ts';
import { type Entry, inRounds, notesOf, type Suite } from '../suite.ts';
import { deliveryCount, planFor, requestsOf } from '../workload.ts';

/** What a batch without a batching window may hold, and so what a worker that handles single messages is given. */
const smallBatch = 10;

export const queue: Suite = {
  name: 'queue',
  title: 'Drain through SQS',
  quickSeconds: 22,
  async run(context) {
    const { environment, runner, quick } = context;
    const endpoint = environment.stack.endpoints.sqs;
    const region = environment.stack.endpoints.region;
    const url = environment.stack.registry['queue/reservations'] ?? '';
    const filled = openFilledQueue(endpoint, url, region);
    // The workers share what is left at the end, and none of their last batches is full: each would wait for its window, as a
    // worker does whose queue has run dry. What is timed is a drain that is not over.
    const timed = quick ? 10_000 : 80_000;
    const many = timed + shippedWorkers * shippedBatchSize;
    const few = quick ? 1_000 : 4_000;
    const limitMs = quick ? 1_500 : 4_000;

    const original = await runner.info('r0-setnx');
    const settings = await bestSettings(context, original, 'hot', 6_000);

    const entry = (name: ContenderName): Entry => {
      const slow = name === 'r0-setnx';
      return {
        name,
        run: async () => {
          const plan = planFor('hot', slow ? few : many);
          await filled.empty();
          await filled.fill(requestsOf(plan));
          const run = await runner.run(name, {
            plan,
            ...(slow ? { ...settings, batch: smallBatch } : asDeployed),
            limitMs: slow ? limitMs : 60_000,
            queue: {
              endpoint,
              url,
              region,
              windowMs: slow ? 0 : shippedWindowMs,
              deliveries: deliveryCount(plan.count),
              timed: slow ? deliveryCount(plan.count) : timed,
            },
          });
          return run.perSecond;
        },
      };
    };
    try {
      const entries = (['ours', 'empty', 'r0-setnx'] as const).map(entry);
      // Once for warm code; rivals had their sweep.
      for (const { run } of entries) await run(0);
      const rounds = await inRounds(context, quick ? 2 : 5, entries);
      const about: Record<string, { title: string; settings: string }> = {
        ours: { title: 'Holdfast', settings: described({ ...asDeployed }) },
        empty: { title: 'Empty consumer', settings: described({ ...asDeployed }) },
        'r0-setnx': { title: original.title, settings: described({ ...settings, batch: smallBatch }) },
      };
      const of = (name: string): Series =>
        series(`queue ${name}`, rounds.values.get(name) ?? [], {
          unit: 'confirmed/s',
          title: `${about[name]?.title}, through SQS`,
          settings: about[name]?.settings ?? '',
        });
      return {
        measures: [
          compare(of('ours'), of('r0-setnx'), { name: 'queue-drain-vs-original', must: 25, aim: 40 }),
          compare(of('ours'), of('empty'), { name: 'queue-drain-vs-empty-consumer', must: 0.6, aim: 0.75 }),
        ],
        series: [of('ours'), of('empty'), of('r0-setnx')],
        notes: notesOf('queue', rounds),
      };
    } finally {
      await filled.empty();
      filled.close();
    }
  },
};
