/**
 * Puts messages into a queue before a run, and empties it after one.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { GetQueueAttributesCommand, PurgeQueueCommand, SendMessageBatchCommand } from '@aws-sdk/client-sqs';
import pLimit from 'p-limit';
import { sqsClient } from '#local/aws-resources.ts';
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

export function openFilledQueue(endpoint: string, QueueUrl: string, region: string): FilledQueue {
  const client = sqsClient({ sqs: endpoint, region });
  return {
    async fill(requests) {
      const batches: Request[][] = [];
      for (let start = 0; start < requests.length; start += entriesPerCall) {
        batches.push(requests.slice(start, start + entriesPerCall));
      }
      await pLimit(callsAtOnce).map(batches, async (batch) => {
        const Entries = batch.map(({ repeated: _, ...command }, index) => ({
          Id: String(index),
          MessageBody: bodyOf(command),
        }));
        const { Failed = [] } = await client.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
        if (Failed.length > 0) throw new Error(`the queue refused ${Failed.length} messages`);
      });
    },
    async depth() {
      const command = new GetQueueAttributesCommand({
        QueueUrl,
        AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'],
      });
      const { Attributes = {} } = await client.send(command);
      return Object.values(Attributes).reduce((sum, value) => sum + Number(value), 0);
    },
    async empty() {
      await client.send(new PurgeQueueCommand({ QueueUrl }));
      while ((await this.depth()) > 0) await sleep(20);
    },
    close: () => client.destroy(),
  };
}
