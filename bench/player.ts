/**
 * A player: the process in which one contestant works, so that none inherits another's memory or warm code.
 *
 *   forked by the main process, which sends one order at a time and gets one answer for each
 *
 * Invariant: only handling is measured. Deliveries are built, and the contestant is reset, before the clock starts; the
 * clock stops when the last delivery that was begun is acknowledged and settled.
 */
import { performance } from 'node:perf_hooks';
import type { ContestantName, Ground, Opened } from './contestant.ts';
import { loadContestant } from './contestants.ts';
import { type Plan, type Request, requestsOf } from './workload.ts';

/** What a player is asked to do. */
export interface Order {
  readonly plan: Plan;
  readonly workers: number;
  /** Messages in a delivery; the contestant's own if not given. */
  readonly batch?: number;
  /** No delivery begins later than this, milliseconds after the start. */
  readonly limitMs: number;
  /** Requests come at this many per second instead of being there from the start. */
  readonly arrivalsPerSecond?: number;
}

/** What it did. */
export interface Played {
  readonly elapsedMs: number;
  /** Distinct reservations acknowledged, and their units. */
  readonly reservations: number;
  readonly units: number;
  /** Deliveries that had to come again. */
  readonly redelivered: number;
  readonly cpuMs: number;
  /** From the intended arrival to the acknowledgement, milliseconds; only with arrivals. */
  readonly latenciesMs?: number[];
}

interface Delivery {
  readonly requests: readonly Request[];
  readonly built: unknown;
}

const [name, groundText] = process.argv.slice(2);
const ground = JSON.parse(groundText ?? '{}') as Ground;
const contestant = await loadContestant(name as ContestantName);
const opened = await contestant.open(ground);

/** The deliveries of the last plan, which the next round will want again. */
let kept: { key: string; requests: Request[]; deliveries: Delivery[] } | undefined;

/** A run that has been made ready and waits for the word to start. */
let ready: (() => Promise<Played>) | undefined;

process.on('message', (message: { order?: Order; start?: boolean }) => {
  const { order } = message;
  const work = order
    ? makeReady(opened, order).then((start) => {
        ready = start;
        return { madeReady: true };
      })
    : (ready ?? notReady)().then((played) => ({ played }));
  work.then(
    (answer) => process.send?.(answer),
    (error: unknown) =>
      process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});
process.on('disconnect', () => {
  void opened.close().finally(() => process.exit(0));
});
const { title, mirror, stock, workers } = contestant;
process.send?.({ ready: { name, title, mirror, stock, workers, batch: contestant.batch } });

async function notReady(): Promise<never> {
  throw new Error('a run was started that was not made ready');
}

/** Does everything that is not measured, and returns what is. */
async function makeReady(player: Opened, order: Order): Promise<() => Promise<Played>> {
  const batch = order.batch ?? contestant.batch;
  const { requests, deliveries } = deliveriesOf(player, order.plan, batch);
  await player.reset?.(requests);
  globalThis.gc?.();
  const { arrivalsPerSecond } = order;
  if (arrivalsPerSecond === undefined) return () => drain(player, deliveries, order);
  return () => arrive(player, requests, batch, order, arrivalsPerSecond);
}

function deliveriesOf(player: Opened, plan: Plan, batch: number) {
  const key = JSON.stringify([plan.scenario, plan.saleIds[0], plan.count, batch]);
  if (kept?.key !== key) {
    kept = undefined;
    const requests = requestsOf(plan);
    const deliveries: Delivery[] = [];
    for (let start = 0; start < requests.length; start += batch) {
      const part = requests.slice(start, start + batch);
      deliveries.push({ requests: part, built: player.deliver?.(part) });
    }
    kept = { key, requests, deliveries };
  }
  return kept;
}

/** Everything is there from the start; lanes take what comes next. */
async function drain(player: Opened, deliveries: Delivery[], order: Order): Promise<Played> {
  const tally = new Tally();
  const again: Delivery[] = [];
  let next = 0;
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  const lane = async (): Promise<void> => {
    while (performance.now() - startedMs < order.limitMs) {
      const delivery = again.shift() ?? deliveries[next++];
      if (!delivery) return;
      const repeat = await player.handle(delivery.requests, delivery.built);
      tally.acknowledge(delivery.requests, repeat);
      if (repeat.length > 0) again.push({ requests: repeat, built: player.deliver?.(repeat) });
    }
  };
  await Promise.all(Array.from({ length: order.workers }, lane));
  await player.settle?.();
  const elapsedMs = performance.now() - startedMs;
  return { ...tally.counts(), elapsedMs, cpuMs: cpuMsSince(cpu) };
}

/** Requests arrive by the clock; lanes take what is there, as much as a delivery holds. */
async function arrive(
  player: Opened,
  requests: Request[],
  batch: number,
  order: Order,
  perSecond: number,
): Promise<Played> {
  const tally = new Tally();
  const latenciesMs: number[] = [];
  let begun = 0;
  let again: number[] = [];
  const dueMs = (index: number) => (index / perSecond) * 1000;
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  const lane = async (): Promise<void> => {
    while (performance.now() - startedMs < order.limitMs) {
      const nowMs = performance.now() - startedMs;
      const indexes = again.splice(0, batch);
      while (indexes.length < batch && begun < requests.length && dueMs(begun) <= nowMs) indexes.push(begun++);
      if (indexes.length === 0) {
        if (begun >= requests.length) return;
        await new Promise((resolve) => setTimeout(resolve, 1));
        continue;
      }
      const part = indexes.flatMap((index) => requests[index] ?? []);
      const repeat = await player.handle(part, player.deliver?.(part));
      const failed = new Set(repeat);
      const doneMs = performance.now() - startedMs;
      tally.acknowledge(part, repeat);
      indexes.forEach((index, position) => {
        const request = part[position];
        if (request && failed.has(request)) again.push(index);
        else latenciesMs.push(doneMs - dueMs(index));
      });
      again = again.sort((a, b) => a - b);
    }
  };
  await Promise.all(Array.from({ length: order.workers }, lane));
  await player.settle?.();
  const elapsedMs = performance.now() - startedMs;
  return { ...tally.counts(), elapsedMs, cpuMs: cpuMsSince(cpu), latenciesMs };
}

class Tally {
  readonly #units = new Map<string, number>();
  #redelivered = 0;

  acknowledge(requests: readonly Request[], repeat: readonly Request[]): void {
    const failed = new Set(repeat);
    this.#redelivered += failed.size;
    for (const request of requests) {
      if (!failed.has(request)) this.#units.set(request.reservationId, request.quantity);
    }
  }

  counts(): { reservations: number; units: number; redelivered: number } {
    const units = [...this.#units.values()].reduce((sum, one) => sum + one, 0);
    return { reservations: this.#units.size, units, redelivered: this.#redelivered };
  }
}

function cpuMsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
