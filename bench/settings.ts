/** What is measured is what is shipped: the settings of the allocate worker as serverless.yml declares them. */
import { readDeclared } from '#local/serverless-config.ts';

const declared = await readDeclared();
const allocate = declared.functions.find(({ key }) => key === 'allocate');
const accept = declared.functions.find(({ key }) => key === 'create-reservation');
const mapping = allocate?.mappings[0];
if (!allocate || !mapping) throw new Error('serverless.yml declares no queue for the function allocate');
if (!accept) throw new Error('serverless.yml declares no function create-reservation');

/** How many messages the worker gets at most. */
export const shippedBatchSize = mapping.batchSize;

/** How many batches are decided at once. */
export const shippedWorkers = mapping.maximumConcurrency ?? 2;

/** As deployed: each worker is a process of its own with one batch at a time. */
export const asDeployed = { processes: shippedWorkers, lanes: 1, batch: shippedBatchSize } as const;

/** How long a batch is gathered at most, milliseconds. */
export const shippedWindowMs = mapping.batchingWindowSeconds * 1000;

/** Node's options of the function. Every worker process gets them, so that all contenders have the same runtime. */
export const shippedNodeOptions = allocate.environment.NODE_OPTIONS ?? '';

/** How much memory the function has, and the one that accepts, MiB. */
export const shippedMemoryMb = allocate.memoryMb;
export const acceptMemoryMb = accept.memoryMb;

/**
 * What Lambda starts Node with, for a function with so much memory: a tenth of it for young objects and the rest for old ones.
 * Without this V8 goes by the memory of the machine. Source: `/var/runtime/bootstrap` in AWS's
 * image for Node.js 18; that newer ones do the same is assumed.
 */
export function heapOptions(memoryMb: number): string[] {
  const youngMb = Math.floor(memoryMb / 10);
  return [`--max-semi-space-size=${Math.floor(youngMb / 2)}`, `--max-old-space-size=${memoryMb - youngMb}`];
}
