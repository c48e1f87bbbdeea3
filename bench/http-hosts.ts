/** The HTTP hosts of `bench/hosts` and the process that generates their load. */
import { type Child, startChild } from './child.ts';
import type { BenchEnvironment } from './environment.ts';
import type { HttpLoad, LoadResult } from './http-load.ts';
import { cpuMsOf } from './processor-time.ts';
import { acceptMemoryMb, heapOptions } from './settings.ts';

const startLimitMs = 60_000;
const loadLimitMs = 300_000;

/** A host and where it listens. */
export interface Host {
  readonly port: number;
  /** Processor time since its start, milliseconds. */
  cpuMs(): number;
  stop(): Promise<void>;
}

/** Tells the profiles of several hosts of one kind apart. */
let started = 0;

/** Starts a host of `bench/hosts`. */
export async function startHost(
  environment: BenchEnvironment,
  name: 'thin' | 'deployed' | 'bare' | 'offline' | 'sqs-stub',
  args: string[],
  env: Record<string, string> = {},
): Promise<Host> {
  started += 1;
  const child = startChild(environment, {
    ...{ file: `./hosts/${name}.ts`, args, env },
    name: `${started}-${name}-${args[0]?.replaceAll(/[^a-z]+/g, '-').slice(0, 40) ?? ''}`,
    // As deployed means also the heap that the function has.
    nodeOptions: name === 'deployed' ? heapOptions(acceptMemoryMb) : [],
    // serverless-offline prints its routes.
    quiet: true,
  });
  const port = await child.next(({ port }) => port as number | undefined, startLimitMs);
  return { port, cpuMs: () => cpuMsOf(child.pid), stop: () => child.stop() };
}

/** The process that generates HTTP load. */
export interface LoadGenerator {
  send(load: HttpLoad): Promise<LoadResult>;
  stop(): Promise<void>;
}

/** Starts the process that generates HTTP load. */
export async function startLoadGenerator(environment: BenchEnvironment): Promise<LoadGenerator> {
  const child: Child = startChild(environment, { file: './http-load.ts', args: [], name: 'load', quiet: true });
  await child.next(({ ready }) => ready, startLimitMs);
  return {
    send: (load) => {
      const result = child.next(({ result }) => result as LoadResult | undefined, loadLimitMs);
      child.send(load);
      return result;
    },
    stop: () => child.stop(),
  };
}
