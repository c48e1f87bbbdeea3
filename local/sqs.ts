/**
 * SQS as the event source mapping uses it: receive, delete and release, over keep-alive connections.
 *
 * This stands where AWS's own pollers stand, not where application code does, so it speaks the AWS JSON protocol
 * itself: a call costs a fifth of the SDK's processor time, and the time saved goes to the functions. Endpoints
 * are local and plain HTTP; the signature only names the region, as every emulator reads it and none checks it.
 */
import { openLines } from '#platform/aws/http-line.ts';

export interface ReceivedMessage {
  MessageId: string;
  ReceiptHandle: string;
  Body: string;
  MD5OfBody: string;
  Attributes?: Record<string, string>;
  MessageAttributes?: Record<string, MessageAttribute>;
}

export interface MessageAttribute {
  DataType: string;
  StringValue?: string;
  BinaryValue?: string;
}

/** SQS answers this many messages, and takes this many entries, in one call. */
export const SQS_BATCH = 10;

/** Beyond the long poll itself, an answer takes no longer than this. */
const ANSWER_TIMEOUT_MS = 10_000;

/** How many deletes are under way at once for one batch. */
const DELETES_AT_ONCE = 16;

export interface SqsPort {
  /** Up to `max` messages (at most 10), waiting up to `waitSeconds` for the first. */
  receive(max: number, waitSeconds: number): Promise<ReceivedMessage[]>;
  /** Deletes messages; returns the receipt handles that SQS did not confirm. Never throws. */
  delete(receiptHandles: string[]): Promise<string[]>;
  /** Makes messages visible again at once. */
  release(receiptHandles: string[]): Promise<void>;
  arn(): Promise<string>;
  close(): void;
}

/** Calls about one queue in the AWS JSON protocol. */
export interface SqsCalls {
  /** Throws for every answer that is not a success. */
  call<T>(action: string, input: object, timeoutMs?: number): Promise<T>;
  close(): void;
}

/** Speaks of one queue to its server. */
export function openSqsCalls(endpoint: string, queueUrl: string, region: string): SqsCalls {
  const url = new URL(endpoint);
  const lines = openLines();
  const head = [
    'POST / HTTP/1.1',
    `host: ${url.host}`,
    'content-type: application/x-amz-json-1.0',
    `authorization: AWS4-HMAC-SHA256 Credential=test/20240101/${region}/sqs/aws4_request, SignedHeaders=host, Signature=${'0'.repeat(64)}`,
  ].join('\r\n');
  return {
    async call<T>(action: string, input: object, timeoutMs = ANSWER_TIMEOUT_MS): Promise<T> {
      const payload = JSON.stringify({ QueueUrl: queueUrl, ...input });
      const length = Buffer.byteLength(payload);
      const request = `${head}\r\nx-amz-target: AmazonSQS.${action}\r\ncontent-length: ${length}\r\n\r\n${payload}`;
      const { status, body } = await lines.call(url, request, Date.now() + timeoutMs);
      if (status !== 200) throw new Error(`SQS ${action}: ${status} ${body.slice(0, 300)}`);
      return (body === '' ? {} : JSON.parse(body)) as T;
    },
    close: () => lines.close(),
  };
}

/** A port to one queue. */
export function openSqs(endpoint: string, queueUrl: string, region: string): SqsPort {
  const { call, close } = openSqsCalls(endpoint, queueUrl, region);

  async function inBatches(handles: string[], send: (batch: string[]) => Promise<string[]>): Promise<string[]> {
    const batches: string[][] = [];
    for (let start = 0; start < handles.length; start += SQS_BATCH)
      batches.push(handles.slice(start, start + SQS_BATCH));
    const failed: string[] = [];
    const lane = async (): Promise<void> => {
      for (let batch = batches.shift(); batch; batch = batches.shift()) failed.push(...(await send(batch)));
    };
    await Promise.all(Array.from({ length: Math.min(DELETES_AT_ONCE, batches.length) }, lane));
    return failed;
  }

  interface BatchAnswer {
    Successful?: { Id: string }[];
  }

  const unconfirmed = (batch: string[], { Successful = [] }: BatchAnswer): string[] => {
    const confirmed = new Set(Successful.map(({ Id }) => Id));
    if (confirmed.size === batch.length) return [];
    return batch.filter((_, index) => !confirmed.has(String(index)));
  };

  return {
    async receive(max, waitSeconds) {
      const answer = await call<{ Messages?: ReceivedMessage[] }>(
        'ReceiveMessage',
        {
          MaxNumberOfMessages: max,
          WaitTimeSeconds: waitSeconds,
          AttributeNames: ['All'],
          MessageAttributeNames: ['All'],
        },
        ANSWER_TIMEOUT_MS + waitSeconds * 1000,
      );
      return answer.Messages ?? [];
    },
    delete: (handles) =>
      inBatches(handles, async (batch) => {
        const Entries = batch.map((ReceiptHandle, index) => ({ Id: String(index), ReceiptHandle }));
        try {
          return unconfirmed(batch, await call<BatchAnswer>('DeleteMessageBatch', { Entries }));
        } catch {
          return batch;
        }
      }),
    async release(handles) {
      await inBatches(handles, async (batch) => {
        const Entries = batch.map((ReceiptHandle, index) => ({
          Id: String(index),
          ReceiptHandle,
          VisibilityTimeout: 0,
        }));
        await call('ChangeMessageVisibilityBatch', { Entries });
        return [];
      });
    },
    async arn() {
      const answer = await call<{ Attributes?: { QueueArn?: string } }>('GetQueueAttributes', {
        AttributeNames: ['QueueArn'],
      });
      return answer.Attributes?.QueueArn ?? '';
    },
    close,
  };
}
