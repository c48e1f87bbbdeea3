/**
 * The worker process of one contender, so that contenders share neither memory nor warm code. Forked by runner.ts, which
 * sends it the options of a run and then the start, and gets one answer to each.
 *
 * Invariant: only handling is measured. Deliveries are built, and the contender is reset, before the clock starts; the
 * clock stops when the last delivery that was begun is acknowledged and settled.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Context, SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { startMapping } from '#local/event-source-mapping.ts';
import { openSqs } from '#local/sqs.ts';
import { queueFunctionTimeoutSeconds } from '#platform/kernel/time-limits.ts';
import type { ContenderName, DatabaseUrls, Opened } from './contender.ts';
import { loadContender } from './contenders.ts';
import { deliveriesOf, type Plan, type Request, requestsOf } from './workload.ts';

/** The options of one run. */
export interface RunOptions {
  readonly plan: Plan;
  readonly workers: number;
  /** Messages in a delivery; the contender's own if not given. */
  readonly batch?: number;
  /** No delivery begins later than this, milliseconds after the start. */
  readonly limitMs: number;
  /** Requests come at this many per second instead of being there from the start. */
  readonly arrivalsPerSecond?: number;
  /** Requests come from a queue that holds so many deliveries, by an event source mapping. */
  readonly queue?: QueueSource;
  /** Requests are made one batch at a time and forgotten, so that memory is the contender's own. */
  readonly streamed?: boolean;
}

export interface QueueSource {
  readonly endpoint: string;
  readonly url: string;
  readonly region: string;
  readonly windowMs: number;
  readonly deliveries: number;
}

/** The result of one run. */
export interface RunResult {
  readonly elapsedMs: number;
  /** Distinct reservations acknowledged, and their units. */
  readonly reservations: number;
  readonly units: number;
  /** Requests that were delivered again. */
  readonly redelivered: number;
  readonly cpuMs: number;
  /** From the intended arrival to the acknowledgement, milliseconds; only with arrivals. */
  readonly latenciesMs?: number[];
  /** Resident memory in the course of a streamed run, bytes. */
  readonly residentBytes?: number[];
}

interface Delivery {
  readonly requests: readonly Request[];
  readonly built: unknown;
}

/** How many looks at its memory a streamed run takes. */
const memorySamples = 40;

const [name, urlsText] = process.argv.slice(2);
const urls = JSON.parse(urlsText ?? '{}') as DatabaseUrls;
const contender = await loadContender(name as ContenderName);
const opened = await contender.open(urls);

/** A prepared run that waits for its start. */
let ready: (() => Promise<RunResult>) | undefined;

