/**
 * One worker process of a contender. As deployed it handles one batch at a time and shares neither memory nor connections
 * with the others, of which there may be several. Forked by runner.ts, which sends it the options of a run and then the
 * start, and gets one answer to each.
 *
 * Invariant: only handling is measured. Deliveries are built, and the contender is reset, before the clock starts; the
 * clock stops when the last delivery that was begun is acknowledged and settled.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Context, SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { startMapping } from '#local/event-source-mapping.ts';
import { queueFunctionTimeoutSeconds } from '#platform/kernel/time-limits.ts';
import type { ContenderName, DatabaseUrls, Opened } from './contender.ts';
import { loadContender } from './contenders.ts';
import { openLeanSqs } from './lean-sqs.ts';
import { deliveriesOf, type Plan, type Request } from './workload.ts';

/** The options of one run. */
export interface RunOptions {
  readonly plan: Plan;
  /** How many processes work; the deliveries are dealt out among them in turn. */
  readonly processes: number;
  /** How many deliveries each process handles at once; one, as deployed. */
  readonly lanes: number;
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
  /** How many deletes are timed. What is behind them keeps the queue from running dry meanwhile; it is verified as well. */
  readonly timed: number;
}

/** A process's share of a run. */
export interface Share {
  readonly options: RunOptions;
  /** Its place among the processes of the run, from zero. */
  readonly index: number;
}

