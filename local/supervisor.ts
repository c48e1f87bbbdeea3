/**
 * The supervisor: starts, watches and stops the processes of a local stack.
 *
 * Invariants: no process that it started survives `stop()`, nor a crash or kill -9 of the supervisor itself (watchdog.ts
 * stops them); processes that a crashed run left in the same folder are stopped before new ones start; no child gets the
 * terminal's Ctrl-C directly, so the supervisor decides the order of stopping. Called by `startStack`, databases.ts and
 * localstack.ts.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { processBirth, stillRunning } from './state-folder.ts';
import { waitFor } from './wait.ts';

/** How many lines of the log an error quotes when its process fails to start. */
const quotedLines = 12;

export interface ProcessSpec {
  name: string;
  command: string;
  args: string[];
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Resolves when the process is ready. Its argument returns the log written since this start. */
  ready?: (log: () => string) => Promise<unknown> | unknown;
  readyTimeoutMs?: number;
  /** How long SIGTERM may take before SIGKILL. */
  graceMs?: number;
  /** Restart it when it ends by itself. */
  restart?: boolean;
}

interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** Signals a process group, or the process alone when it does not lead one. */
function signalTree(pid: number, signal: NodeJS.Signals): void {
  for (const target of [-pid, pid]) {
    try {
      process.kill(target, signal);
      return;
    } catch {
      // Already gone, or not the leader of a group: the next target decides.
    }
  }
}

/** One process of the stack, which can be stopped and started again under the same name. */
export class StackProcess {
  readonly spec: ProcessSpec;
  readonly logFile: string;
  #supervisor: Supervisor;
  #child: ChildProcess | undefined;
  #exit: Promise<Exit> | undefined;
  #exited: Exit | undefined;
  #wanted = false;
  #starts = 0;
  #logOffset = 0;
  #lastStartMs = 0;

  constructor(supervisor: Supervisor, spec: ProcessSpec) {
    this.#supervisor = supervisor;
    this.spec = spec;
    this.logFile = join(supervisor.logsDir, `${spec.name}.log`);
  }

  get name(): string {
    return this.spec.name;
  }

  /** The process id of the real process (not of a wrapper), while it runs. */
  get pid(): number | undefined {
    return this.#exited ? undefined : this.#child?.pid;
  }

  get running(): boolean {
    return this.#child !== undefined && this.#exited === undefined;
  }

  /** How many times it was started, restarts included. */
  get starts(): number {
    return this.#starts;
  }

