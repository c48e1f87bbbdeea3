/**
 * A child process of the benchmark: forked with the environment of what is measured, asked by messages, and ended by
 * closing its connection. Called by runner.ts and http-hosts.ts.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { BenchEnvironment } from './environment.ts';

/** How long a child may take to end by itself. */
const endLimitMs = 10_000;

export interface ChildOptions {
  /** The module that it runs, relative to this folder. */
  readonly file: string;
  readonly args: string[];
  /** Says in errors and in the name of its profile which child it is. */
  readonly name: string;
  readonly env?: Record<string, string>;
  readonly nodeOptions?: string[];
  /** Whether what it prints is dropped; its errors come on standard error in any case. */
  readonly quiet?: boolean;
}

export interface Child {
  readonly pid: number | undefined;
  send(message: object): void;
  /**
   * The first message of which `pick` makes something other than undefined. Throws when the child says that it failed,
   * ends by itself, or says nothing within the limit.
   */
  next<T>(pick: (message: Record<string, unknown>) => T | undefined, limitMs: number): Promise<T>;
  /** Calls `listener` with every message until the returned function is called. */
  listen(listener: (message: Record<string, unknown>) => void): () => void;
  stop(): Promise<void>;
}

/** Forks a child. */
export function startChild(environment: BenchEnvironment, options: ChildOptions): Child {
  const { name, file, args, env = {}, nodeOptions = [], quiet = false } = options;
  const { profileFolder } = environment;
  const profile = profileFolder
    ? ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`, `--cpu-prof-name=${name}.cpuprofile`]
    : [];
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, {
    env: { ...process.env, ...environment.env, ...env },
    execArgv: ['--disable-warning=ExperimentalWarning', ...nodeOptions, ...profile],
    serialization: 'advanced',
    stdio: quiet ? ['ignore', 'ignore', 'inherit', 'ipc'] : 'inherit',
  });
  return {
    pid: child.pid,
    send: (message) => void child.send(message),
    next: (pick, limitMs) => nextOf(child, name, pick, limitMs),
    listen(listener) {
      const onMessage = (message: unknown): void => listener(message as Record<string, unknown>);
      child.on('message', onMessage);
      return () => void child.off('message', onMessage);
    },
    stop: () => stop(child),
  };
}

function nextOf<T>(
  child: ChildProcess,
  name: string,
  pick: (message: Record<string, unknown>) => T | undefined,
  limitMs: number,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => end(new Error(`${name} did not answer in ${limitMs} ms`)), limitMs);
    const onMessage = (raw: unknown): void => {
      const message = raw as Record<string, unknown>;
      const value = pick(message);
      if (message.error !== undefined) end(new Error(`${name}: ${String(message.error)}`));
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
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  if (child.connected) child.disconnect();
  const timer = setTimeout(() => child.kill('SIGKILL'), endLimitMs);
  await ended;
  clearTimeout(timer);
}
