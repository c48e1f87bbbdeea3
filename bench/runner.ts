/**
 * Runs the contenders, each in worker processes of its own.
 *
 * Invariant: one run at a time: it is prepared, executed and verified before the next begins. Called by the suites.
 */
import { performance } from 'node:perf_hooks';
import { type Child, startChild } from './child.ts';
import type { Contender, ContenderName } from './contender.ts';
import type { BenchEnvironment } from './environment.ts';
import { heapOptions, shippedMemoryMb, shippedNodeOptions } from './settings.ts';
import type { QueueSource, RunOptions, ShareResult } from './worker-process.ts';
import { deliveriesOf, type Plan } from './workload.ts';

/** What the main process knows about a contender. */
export type ContenderInfo = Omit<Contender, 'open'>;

/** One run's outcome. */
export interface Run {
  /** From the start of the first process to the end of the last, or to the last delete that is timed. */
  readonly elapsedMs: number;
  /** Distinct reservations acknowledged, and their units. */
  readonly reservations: number;
  readonly units: number;
  /** Requests that were delivered again. */
  readonly redelivered: number;
  readonly perSecond: number;
  /** Processor time for each confirmed reservation, microseconds, by where it was spent. */
  readonly cpuUs: { readonly worker: number; readonly mysql: number; readonly redis: number };
  /** From the intended arrival to the acknowledgement, milliseconds; only with arrivals. */
  readonly latenciesMs: readonly number[];
  /** Resident memory of one process in the course of a streamed run, bytes. */
  readonly residentBytes: readonly number[];
}

interface WorkerProcess {
  readonly info: ContenderInfo;
  readonly child: Child;
}

/** An answer takes no longer than the run's limit and this. */
const graceMs = 120_000;

export class Runner {
  readonly #environment: BenchEnvironment;
  readonly #processes = new Map<ContenderName, Promise<WorkerProcess>[]>();

  constructor(environment: BenchEnvironment) {
    this.#environment = environment;
  }

  /** The contender's own description. */
  async info(name: ContenderName): Promise<ContenderInfo> {
    const [first] = await this.#workers(name, 1);
    if (!first) throw new Error(`${name} has no process`);
    return first.info;
  }

  /** The processes in which a contender works. */
  async pidsOf(name: ContenderName, processes: number): Promise<(number | undefined)[]> {
    return (await this.#workers(name, processes)).map(({ child }) => child.pid);
  }

  /** Executes one run and verifies it. Throws `NotExact` if anything was lost, duplicated or oversold. */
  async run(name: ContenderName, options: RunOptions): Promise<Run> {
    const workers = await this.#workers(name, options.processes);
    const info = await this.info(name);
    await this.#environment.prepare(options.plan, info);
    const prepared = workers.map(({ child }) => child.next(({ madeReady }) => madeReady, graceMs));
    for (const [index, { child }] of workers.entries()) child.send({ share: { options, index } });
    await Promise.all(prepared);
    const before = this.#environment.serverCpuMs();
    const emptying = options.queue && watchEmptying(workers, options.queue);
    const results = workers.map(({ child }) =>
      child.next(({ result }) => result as ShareResult | undefined, options.limitMs + graceMs),
    );
    for (const { child } of workers) child.send({ start: true });
    const shares = await Promise.all(results);
    emptying?.stop();
    const after = this.#environment.serverCpuMs();
    const counts = acknowledgedIn(options.plan, shares);
    await this.#environment.verify(options.plan, info, counts);
    const sum = (of: (share: ShareResult) => number): number => shares.reduce((total, share) => total + of(share), 0);
    const each = (ms: number): number => (ms * 1000) / Math.max(1, counts.reservations);
    const finishedAtMs = emptying?.timedAtMs() ?? Math.max(...shares.map((share) => share.finishedAtMs));
    const elapsedMs = finishedAtMs - Math.min(...shares.map((share) => share.startedAtMs));
    const timed = counts.reservations * (emptying?.timedAtMs() === undefined ? 1 : emptying.timedShare);
    return {
      ...counts,
      elapsedMs,
      redelivered: sum((share) => share.redelivered),
      perSecond: (timed / elapsedMs) * 1000,
      cpuUs: {
        worker: each(sum((share) => share.cpuMs)),
        mysql: each(after.mysql - before.mysql),
        redis: each(after.redis - before.redis),
      },
      latenciesMs: shares.flatMap(({ latenciesMs = [] }) => latenciesMs),
      residentBytes: shares[0]?.residentBytes ?? [],
    };
  }

  /** Stops a contender's processes beyond so many, to free memory or to write their profiles. */
  async stop(name: ContenderName, beyond = 0): Promise<void> {
    const known = this.#processes.get(name)?.splice(beyond) ?? [];
    for (const one of await Promise.allSettled(known)) {
      if (one.status === 'fulfilled') await one.value.child.stop();
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#processes.keys()].map((name) => this.stop(name)));
  }

  /** The first so many processes of a contender, started where they are not yet. */
  #workers(name: ContenderName, processes: number): Promise<WorkerProcess[]> {
    const known = this.#processes.get(name) ?? [];
    this.#processes.set(name, known);
    while (known.length < processes) known.push(this.#start(name, known.length + 1));
    return Promise.all(known.slice(0, processes));
  }

  async #start(name: ContenderName, number: number): Promise<WorkerProcess> {
    const { mysqlUrl, redisUrl } = this.#environment;
    const child = startChild(this.#environment, {
      file: './worker-process.ts',
      args: [name],
      name: `${name}-${number}`,
      // Not among the arguments, which every process of the machine can read.
      env: { NODE_OPTIONS: shippedNodeOptions, BENCH_STORES: JSON.stringify({ mysqlUrl, redisUrl }) },
      nodeOptions: ['--expose-gc', ...heapOptions(shippedMemoryMb)],
    });
    return { child, info: await child.next(({ ready }) => ready as ContenderInfo | undefined, graceMs) };
  }
}

/** Adds up what the processes have deleted, notes when that is what is timed, and tells them once it is everything. */
function watchEmptying(workers: readonly WorkerProcess[], { deliveries, timed }: QueueSource) {
  const deleted = workers.map(() => 0);
  let timedAtMs: number | undefined;
  const ends = workers.map(({ child }, index) =>
    child.listen((message) => {
      if (typeof message.deleted !== 'number') return;
      deleted[index] = message.deleted;
      const total = deleted.reduce((sum, one) => sum + one, 0);
      if (total >= timed) timedAtMs ??= performance.timeOrigin + performance.now();
      if (total < deliveries) return;
      for (const worker of workers) worker.child.send({ emptied: true });
    }),
  );
  return {
    timedShare: timed / deliveries,
    /** By the wall clock that the processes share; undefined if so many were never deleted. */
    timedAtMs: () => timedAtMs,
    stop: () => {
      for (const end of ends) end();
    },
  };
}

/** Each reservation counts once, whichever processes acknowledged it. */
function acknowledgedIn(plan: Plan, shares: readonly ShareResult[]): { reservations: number; units: number } {
  const all = shares.some(({ acknowledged }) => acknowledged === undefined);
  let reservations = 0;
  let units = 0;
  for (const { number, quantity, repeated } of deliveriesOf(plan)) {
    if (repeated || !(all || shares.some(({ acknowledged }) => acknowledged?.[number] === 1))) continue;
    reservations++;
    units += quantity;
  }
  return { reservations, units };
}
