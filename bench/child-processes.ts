/**
 * Child processes beside the contenders: HTTP hosts and the load generator. Each is forked, reports when it is ready, and
 * ends when its connection to this process does.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { BenchEnvironment } from './environment.ts';
import type { HttpLoad, LoadResult } from './http-load.ts';
import { cpuMsOf } from './processor-time.ts';

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

function start(
  environment: BenchEnvironment,
  file: string,
  args: string[],
  env: Record<string, string> = {},
): ChildProcess {
  started += 1;
  const what = [file, ...args].join('-').replaceAll(/[^a-z]+/g, '-');
  const name = `${started}${what.slice(0, 40)}`;
  const profile = environment.profileFolder
    ? ['--cpu-prof', `--cpu-prof-dir=${environment.profileFolder}`, `--cpu-prof-name=${name}.cpuprofile`]
    : [];
  return fork(fileURLToPath(new URL(file, import.meta.url)), args, {
    env: { ...process.env, ...environment.env, ...env },
    execArgv: ['--disable-warning=ExperimentalWarning', ...profile],
    // serverless-offline prints its routes; its errors come on standard error.
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
}

/** The first message that has what is asked for. Throws when the process ends or says that it failed. */
function message<T>(child: ChildProcess, field: string, limitMs: number): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => end(new Error(`no "${field}" within ${limitMs} ms`)), limitMs);
    const onMessage = (raw: unknown): void => {
      const said = raw as Record<string, unknown>;
      if (said.error !== undefined) end(new Error(String(said.error)));
      else if (field in said) end(undefined, said[field] as T);
    };
    const onExit = (code: number | null): void => end(new Error(`it ended by itself (code ${code})`));
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
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  if (child.connected) child.disconnect();
  const timer = setTimeout(() => child.kill('SIGKILL'), 3_000);
  await ended;
  clearTimeout(timer);
}

/** Starts a host of `bench/hosts`. */
export async function startHost(
  environment: BenchEnvironment,
  name: 'thin' | 'bare' | 'offline' | 'sqs-stub',
  args: string[],
  env: Record<string, string> = {},
): Promise<Host> {
  const child = start(environment, `./hosts/${name}.ts`, args, env);
  const port = await message<number>(child, 'port', startLimitMs);
  return { port, cpuMs: () => cpuMsOf(child.pid), stop: () => stop(child) };
}

/** The process that generates HTTP load. */
export interface LoadGenerator {
  send(load: HttpLoad): Promise<LoadResult>;
  stop(): Promise<void>;
}

export async function startLoadGenerator(environment: BenchEnvironment): Promise<LoadGenerator> {
  const child = start(environment, './http-load.ts', []);
  await message(child, 'ready', startLimitMs);
  return {
    send: (load) => {
      const result = message<LoadResult>(child, 'result', loadLimitMs);
      child.send(load);
      return result;
    },
    stop: () => stop(child),
  };
}
