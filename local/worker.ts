/**
 * A worker process: runs the queue functions of serverless.yml, each fed from its queue.
 *
 *   node local/worker.ts [--functions allocate,pay] [--share 0/2] [--window-ms 50]
 *
 * Invariants: `maximumConcurrency` holds for the whole stack, so several workers divide it (`--share index/count`);
 * `--window-ms` bounds the batching windows, for tests that wait for one decision after the other;
 * on SIGTERM running invocations finish and no message is lost. It reads the queues from HOLDFAST_REGISTRY and the
 * endpoint from AWS_ENDPOINT_URL_SQS, and prints one JSON line when it is ready and one per failure. Started by `startStack`.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type QueueFunction, type RunningMapping, startMapping } from './event-source-mapping.ts';
import { applyEnvironment, handlerOf } from './function-host.ts';
import { type DeclaredFunction, type DeclaredMapping, queueOf, readDeclared } from './serverless-config.ts';
import { openSqs } from './sqs.ts';

/** The concurrency of a mapping without `maximumConcurrency`: what Lambda starts with. */
const defaultConcurrency = 5;

const { values } = parseArgs({
  options: {
    functions: { type: 'string' },
    share: { type: 'string', default: '0/1' },
    'window-ms': { type: 'string' },
  },
});

const longestWindowMs = Number(values['window-ms'] ?? Number.POSITIVE_INFINITY);

function say(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

function needed(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`a worker needs ${name}; start it through the local stack`);
  return value;
}

/** This worker's share of a mapping's concurrency; 0 when other workers have all of it. */
function shareOf(total: number): number {
  const [index = 0, count = 1] = values.share.split('/').map(Number);
  return Math.floor(total / count) + (index < total % count ? 1 : 0);
}

async function feed(declaredFunction: DeclaredFunction, mapping: DeclaredMapping): Promise<RunningMapping | undefined> {
  const concurrency = shareOf(mapping.maximumConcurrency ?? defaultConcurrency);
  if (concurrency === 0 || !mapping.enabled) return undefined;
  const { url: module, name } = handlerOf(declaredFunction);
  const handler = ((await import(module)) as Record<string, unknown>)[name];
  if (typeof handler !== 'function') throw new Error(`${module} exports no function ${name}`);
  const queue = queueOf(declared, mapping.queue);
  const url = registry[queue.registryName];
  if (!url) throw new Error(`the registry has no ${queue.registryName}`);
  const sqs = openSqs(endpoint, url, declared.region);
  return startMapping({
    sqs,
    queueArn: await sqs.arn(),
    region: declared.region,
    handler: handler as QueueFunction,
    functionName: declaredFunction.name,
    timeoutMs: declaredFunction.timeoutSeconds * 1000,
    memoryMb: declaredFunction.memoryMb,
    batchSize: mapping.batchSize,
    batchingWindowMs: Math.min(mapping.batchingWindowSeconds * 1000, longestWindowMs),
    concurrency,
    reportsBatchItemFailures: mapping.reportsBatchItemFailures,
    report: (line) => say({ level: 'error', message: line }),
  });
}

const endpoint = needed('AWS_ENDPOINT_URL_SQS');
const registry = JSON.parse(readFileSync(needed('HOLDFAST_REGISTRY'), 'utf8')) as Record<string, string>;
const declared = await readDeclared();
const wanted = values.functions?.split(',');
const functions = declared.functions.filter(
  ({ key, mappings }) => mappings.length > 0 && (wanted?.includes(key) ?? true),
);
const unknown = wanted?.filter((key) => !functions.some((candidate) => candidate.key === key)) ?? [];
if (unknown.length > 0) throw new Error(`serverless.yml declares no queue function ${unknown.join(', ')}`);
applyEnvironment(functions);

const running = (
  await Promise.all(functions.flatMap((one) => one.mappings.map((mapping) => feed(one, mapping))))
).filter((mapping) => mapping !== undefined);
say({ ready: true, pid: process.pid, functions: functions.map(({ key }) => key) });

let stopping = false;
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    if (stopping) return;
    stopping = true;
    void Promise.all(running.map((mapping) => mapping.drain())).then(() => {
      say({ stopped: true, counts: running.map(({ counts }) => counts) });
      process.exit(0);
    });
  });
}
