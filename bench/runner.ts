/**
 * Runs the contenders, each in a worker process of its own.
 *
 * Invariant: one run at a time: it is prepared, executed and verified before the next begins. Called by the suites.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Contender, ContenderName } from './contender.ts';
import type { BenchEnvironment } from './environment.ts';
import { shippedNodeOptions } from './settings.ts';
import type { RunOptions, RunResult } from './worker-process.ts';

/** What the main process knows about a contender. */
export type ContenderInfo = Omit<Contender, 'open'>;

/** One run's outcome. */
export interface Run extends RunResult {
  readonly perSecond: number;
  /** Processor time for each confirmed reservation, microseconds, by where it was spent. */
  readonly cpuUs: { readonly worker: number; readonly mysql: number; readonly redis: number };
}

interface WorkerProcess {
  readonly info: ContenderInfo;
  readonly child: ChildProcess;
  /** Prepares the run, unmeasured. */
  makeReady(options: RunOptions): Promise<void>;
  start(limitMs: number): Promise<RunResult>;
}

/** An answer takes no longer than the run's limit and this. */
const graceMs = 120_000;

export class Runner {
  readonly #environment: BenchEnvironment;
  readonly #processes = new Map<ContenderName, Promise<WorkerProcess>>();

  constructor(environment: BenchEnvironment) {
    this.#environment = environment;
  }

  /** The contender's own description. */
  async info(name: ContenderName): Promise<ContenderInfo> {
    return (await this.#process(name)).info;
  }

  /** The process in which a contender works. */
  async pidOf(name: ContenderName): Promise<number | undefined> {
    return (await this.#process(name)).child.pid;
  }

  /** Executes one run and verifies it. Throws `NotExact` if anything was lost, duplicated or oversold. */
  async run(name: ContenderName, options: RunOptions): Promise<Run> {
    const { info, makeReady, start } = await this.#process(name);
    await this.#environment.prepare(options.plan, info);
    await makeReady(options);
    const before = this.#environment.serverCpuMs();
    const result = await start(options.limitMs);
    const after = this.#environment.serverCpuMs();
    await this.#environment.verify(options.plan, info, result);
    const each = (ms: number): number => (ms * 1000) / Math.max(1, result.reservations);
    return {
      ...result,
      perSecond: (result.reservations / result.elapsedMs) * 1000,
      cpuUs: {
        worker: each(result.cpuMs),
        mysql: each(after.mysql - before.mysql),
        redis: each(after.redis - before.redis),
      },
    };
  }

  /** Stops one worker process, to free memory or to write its profile. */
  async stop(name: ContenderName): Promise<void> {
    const known = this.#processes.get(name);
    this.#processes.delete(name);
    const child = (await known?.catch(() => undefined))?.child;
    if (!child || child.exitCode !== null) return;
    await new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      child.disconnect();
    });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#processes.keys()].map((name) => this.stop(name)));
  }

  #process(name: ContenderName): Promise<WorkerProcess> {
    const known = this.#processes.get(name) ?? this.#start(name);
    this.#processes.set(name, known);
    return known;
  }

  async #start(name: ContenderName): Promise<WorkerProcess> {
    const { mysqlUrl, redisUrl, env, profileFolder } = this.#environment;
    const profile = profileFolder
      ? ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`, `--cpu-prof-name=${name}.cpuprofile`]
      : [];
    const child = fork(
      fileURLToPath(new URL('./worker-process.ts', import.meta.url)),
      [name, JSON.stringify({ mysqlUrl, redisUrl })],
      {
        env: { ...process.env, ...env, NODE_OPTIONS: shippedNodeOptions },
        execArgv: ['--expose-gc', '--disable-warning=ExperimentalWarning', ...profile],
        serialization: 'advanced',
      },
    );
    const next = <T>(pick: (message: Record<string, unknown>) => T | undefined, limitMs: number): Promise<T> =>
      new Promise<T>((resolve, reject) => {
        const timer = setTimeout(() => end(new Error(`${name} did not answer in ${limitMs} ms`)), limitMs);
        const onMessage = (message: unknown): void => {
          const { error } = message as { error?: string };
          const value = pick(message as Record<string, unknown>);
          if (error !== undefined) end(new Error(`${name}: ${error}`));
          else if (value !== undefined) end(undefined, value);
        };
        const onExit = (code: number | null): void => end(new Error(`${name} ended by itself (code ${code})`));
        const end = (error?: Error, value?: T): void => {
          clearTimeout(timer);
          child.off('message', onMessage);
          child.off('exit', onExit);
          if (error) reject(error);
          else resolve(value as T);
        };
        child.on('message', onMessage);
        child.once('exit', onExit);
      });
    const info = await next((message) => message.ready as ContenderInfo | undefined, graceMs);
    return {
      info,
      child,
      async makeReady(options) {
        const done = next((message) => message.madeReady, graceMs);
        child.send({ options });
        await done;
      },
      start: (limitMs) => {
        const result = next((message) => message.result as RunResult | undefined, limitMs + graceMs);
        child.send({ start: true });
        return result;
      },
    };
  }
}
