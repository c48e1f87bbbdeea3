/**
 * The watchdog: a process that outlives the supervisor and stops the processes that it leaves behind.
 *
 * The supervisor sends it the process groups of the stack over a pipe. When the pipe closes (a clean stop, a crash,
 * kill -9), every group still on the list gets SIGTERM and, after a grace period, SIGKILL. The watchdog has a process
 * group of its own and ignores Ctrl-C, so nothing that stops the supervisor stops it. Started by `Supervisor`; it reads
 * one JSON object per line:
 *   {"watch": pid, "graceMs": n} | {"forget": pid} | {"atEnd": {"command": string, "args": string[]}}
 */
import { spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const watched = new Map<number, number>();
const atEnd: { command: string; args: string[] }[] = [];

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) process.on(signal, () => undefined);

function signalGroup(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-pid, signal);
    return true;
  } catch {
    return false;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line) as {
    watch?: number;
    graceMs?: number;
    forget?: number;
    atEnd?: { command: string; args: string[] };
  };
  if (message.watch) watched.set(message.watch, message.graceMs ?? 5_000);
  if (message.forget) watched.delete(message.forget);
  if (message.atEnd) atEnd.push(message.atEnd);
}

await Promise.all(
  [...watched].map(async ([pid, graceMs]) => {
    signalGroup(pid, 'SIGCONT');
    signalGroup(pid, 'SIGTERM');
    const deadline = Date.now() + graceMs;
    while (signalGroup(pid, 0) && Date.now() < deadline) await sleep(50);
    signalGroup(pid, 'SIGKILL');
  }),
);
for (const { command, args } of atEnd) spawnSync(command, args, { stdio: 'ignore', timeout: 60_000 });