  /** What it wrote since its last start. */
  log(): string {
    try {
      return readFileSync(this.logFile).subarray(this.#logOffset).toString('utf8');
    } catch {
      return '';
    }
  }

  /**
   * Starts it and waits until it is ready.
   * @throws with the end of its log when it exits first or takes too long.
   */
  async start(): Promise<void> {
    if (this.running) return;
    this.#wanted = true;
    const first = this.#starts++ === 0;
    const descriptor = openSync(this.logFile, first ? 'w' : 'a');
    this.#logOffset = first ? 0 : statSync(this.logFile).size;
    this.#exited = undefined;
    this.#lastStartMs = Date.now();
    const child = spawn(this.spec.command, this.spec.args, {
      cwd: this.spec.cwd,
      env: this.spec.env ?? process.env,
      stdio: ['ignore', descriptor, descriptor],
      detached: true,
    });
    closeSync(descriptor);
    this.#child = child;
    let spawnError: Error | undefined;
    this.#exit = new Promise<Exit>((resolve) => {
      child.once('error', (error) => {
        spawnError = error;
        this.#exited = { code: null, signal: null };
        resolve(this.#exited);
      });
      child.once('exit', (code, signal) => {
        this.#exited = { code, signal };
        resolve(this.#exited);
      });
    });
    if (child.pid) this.#supervisor.watch(this, child.pid);
    void this.#exit.then((exit) => this.#ended(child, exit));

    const failed = (): Error | undefined =>
      this.#exited && this.#child === child
        ? new Error(`${this.name} ended while starting${spawnError ? `: ${spawnError.message}` : ''}${this.#quote()}`)
        : undefined;
    const timeoutMs = this.spec.readyTimeoutMs ?? 30_000;
    try {
      const { ready } = this.spec;
      if (ready) {
        await waitFor(`${this.name} to be ready`, async () => (await ready(() => this.log())) !== false, {
          timeoutMs,
          abort: failed,
        });
      }
    } catch (error) {
      const ended = failed();
      await this.stop();
      throw ended ?? new Error(`${(error as Error).message}${this.#quote()}`, { cause: error });
    }
  }

  /** Sends a signal to the process alone; the caller handles the consequences. */
  kill(signal: NodeJS.Signals): void {
    if (this.pid) process.kill(this.pid, signal);
  }

  /** Stops it with SIGTERM, then SIGKILL. It is not restarted. */
  async stop(): Promise<void> {
    this.#wanted = false;
    const pid = this.pid;
    if (!pid || !this.#exit) return;
    signalTree(pid, 'SIGCONT');
    signalTree(pid, 'SIGTERM');
    const timer = setTimeout(() => signalTree(pid, 'SIGKILL'), this.spec.graceMs ?? 5_000);
    await this.#exit;
    clearTimeout(timer);
    // Children of the process are killed with it.
    signalTree(pid, 'SIGKILL');
  }

  /** Kills it (kill -9), as a crash would, and starts it again. */
  async crashAndStart(): Promise<void> {
    this.#wanted = false;
    const exit = this.#exit;
    if (this.pid) signalTree(this.pid, 'SIGKILL');
    await exit;
    await this.start();
  }

  /** Resolves when it ends. */
  async ended(): Promise<Exit> {
    return (await this.#exit) ?? { code: null, signal: null };
  }

  /** Turns restarts off until `start()`, for tests that need the process to stay dead. */
  leaveWhenDead(): void {
    this.#wanted = false;
  }

  #ended(child: ChildProcess, exit: Exit): void {
    if (child.pid) this.#supervisor.forget(child.pid);
    if (!this.#wanted || this.#child !== child || this.#supervisor.stopping) return;
    const how = exit.signal ?? `code ${exit.code}`;
    this.#supervisor.report(`${this.name} ended by itself (${how})${this.spec.restart ? ', restarting it' : ''}`);
    if (!this.spec.restart) return;
    // The pauses grow for a process that dies at once, so that a broken build does not spin.
    const livedMs = Date.now() - this.#lastStartMs;
    const pauseMs = livedMs > 10_000 ? 0 : Math.min(5_000, 100 * 2 ** Math.min(this.#starts, 6));
    setTimeout(() => {
      if (!this.#wanted || this.running || this.#supervisor.stopping) return;
      this.start().catch((error: Error) => this.#supervisor.report(error.message));
    }, pauseMs);
  }

  #quote(): string {
    const lines = this.log().trimEnd().split('\n').slice(-quotedLines);
    return lines[0] ? `. The end of ${this.logFile}:\n${lines.map((line) => `    ${line}`).join('\n')}` : '';
  }
}

/** Owns every process of one stack folder. */
export class Supervisor {
  readonly dir: string;
  readonly logsDir: string;
  readonly processes = new Map<string, StackProcess>();
  stopping = false;
  #watchdog: ChildProcess | undefined;
  #alive = new Map<number, { name: string; pid: number; birth: string }>();
  #report: (line: string) => void;

  constructor(dir: string, report: (line: string) => void) {
    this.dir = dir;
    this.logsDir = join(dir, 'logs');
    this.#report = report;
    mkdirSync(this.logsDir, { recursive: true });
  }

  /** Stops processes that a crashed run left in this folder. Call once, before the first `start`. */
  async endLeftovers(): Promise<void> {
    const leftovers = this.#readAlive().filter(stillRunning);
    for (const { pid } of leftovers) {
      signalTree(pid, 'SIGCONT');
      signalTree(pid, 'SIGTERM');
    }
    for (const leftover of leftovers) {
      const gone = () => !stillRunning(leftover);
      await waitFor(`${leftover.name} of an earlier run to end`, gone, { timeoutMs: 15_000 }).catch(() => {
        signalTree(leftover.pid, 'SIGKILL');
        return waitFor(`${leftover.name} of an earlier run to die`, gone, { timeoutMs: 5_000 });
      });
    }
  }

  /** Starts a process under supervision and waits until it is ready. */
  async start(spec: ProcessSpec): Promise<StackProcess> {
    const known = new StackProcess(this, spec);
    this.processes.set(spec.name, known);
    await known.start();
    return known;
  }

  /** Runs a command after everything has stopped, even if this process dies first. */
  atEnd(command: string, args: string[]): void {
    this.#tell({ atEnd: { command, args } });
  }

  /** Stops the matching processes in parallel. */
  async stopSome(matching: (name: string) => boolean): Promise<void> {
    await Promise.all([...this.processes.values()].filter(({ name }) => matching(name)).map((known) => known.stop()));
  }

  /** Stops the remaining processes, then the watchdog. */
  async stop(): Promise<void> {
    this.stopping = true;
    await this.stopSome(() => true);
    const watchdog = this.#watchdog;
    if (watchdog && watchdog.exitCode === null) {
      await new Promise<void>((resolve) => {
        watchdog.once('exit', () => resolve());
        watchdog.stdin?.end();
      });
    }
    this.#watchdog = undefined;
  }

  /** Reports one line about a process. */
  report(line: string): void {
    this.#report(line);
  }

  watch(owner: StackProcess, pid: number): void {
    this.#tell({ watch: pid, graceMs: owner.spec.graceMs ?? 5_000 });
    this.#alive.set(pid, { name: owner.name, pid, birth: processBirth(pid) ?? 'unknown' });
    this.#writeAlive();
  }

  forget(pid: number): void {
    this.#tell({ forget: pid });
    this.#alive.delete(pid);
    this.#writeAlive();
  }

  #tell(message: object): void {
    if (this.stopping && !this.#watchdog) return;
    this.#watchdog ??= this.#startWatchdog();
    this.#watchdog.stdin?.write(`${JSON.stringify(message)}\n`);
  }

  #startWatchdog(): ChildProcess {
    const watchdog = spawn(process.execPath, [join(import.meta.dirname, 'watchdog.ts')], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    // A dead watchdog must not stop the stack: the next message starts another.
    watchdog.stdin.on('error', () => undefined);
    watchdog.once('exit', () => {
      if (this.#watchdog !== watchdog || this.stopping) return;
      this.#watchdog = undefined;
      for (const { pid } of this.#alive.values()) this.#tell({ watch: pid });
    });
    return watchdog;
  }

  #readAlive(): { name: string; pid: number; birth: string }[] {
    try {
      return JSON.parse(readFileSync(join(this.dir, 'processes.json'), 'utf8'));
    } catch {
      return [];
    }
  }

  #writeAlive(): void {
    writeFileSync(join(this.dir, 'processes.json'), JSON.stringify([...this.#alive.values()]));
  }
}
