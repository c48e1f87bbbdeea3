/**
 * SQS as the event source mapping uses it: receive, delete and release, through the SDK.
 */
import {
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  GetQueueAttributesCommand,
  type Message,
  ReceiveMessageCommand,
} from '@aws-sdk/client-sqs';
import pLimit from 'p-limit';
import { sqsClient } from './aws-resources.ts';

/** SQS answers this many messages, and takes this many entries, in one call. */
export const sqsBatchSize = 10;

/** Beyond the long poll itself, an answer takes no longer than this. */
const answerTimeoutMs = 10_000;

/** How many deletes are under way at once for one batch. */
const deleteConcurrency = 16;

export interface SqsPort {
  /** Up to `max` messages (at most 10), waiting up to `waitSeconds` for the first. */
  receive(max: number, waitSeconds: number): Promise<Message[]>;
  /** Deletes messages; returns the receipt handles that SQS did not confirm. Never throws. */
  delete(receiptHandles: string[]): Promise<string[]>;
  /** Makes messages visible again at once. */
  release(receiptHandles: string[]): Promise<void>;
  arn(): Promise<string>;
  close(): void;
}

/** A port to one queue. */
export function openSqs(endpoint: string, queueUrl: string, region: string): SqsPort {
  // The pollers retry failed calls themselves, and report them.
  const client = sqsClient({ sqs: endpoint, region }, { maxAttempts: 1 });
  const limit = pLimit(deleteConcurrency);
  const within = (timeoutMs: number) => ({ abortSignal: AbortSignal.timeout(timeoutMs) });

  return {
    async receive(max, waitSeconds) {
      const command = new ReceiveMessageCommand({
        QueueUrl: queueUrl,
        MaxNumberOfMessages: max,
        WaitTimeSeconds: waitSeconds,
        MessageSystemAttributeNames: ['All'],
        MessageAttributeNames: ['All'],
      });
      const { Messages = [] } = await client.send(command, within(answerTimeoutMs + waitSeconds * 1_000));
      return Messages;
    },
    async delete(handles) {
      const unconfirmed = await limit.map(batchesOf(handles), async (batch) => {
        const Entries = batch.map((ReceiptHandle, index) => ({ Id: String(index), ReceiptHandle }));
        try {
          const command = new DeleteMessageBatchCommand({ QueueUrl: queueUrl, Entries });
          const { Successful = [] } = await client.send(command, within(answerTimeoutMs));
          const confirmed = new Set(Successful.map(({ Id }) => Id));
          return batch.filter((_, index) => !confirmed.has(String(index)));
        } catch {
          return batch;
        }
      });
      return unconfirmed.flat();
    },
    async release(handles) {
      await limit.map(batchesOf(handles), (batch) => {
        const Entries = batch.map((ReceiptHandle, index) => ({
          Id: String(index),
          ReceiptHandle,
          VisibilityTimeout: 0,
        }));
        const command = new ChangeMessageVisibilityBatchCommand({ QueueUrl: queueUrl, Entries });
        return client.send(command, within(answerTimeoutMs));
      });
    },
    async arn() {
      const command = new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: ['QueueArn'] });
      const { Attributes } = await client.send(command, within(answerTimeoutMs));
      return Attributes?.QueueArn ?? '';
    },
    close: () => client.destroy(),
  };
}

function batchesOf(handles: string[]): string[][] {
  return Array.from({ length: Math.ceil(handles.length / sqsBatchSize) }, (_, index) =>
    handles.slice(index * sqsBatchSize, (index + 1) * sqsBatchSize),
  );
}
