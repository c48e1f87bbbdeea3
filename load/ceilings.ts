/**
 * Ceilings: what is the bottleneck of a load run? Artillery against a server that does nothing shows what artillery can
 * send; autocannon against the same host shows what the host can answer; autocannon against an empty function in
 * serverless-offline shows how much of that is the emulator.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import autocannon from 'autocannon';
import type { Stack } from '#local/stack.ts';
import { projectRoot } from '#local/state-folder.ts';
import { runArtillery } from './artillery.ts';

/** One ceiling, in requests a second. */
export interface Ceiling {
  readonly what: string;
  readonly perSecond: number;
  /** Answers that were not a success. */
  readonly failed: number;
}

const seconds = 3;
const connections = 32;
const startLimitMs = 60_000;

/** Measures all ceilings on the running stack; takes about a quarter of a minute. */
export async function measureCeilings(stack: Stack, saleId: string): Promise<Record<CeilingName, Ceiling>> {
  const bare = await startHost(stack, 'bare.ts', ['{"state":"requested"}']);
  try {
    const outputFile = join(stack.dir, 'ceiling.json');
    const target = `http://127.0.0.1:${bare.port}`;
    const { aggregate } = await runArtillery({
      scenario: 'ceiling',
      target,
      outputFile,
      shared: false,
      limitMs: 60_000,
    });
    const tookMs = (aggregate.lastMetricAt ?? 0) - (aggregate.firstMetricAt ?? 0);
    const answered = aggregate.counters['http.responses'] ?? 0;
    const artilleryBare = {
      what: 'artillery, against a server that does nothing',
      perSecond: answered / (tookMs / 1_000),
      failed: (aggregate.counters['http.requests'] ?? 0) - answered,
    };
    const autocannonBare = await shoot('autocannon, against the same server', target, '/');
    const host = await shoot(
      'autocannon, GET /sales/{saleId} of this stack (serverless-offline)',
      stack.addresses.api,
      `/sales/${saleId}`,
    );
    const offline = await startHost(stack, 'offline.ts', [join(stack.dir, 'offline-empty')]);
    try {
      const url = `http://127.0.0.1:${offline.port}`;
      const empty = await shoot(
        'autocannon, empty function in serverless-offline',
        url,
        '/empty/none/reservations',
        'POST',
      );
      return { artilleryBare, autocannonBare, host, empty };
    } finally {
      await offline.stop();
    }
  } finally {
    await bare.stop();
  }
}

export type CeilingName = 'artilleryBare' | 'autocannonBare' | 'host' | 'empty';

/** The bottleneck, in a sentence. */
export function bottleneckOf(ceilings: Record<CeilingName, Ceiling>, peakPerSecond: number): string {
  const shown = (value: number): string => Math.round(value).toLocaleString('en-US');
  const { artilleryBare, autocannonBare, host, empty } = ceilings;
  const of = (ceiling: Ceiling): string =>
    `${shown(ceiling.perSecond)} requests/s, ${Math.round((peakPerSecond / ceiling.perSecond) * 100)} % of which this run used in its busiest second`;
  const narrower = artilleryBare.perSecond < host.perSecond ? 'artillery' : 'the HTTP host';
  return (
    `Artillery itself can send ${of(artilleryBare)}; the HTTP host answers ${of(host)}. The narrower of the two is ${narrower}. ` +
    `A bare server takes ${shown(autocannonBare.perSecond)} requests/s from autocannon, an empty function in serverless-offline ` +
    `${shown(empty.perSecond)}: that is the emulator's own limit on this machine, whatever the functions do.`
  );
}

async function shoot(what: string, url: string, path: string, method: 'GET' | 'POST' = 'GET'): Promise<Ceiling> {
  const result = await autocannon({ url: `${url}${path}`, method, connections, duration: seconds, timeout: 20 });
  const answered = result['2xx'];
  return { what, perSecond: answered / result.duration, failed: result.non2xx + result.errors };
}

async function startHost(stack: Stack, file: string, args: string[]): Promise<{ port: number; stop(): Promise<void> }> {
  const child: ChildProcess = fork(join(projectRoot, 'bench', 'hosts', file), args, {
    env: { ...process.env, ...stack.env },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const port = await new Promise<number>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${file} was not ready in time`)), startLimitMs);
    child.once('message', (message) => {
      clearTimeout(timer);
      resolve((message as { port: number }).port);
    });
    child.once('exit', (code) => reject(new Error(`${file} ended with code ${code}`)));
  });
  return {
    port,
    async stop() {
      if (child.connected) child.disconnect();
      const timer = setTimeout(() => child.kill('SIGKILL'), 3_000);
      await ended;
      clearTimeout(timer);
    },
  };
}
