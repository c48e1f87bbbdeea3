/**
 * A quiet sale: from acceptance to decision at one request a second, and what of it is the batching window. Lambda makes
 * batches of more than ten wait for a window of at least a second, so the only setting without it is batches of ten; what
 * those cost a full queue is measured beside it. Runs only if asked for.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { localCredentials } from '#local/aws-resources.ts';
import { type RunningMapping, startMapping } from '#local/event-source-mapping.ts';
import { openSqs } from '#local/sqs.ts';
import { SqsClient } from '#platform/aws/sqs-client.ts';
import { openDeps } from '#platform/environment/deps.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import { newId, type ReservationId } from '#platform/kernel/ids.ts';
import { queueFunctionTimeoutSeconds } from '#platform/kernel/time-limits.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { allocateBatch } from '#reservation/allocate.ts';
import { requestReservation } from '#reservation/request.ts';
import { ReserveCommand } from '#reservation/reservation.shapes.ts';
import { asDeployed, shippedBatchSize, shippedWindowMs } from '../settings.ts';
import { compare, median, percentile, rounded, type Series, series } from '../statistics.ts';
import { type Context, type Entry, inRounds, notesOf, type Suite } from '../suite.ts';
import { planFor } from '../workload.ts';

const everyMs = 1_000;
/** The largest batch that Lambda hands over without a window. */
const withoutWindow = 10;

const settings = {
  shipped: { batchSize: shippedBatchSize, batchingWindowMs: shippedWindowMs },
  'no window': { batchSize: withoutWindow, batchingWindowMs: 0 },
} as const;
type Setting = keyof typeof settings;

export const quiet: Suite = {
  name: 'quiet',
  title: 'A quiet sale',
  quickSeconds: 40,
  async run(context) {
    const { runner, quick } = context;
    const requests = quick ? 6 : 20;
    const latencies = new Map<Setting, number[]>();
    const waiting = (setting: Setting): Entry => ({
      name: setting,
      run: async () => {
        const taken = await latenciesOf(context, setting, requests);
        latencies.set(setting, [...(latencies.get(setting) ?? []), ...taken]);
        return median(taken);
      },
    });
    const draining = (name: string, batch: number, count: number): Entry => ({
      name,
      run: async () => {
        const plan = planFor('hot', count);
        return (await runner.run('ours', { plan, ...asDeployed, batch, limitMs: 60_000 })).perSecond;
      },
    });
    const entries = [
      waiting('shipped'),
      waiting('no window'),
      draining('full batches', shippedBatchSize, quick ? 20_000 : 100_000),
      draining('batches of ten', withoutWindow, quick ? 2_000 : 10_000),
    ];
    for (const { run } of entries) await run(0);
    latencies.clear();
    const rounds = await inRounds(context, quick ? 1 : 5, entries);
    const of = (name: string, title: string, unit: string): Series =>
      series(`quiet ${name}`, rounds.values.get(name) ?? [], { title, unit });
    const shipped = of('shipped', 'As deployed, one request a second', 'ms (median)');
    const free = of('no window', 'Batches of ten without a window', 'ms (median)');
    const full = of('full batches', 'Drain, as deployed', 'confirmed/s');
    const tens = of('batches of ten', 'Drain in batches of ten', 'confirmed/s');
    // Nothing is waited for besides the window.
    const bound = series(
      'quiet bound',
      free.values.map((ms) => ms + shippedWindowMs),
      { title: 'The window, and a decision without one', unit: 'ms (median)' },
    );
    const percentiles = Object.fromEntries(
      [...latencies].map(([name, all]) => [name, [0.5, 0.9, 0.99].map((share) => rounded(percentile(all, share)))]),
    );
    context.report(`  accept to decision, p50 p90 p99: ${JSON.stringify(percentiles)}`);
    context.report(`  of it the window: ${rounded(shipped.median - free.median)} ms`);
    context.report(`  drain: ${rounded(full.median)}/s in full batches, ${rounded(tens.median)}/s in batches of ten`);
    return {
      measures: [
        compare(shipped, bound, { name: 'quiet-latency-vs-window', must: 0.8, aim: 1, lessIsBetter: true }),
        compare(full, tens, { name: 'quiet-throughput-of-full-batches', must: 3, aim: 5 }),
      ],
      series: [shipped, free, full, tens],
      notes: notesOf('quiet', rounds),
      details: { percentiles, windowMs: rounded(shipped.median - free.median) },
    };
  },
};

/** Accepts so many requests, one a second; how long each took until its decision was committed and mirrored. */
async function latenciesOf({ environment }: Context, setting: Setting, requests: number): Promise<number[]> {
  const plan = planFor('hot', 1_000);
  const [saleId] = plan.saleIds;
  if (saleId === undefined) throw new Error('the plan has no sale');
  await environment.prepare(plan, { mirror: 'holdfast', stock: 'counters' });
  const { registry, endpoints } = environment.stack;
  const deps = openDeps(registry, {
    sqs: new SqsClient({ endpoint: endpoints.sqs, region: endpoints.region, credentials: localCredentials }),
    bus: { publish: async (events) => events.map(() => true) },
  });
  const url = registry['queue/reservations'] ?? '';
  const sqs = openSqs(endpoints.sqs ?? '', url, endpoints.region);
  const decidedAtMs = new Map<ReservationId, number>();
  let mapping: RunningMapping | undefined;
  try {
    await redisReady(deps.redis);
    mapping = startMapping({
      sqs,
      ...settings[setting],
      ...{ queueArn: 'arn:aws:sqs:us-east-1:000000000000:reservations', region: endpoints.region },
      ...{ functionName: 'allocate', timeoutMs: queueFunctionTimeoutSeconds * 1_000, memoryMb: 1_769 },
      ...{ concurrency: asDeployed.processes, reportsBatchItemFailures: true },
      handler: async ({ Records }) => {
        const batch = Records.map(({ messageId, body, attributes }) => ({
          ...{ messageId, message: ReserveCommand.parse(JSON.parse(body)) },
          ...{ sentAtMs: Number(attributes.SentTimestamp), deliveries: 1 },
        }));
        await allocateBatch(deps, batch, Date.now() + 9_000);
        for (const { message } of batch) decidedAtMs.set(message.reservationId, performance.now());
        return { batchItemFailures: [] };
      },
      report: (line) => process.stderr.write(`${line}\n`),
    });
    const acceptedAtMs = new Map<ReservationId, number>();
    for (let request = 0; request < requests; request++) {
      const answer = await requestReservation(deps, { customerId: newId() }, saleId, 'quiet', {
        quantity: 1,
        fill: 'all',
      });
      if (isRefusal(answer)) throw new Error(answer.detail);
      acceptedAtMs.set(answer.reservationId, performance.now());
      await sleep(everyMs);
    }
    for (let waits = 0; decidedAtMs.size < requests; waits++) {
      if (waits > 200) throw new Error(`${requests - decidedAtMs.size} requests were not decided`);
      await sleep(50);
    }
    return [...acceptedAtMs].map(([id, atMs]) => Math.max(0, (decidedAtMs.get(id) ?? Number.NaN) - atMs));
  } finally {
    await mapping?.drain();
    await deps.close();
  }
}
