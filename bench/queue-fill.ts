/**
 * Puts messages into a queue before a run, and empties it after one. Not by the SDK, which would take several times as
 * long for what is not measured.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { openSqsCalls } from '#local/sqs.ts';
import { bodyOf } from './ours.ts';
import type { Request } from './workload.ts';

const entriesPerCall = 10;
const callsAtOnce = 8;

/** A queue to fill, to look at and to empty. */
export interface FilledQueue {
  fill(requests: readonly Request[]): Promise<void>;
  /** Messages that are visible or in flight. */
  depth(): Promise<number>;
  empty(): Promise<void>;
  close(): void;
}

export function openFilledQueue(endpoint: string, url: string, region: string): FilledQueue {
  const { call, close } = openSqsCalls(endpoint, url, region);
  return {
    async fill(requests) {
      const batches: Request[][] = [];
      for (let start = 0; start < requests.length; start += entriesPerCall) {
        batches.push(requests.slice(start, start + entriesPerCall));
      }
      const lane = async (): Promise<void> => {
        for (let batch = batches.shift(); batch; batch = batches.shift()) {
          const Entries = batch.map(({ repeated: _, ...command }, index) => ({
            Id: String(index),
            MessageBody: bodyOf(command),
          }));
          const { Failed = [] } = await call<{ Failed?: unknown[] }>('SendMessageBatch', { Entries });
          if (Failed.length > 0) throw new Error(`the queue refused ${Failed.length} messages`);
        }
      };
      await Promise.all(Array.from({ length: callsAtOnce }, lane));
    },
    async depth() {
      const { Attributes = {} } = await call<{ Attributes?: Record<string, string> }>('GetQueueAttributes', {
        AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'],
      });
      return Object.values(Attributes).reduce((sum, value) => sum + Number(value), 0);
    },
    async empty() {
      await call('PurgeQueue', {});
      while ((await this.depth()) > 0) await sleep(20);
    },
    close,
  };
}