/** The result of one process's share. */
export interface ShareResult {
  /** By the wall clock that the processes of a machine share, milliseconds. */
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  /** One byte for each reservation of the plan, 1 if it was acknowledged; not given if all of them were. */
  readonly acknowledged?: Uint8Array;
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

const [name] = process.argv.slice(2);
const urlsText = process.env.BENCH_STORES;
const urls = JSON.parse(urlsText ?? '{}') as DatabaseUrls;
const contender = await loadContender(name as ContenderName);
const opened = await contender.open(urls);

/** A prepared share that waits for its start. */
let ready: (() => Promise<ShareResult>) | undefined;
/** Set when the queue of a run is empty. */
let isEmptied = false;

process.on('message', (message: { share?: Share; start?: boolean; emptied?: boolean }) => {
  const { share } = message;
  if (message.emptied) {
    isEmptied = true;
    return;
  }
  const start = ready;
  // Lets the garbage collector have the requests of the last run.
  ready = undefined;
  const work = share
    ? makeReady(opened, share).then((next) => {
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
const { title, mirror, stock, lanes, oneProcess } = contender;
process.send?.({ ready: { name, title, mirror, stock, lanes, oneProcess, batch: contender.batch } });

async function notReady(): Promise<never> {
  throw new Error('a run was started that was not made ready');
}

/** Does what is not measured, and returns what is. */
async function makeReady(opened: Opened, share: Share): Promise<() => Promise<ShareResult>> {
  const { options } = share;
  const batch = options.batch ?? contender.batch;
  const { arrivalsPerSecond, queue } = options;
  isEmptied = false;
  if (options.streamed) {
    await opened.reset?.([], batch);
    return () => stream(opened, share, batch);
  }
  const perDelivery = contender.gathers ? 1 : batch;
  const requests = dealtTo(share, perDelivery);
  await opened.reset?.(requests, batch);
  const begin = (): (() => Promise<ShareResult>) => {
    if (queue) return () => consume(opened, options, batch, queue);
    if (arrivalsPerSecond !== undefined) return () => arrive(opened, requests, perDelivery, share, arrivalsPerSecond);
    const deliveries = deliveriesFor(opened, requests, perDelivery);
    return () => drain(opened, deliveries, options);
  };
  const work = begin();
  // Collects the garbage of the last run and of the preparation; from here on the collector works as in production.
  globalThis.gc?.();
  return work;
}

/** The requests of a plan that a process gets: every so many deliveries one, or single requests where they arrive by the clock. */
function dealtTo({ options, index }: Share, batch: number): Request[] {
  const size = options.arrivalsPerSecond === undefined ? batch : 1;
  const requests: Request[] = [];
  let place = 0;
  for (const request of deliveriesOf(options.plan)) {
    if (Math.floor(place++ / size) % options.processes === index) requests.push(request);
  }
  return requests;
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
async function drain(opened: Opened, deliveries: Delivery[], options: RunOptions): Promise<ShareResult> {
  const tally = new Tally(options.plan);
  const again: Delivery[] = [];
  let next = 0;
  const clock = startClock();
  const worker = async (): Promise<void> => {
    while (clock.elapsedMs() < options.limitMs) {
      const delivery = again.shift() ?? deliveries[next++];
      if (!delivery) return;
      const repeat = await opened.handle(delivery.requests, delivery.built);
      tally.acknowledge(delivery.requests, repeat);
      if (repeat.length > 0) again.push({ requests: repeat, built: opened.deliver?.(repeat) });
    }
  };
  await Promise.all(Array.from({ length: options.lanes }, worker));
  await opened.settle?.();
  return { ...clock.stop(), ...tally.counts() };
}

/**
 * Requests arrive by the clock; workers take what is there, as much as a delivery holds. What is not decided when the time
 * is up counts as decided then, which makes a slow contender look better than it is.
 */
async function arrive(
  opened: Opened,
  requests: Request[],
  batch: number,
  { options, index: place }: Share,
  perSecond: number,
): Promise<ShareResult> {
  const tally = new Tally(options.plan);
  const latenciesMs: number[] = [];
  let begun = 0;
  let again: number[] = [];
  const dueMs = (index: number): number => ((index * options.processes + place) / perSecond) * 1000;
  const clock = startClock();
  const worker = async (): Promise<void> => {
    while (clock.elapsedMs() < options.limitMs) {
      const nowMs = clock.elapsedMs();
      const indexes = again.splice(0, batch);
      while (indexes.length < batch && begun < requests.length && dueMs(begun) <= nowMs) indexes.push(begun++);
      if (indexes.length === 0) {
        if (begun >= requests.length) return;
        await sleep(1);
        continue;
      }
      const part = indexes.flatMap((index) => requests[index] ?? []);
      const failed = new Set(await opened.handle(part, opened.deliver?.(part)));
      const doneMs = clock.elapsedMs();
      tally.acknowledge(part, [...failed]);
      indexes.forEach((index, position) => {
        const request = part[position];
        if (request && failed.has(request)) again.push(index);
        else latenciesMs.push(doneMs - dueMs(index));
      });
      again = again.sort((a, b) => a - b);
    }
  };
  await Promise.all(Array.from({ length: options.lanes }, worker));
  await opened.settle?.();
  const elapsedMs = clock.elapsedMs();
  for (let index = begun; index < requests.length; index++) latenciesMs.push(elapsedMs - dueMs(index));
  for (const index of again) latenciesMs.push(elapsedMs - dueMs(index));
  return { ...clock.stop(), ...tally.counts(), latenciesMs };
}

/**
 * Requests come from a queue, as they come to a worker: received, handled and deleted by an event source mapping of this
 * process's own. Says how many it has deleted, until it is told that the queue is empty.
 */
async function consume(opened: Opened, options: RunOptions, batch: number, queue: QueueSource): Promise<ShareResult> {
  const tally = new Tally(options.plan);
  const sqs = openLeanSqs(queue.endpoint, queue.url);
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
  const clock = startClock();
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
    concurrency: options.lanes,
    reportsBatchItemFailures: true,
    report: (text) => failures.push(text),
  });
  let deleted = 0;
  let deletedAtMs = clock.elapsedMs();
  while (!isEmptied && clock.elapsedMs() < options.limitMs) {
    if (mapping.counts.deleted > deleted) {
      deleted = mapping.counts.deleted;
      deletedAtMs = clock.elapsedMs();
      process.send?.({ deleted });
    }
    await sleep(2);
  }
  const finished = isEmptied;
  await mapping.drain();
  // Batches that were running when the time was up are finished and count with the time that they took.
  const ended = clock.stop(finished ? deletedAtMs : undefined);
  sqs.close();
  if (failures[0] !== undefined) throw new Error(failures[0]);
  if (!opened.consume) return { ...ended, ...tally.counts() };
  if (!finished) throw new Error(`${contender.name} did not empty the queue in ${options.limitMs} ms`);
  return { ...ended, redelivered: mapping.counts.failed };
}

/** Requests are made as they are needed, and memory is looked at on the way. */
async function stream(opened: Opened, { options, index }: Share, batch: number): Promise<ShareResult> {
  const source = deliveriesOf(options.plan);
  let taken = 0;
  const residentBytes: number[] = [];
  const sampleEvery = Math.ceil(options.plan.count / options.processes / memorySamples);
  let handled = 0;
  let redelivered = 0;
  const clock = startClock();
  const worker = async (): Promise<void> => {
    for (;;) {
      let requests: readonly Request[] = take(source, batch);
      if (requests.length === 0) return;
      if (taken++ % options.processes !== index) continue;
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
  await Promise.all(Array.from({ length: options.lanes }, worker));
  return { ...clock.stop(), redelivered, residentBytes };
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

/** Counts what was acknowledged, each reservation once. Takes as little time as it can, since it is part of every run. */
class Tally {
  readonly #acknowledged: Uint8Array;
  #redelivered = 0;

  constructor({ count }: Plan) {
    this.#acknowledged = new Uint8Array(count);
  }

  acknowledge(requests: readonly Request[], repeat: readonly Request[]): void {
    this.#redelivered += repeat.length;
    const failed = repeat.length === 0 ? undefined : new Set(repeat);
    for (const request of requests) {
      if (failed?.has(request) || (request.repeated && contender.skipsRepeats)) continue;
      this.#acknowledged[request.number] = 1;
    }
  }

  counts(): { acknowledged: Uint8Array; redelivered: number } {
    return { acknowledged: this.#acknowledged, redelivered: this.#redelivered };
  }
}

interface RunClock {
  elapsedMs(): number;
  /** When the share started and finished, by default now, and the processor time that it took. */
  stop(finishedMs?: number): Pick<ShareResult, 'startedAtMs' | 'finishedAtMs' | 'cpuMs'>;
}

function startClock(): RunClock {
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  const elapsedMs = (): number => performance.now() - startedMs;
  return {
    elapsedMs,
    stop(finishedMs = elapsedMs()) {
      const { user, system } = process.cpuUsage(cpu);
      const startedAtMs = performance.timeOrigin + startedMs;
      return { startedAtMs, finishedAtMs: startedAtMs + finishedMs, cpuMs: (user + system) / 1000 };
    },
  };
}
