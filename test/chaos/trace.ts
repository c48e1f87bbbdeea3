/** What the driver reads back: the lines that steps noted, and the requests in the clients' own log. */
import { createReadStream, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { LogLine, Operation } from '#load/log.ts';

/** The lines of a trace; none if nothing was noted. */
export function readLines(file: string): Record<string, unknown>[] {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  } catch {
    return [];
  }
}

/** Requests that change something if granted; reads are not counted. */
const orders: ReadonlySet<Operation> = new Set(['reserve', 'cancel', 'buy']);

/** How many requests to reserve, cancel or buy in the clients' log were answered, with any status. */
export async function countRequests(logFile: string): Promise<number> {
  let requests = 0;
  for await (const text of createInterface({ input: createReadStream(logFile) })) {
    const line = JSON.parse(text) as LogLine;
    if (line.type === 'request' && line.status > 0 && orders.has(line.op)) requests++;
  }
  return requests;
}
