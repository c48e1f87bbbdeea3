/** What is measured is what is shipped: the settings of the allocate worker as serverless.yml declares them. */
import { readDeclared } from '#local/serverless-config.ts';

const declared = await readDeclared();
const allocate = declared.functions.find(({ key }) => key === 'allocate');
const mapping = allocate?.mappings[0];
if (!allocate || !mapping) throw new Error('serverless.yml declares no queue for the function allocate');

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