process.on('message', (message: { options?: RunOptions; start?: boolean }) => {
  const { options } = message;
  const start = ready;
  // Lets the garbage collector have the requests of the last run.
  ready = undefined;
  const work = options
    ? makeReady(opened, options).then((next) => {
        ready = next;
        return { madeReady: true };
      })
    : (start ?? notReady)().then((result) => ({ result }));
  work.then(
    (answer) => process.send?.(answer),
    (error: unknown) =>
      process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});
process.on('disconnect', () => {
  void opened.close().finally(() => process.exit(0));
});
const { title, mirror, stock, workers } = contender;
process.send?.({ ready: { name, title, mirror, stock, workers, batch: contender.batch } });

async function notReady(): Promise<never> {
  throw new Error('a run was started that was not made ready');
}

/** Does what is not measured, and returns what is. */
async function makeReady(opened: Opened, options: RunOptions): Promise<() => Promise<RunResult>> {
  const batch = options.batch ?? contender.batch;
  const { arrivalsPerSecond, queue } = options;
  if (options.streamed) {
    await opened.reset?.([]);
    return () => stream(opened, options, batch);
  }
  // Collects the garbage of the last run; from here on the collector works as in production.
  globalThis.gc?.();
  const requests = requestsOf(options.plan);
  await opened.reset?.(requests);
  const deliveries = queue || arrivalsPerSecond !== undefined ? [] : deliveriesFor(opened, requests, batch);
  if (queue) return () => consume(opened, options, batch, queue);
  if (arrivalsPerSecond !== undefined) return () => arrive(opened, requests, batch, options, arrivalsPerSecond);
  return () => drain(opened, deliveries, options);
}

function deliveriesFor(opened: Opened, requests: readonly Request[], batch: number): Delivery[] {
  const deliveries: Delivery[] = [];
  for (let start = 0; start < requests.length; start += batch) {
    const part = requests.slice(start, start + batch);
    deliveries.push({ requests: part, built: opened.deliver?.(part) });
  }
  return deliveries;
}

/** Everything is there from the start; workers take what comes next. */
async function drain(opened: Opened, deliveries: Delivery[], options: RunOptions): Promise<RunResult> {
  const tally = new Tally(options.plan);
  const again: Delivery[] = [];
  let next = 0;
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  const worker = async (): Promise<void> => {
    while (performance.now() - startedMs < options.limitMs) {
      const delivery = again.shift() ?? deliveries[next++];
      if (!delivery) return;
      const repeat = await opened.handle(delivery.requests, delivery.built);
      tally.acknowledge(delivery.requests, repeat);
      if (repeat.length > 0) again.push({ requests: repeat, built: opened.deliver?.(repeat) });
    }
  };
  await Promise.all(Array.from({ length: options.workers }, worker));
  await opened.settle?.();
  const elapsedMs = performance.now() - startedMs;
  return { ...tally.counts(), elapsedMs, cpuMs: cpuMsSince(cpu) };
}

/**
 * Requests arrive by the clock; workers take what is there, as much as a delivery holds. What is not decided when the time
 * is up counts as decided then, which makes a slow contender look better than it is.
 */
async function arrive(
  opened: Opened,
  requests: Request[],
  batch: number,
  options: RunOptions,
  perSecond: number,
): Promise<RunResult> {
  const tally = new Tally(options.plan);
  const latenciesMs: number[] = [];
  let begun = 0;
  let again: number[] = [];
  const dueMs = (index: number): number => (index / perSecond) * 1000;
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  const worker = async (): Promise<void> => {
    while (performance.now() - startedMs < options.limitMs) {
      const nowMs = performance.now() - startedMs;
      const indexes = again.splice(0, batch);
      while (indexes.length < batch && begun < requests.length && dueMs(begun) <= nowMs) indexes.push(begun++);
      if (indexes.length === 0) {
        if (begun >= requests.length) return;
        await sleep(1);
        continue;
      }
      const part = indexes.flatMap((index) => requests[index] ?? []);
      const failed = new Set(await opened.handle(part, opened.deliver?.(part)));
      const doneMs = performance.now() - startedMs;
      tally.acknowledge(part, [...failed]);
      indexes.forEach((index, position) => {
        const request = part[position];
        if (request && failed.has(request)) again.push(index);
        else latenciesMs.push(doneMs - dueMs(index));
      });
      again = again.sort((a, b) => a - b);
    }
  };
  await Promise.all(Array.from({ length: options.workers }, worker));
  await opened.settle?.();
  const elapsedMs = performance.now() - startedMs;
  for (let index = begun; index < requests.length; index++) latenciesMs.push(elapsedMs - dueMs(index));
  for (const index of again) latenciesMs.push(elapsedMs - dueMs(index));
  return { ...tally.counts(), elapsedMs, cpuMs: cpuMsSince(cpu), latenciesMs };
}

/** Requests come from a queue, as they come to a worker: received, handled and deleted by an event source mapping. */
async function consume(opened: Opened, options: RunOptions, batch: number, queue: QueueSource): Promise<RunResult> {
  const tally = new Tally(options.plan);
  const sqs = openSqs(queue.endpoint, queue.url, queue.region);
  const failures: string[] = [];
  const one = async (event: SQSEvent): Promise<SQSBatchResponse> => {
    const batchItemFailures: SQSBatchResponse['batchItemFailures'] = [];
    for (const { body, messageId } of event.Records) {
      const request = JSON.parse(body) as Request;
      const repeat = await opened.handle([request], undefined);
      tally.acknowledge([request], repeat);
      if (repeat.length > 0) batchItemFailures.push({ itemIdentifier: messageId });
    }
    return { batchItemFailures };
  };
  const handler = opened.consume
    ? (event: SQSEvent, context: Context) => opened.consume?.(event, context)
    : (event: SQSEvent) => one(event);
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  const mapping = startMapping({
    sqs,
    queueArn: 'arn:aws:sqs:us-east-1:000000000000:reservations',
    region: queue.region,
    handler,
    functionName: contender.name,
    timeoutMs: queueFunctionTimeoutSeconds * 1000,
    memoryMb: 512,
    batchSize: batch,
    batchingWindowMs: queue.windowMs,
    concurrency: options.workers,
    reportsBatchItemFailures: true,
    report: (text) => failures.push(text),
  });
  while (mapping.counts.deleted < queue.deliveries && performance.now() - startedMs < options.limitMs) await sleep(2);
  const finished = mapping.counts.deleted >= queue.deliveries;
  const finishedMs = performance.now() - startedMs;
  await mapping.drain();
  // Batches that were running when the time was up are finished and count with the time that they took.
  const elapsedMs = finished ? finishedMs : performance.now() - startedMs;
  const cpuMs = cpuMsSince(cpu);
  sqs.close();
  if (failures[0] !== undefined) throw new Error(failures[0]);
  if (!opened.consume) return { ...tally.counts(), elapsedMs, cpuMs };
  if (!finished) throw new Error(`${contender.name} did not empty the queue in ${options.limitMs} ms`);
  return { ...totalsOf(options.plan), redelivered: mapping.counts.failed, elapsedMs, cpuMs };
}

/** Requests are made as they are needed, and memory is looked at on the way. */
async function stream(opened: Opened, options: RunOptions, batch: number): Promise<RunResult> {
  const source = deliveriesOf(options.plan);
  const residentBytes: number[] = [];
  const sampleEvery = Math.ceil(options.plan.count / memorySamples);
  let handled = 0;
  let redelivered = 0;
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  const worker = async (): Promise<void> => {
    for (;;) {
      let requests: readonly Request[] = take(source, batch);
      if (requests.length === 0) return;
      const before = handled;
      handled += requests.length;
      while (requests.length > 0) {
        requests = await opened.handle(requests, opened.deliver?.(requests));
        redelivered += requests.length;
      }
      if (Math.floor(handled / sampleEvery) > Math.floor(before / sampleEvery)) {
        residentBytes.push(process.memoryUsage.rss());
      }
    }
  };
  await Promise.all(Array.from({ length: options.workers }, worker));
  const elapsedMs = performance.now() - startedMs;
  return { ...totalsOf(options.plan), redelivered, elapsedMs, cpuMs: cpuMsSince(cpu), residentBytes };
}

function take(source: Generator<Request>, count: number): Request[] {
  const taken: Request[] = [];
  while (taken.length < count) {
    const { value, done } = source.next();
    if (done) break;
    taken.push(value);
  }
  return taken;
}

/** What a plan adds up to when all of it was acknowledged. */
function totalsOf(plan: Plan): { reservations: number; units: number } {
  let units = 0;
  for (const { quantity, repeated } of deliveriesOf(plan)) units += repeated ? 0 : quantity;
  return { reservations: plan.count, units };
}

/** Counts what was acknowledged, each reservation once. Takes as little time as it can, since it is part of every run. */
class Tally {
  readonly #acknowledged: Uint8Array;
  #reservations = 0;
  #units = 0;
  #redelivered = 0;

  constructor({ count }: Plan) {
    this.#acknowledged = new Uint8Array(count);
  }

  acknowledge(requests: readonly Request[], repeat: readonly Request[]): void {
    this.#redelivered += repeat.length;
    const failed = repeat.length === 0 ? undefined : new Set(repeat);
    for (const request of requests) {
      if (failed?.has(request) || this.#acknowledged[request.number] === 1) continue;
      this.#acknowledged[request.number] = 1;
      this.#reservations++;
      this.#units += request.quantity;
    }
  }

  counts(): { reservations: number; units: number; redelivered: number } {
    return { reservations: this.#reservations, units: this.#units, redelivered: this.#redelivered };
  }
}

function cpuMsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
