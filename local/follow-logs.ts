/**
 * Prints the logs of a running stack in a readable form: one line per entry, with its time and process. The complete logs
 * are the files under `logs/`. Called by `npm start`.
 */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import type { StackProcess } from './supervisor.ts';

const pollIntervalMs = 200;
/** Processes whose logs say nothing about Holdfast; their files help when something is wrong. */
const quiet = ['mysql', 'redis', 'localstack'];
/** Fields that the line has in front, or that it leaves out. */
const shownApart = ['level', 'time', 'msg', 'message', 'pid', 'hostname', 'error', 'err'];

/** Follows the processes' logs from now on. Returns a function that stops it. */
export function followLogs(processes: ReadonlyMap<string, StackProcess>, write: (line: string) => void): () => void {
  const read = new Map<string, { offset: number; rest: string }>();
  const look = (): void => {
    for (const { name, logFile } of processes.values()) {
      if (quiet.includes(name)) continue;
      const size = sizeOf(logFile);
      const known = read.get(name) ?? { offset: size, rest: '' };
      read.set(name, known);
      if (size <= known.offset) continue;
      const lines = (known.rest + readFrom(logFile, known.offset, size)).split('\n');
      known.rest = lines.pop() ?? '';
      known.offset = size;
      for (const line of lines) {
        const shown = readable(name, line);
        if (shown) write(shown);
      }
    }
  };
  look();
  const timer = setInterval(look, pollIntervalMs);
  return () => clearInterval(timer);
}

function sizeOf(file: string): number {
  try {
    return statSync(file).size;
  } catch {
    return 0;
  }
}

function readFrom(file: string, start: number, end: number): string {
  const descriptor = openSync(file, 'r');
  try {
    const buffer = Buffer.alloc(end - start);
    const bytes = readSync(descriptor, buffer, 0, buffer.length, start);
    return buffer.subarray(0, bytes).toString('utf8');
  } finally {
    closeSync(descriptor);
  }
}

/** One log entry in readable form, or undefined when there is nothing to show. */
export function readable(name: string, line: string): string | undefined {
  if (line.trim() === '') return undefined;
  const prefix = (time: Date, level: string) =>
    `${time.toTimeString().slice(0, 8)} ${name.padEnd(10)} ${level === 'info' ? '' : `${level.toUpperCase()} `}`;
  let fact: Record<string, unknown>;
  try {
    fact = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return prefix(new Date(), 'info') + line;
  }
  if (fact === null || typeof fact !== 'object' || fact.ready || fact.stopped) return undefined;
  const time = new Date(typeof fact.time === 'string' || typeof fact.time === 'number' ? fact.time : Date.now());
  const error = (fact.error ?? fact.err) as { message?: string } | string | undefined;
  const fields = Object.entries(fact)
    .filter(([key]) => !shownApart.includes(key))
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const parts = [
    String(fact.msg ?? fact.message ?? ''),
    ...(error ? [`(${typeof error === 'string' ? error : (error.message ?? JSON.stringify(error))})`] : []),
    ...fields,
  ];
  return (
    prefix(Number.isNaN(time.getTime()) ? new Date() : time, String(fact.level ?? 'info')) + parts.join(' ').trim()
  );
}
