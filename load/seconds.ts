/**
 * A run second by second, from the clients' log: artillery's own figures come in steps of ten seconds, which hides what
 * matters in the first second of a sale.
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { LogLine } from './log.ts';

export interface Second {
  /** Seconds since the first request. */
  readonly at: number;
  readonly sent: number;
  /** Answers by status; 0 stands for none. */
  readonly statuses: Record<string, number>;
  /** From sending to the whole answer, of requests that were sent in this second. */
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
}

interface Gathered {
  sent: number;
  statuses: Record<string, number>;
  tookMs: number[];
}

/** Reads a log; seconds in which nothing happened are there too. */
export async function secondsOf(log: string): Promise<Second[]> {
  const seconds = new Map<number, Gathered>();
  const of = (ms: number): Gathered => {
    const key = Math.floor(ms / 1_000);
    const known = seconds.get(key) ?? { sent: 0, statuses: {}, tookMs: [] };
    seconds.set(key, known);
    return known;
  };
  for await (const text of createInterface({ input: createReadStream(log) })) {
    if (text === '') continue;
    const line = JSON.parse(text) as LogLine;
    if (line.type !== 'request') continue;
    const sent = of(line.sentMs);
    sent.sent += 1;
    sent.tookMs.push(line.answeredMs - line.sentMs);
    const { statuses } = of(line.answeredMs);
    statuses[line.status] = (statuses[line.status] ?? 0) + 1;
  }
  const keys = [...seconds.keys()];
  if (keys.length === 0) return [];
  const first = keys.reduce((a, b) => Math.min(a, b));
  const last = keys.reduce((a, b) => Math.max(a, b));
  return Array.from({ length: last - first + 1 }, (_, at) => {
    const { sent, statuses, tookMs } = of((first + at) * 1_000);
    const sorted = tookMs.sort((a, b) => a - b);
    const share = (part: number): number => sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? 0;
    return { at, sent, statuses, p50Ms: share(0.5), p95Ms: share(0.95), p99Ms: share(0.99) };
  });
}
