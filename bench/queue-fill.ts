/**
 * Puts messages into a queue before a run, and empties it after one. Speaks the AWS JSON protocol itself, since filling
 * is not measured and the SDK would take several times as long.
 */
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
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
  const { hostname, port } = new URL(endpoint);
  const agent = new Agent({ keepAlive: true, maxSockets: callsAtOnce });
  const authorization = `AWS4-HMAC-SHA256 Credential=bench/20240101/${region}/sqs/aws4_request, SignedHeaders=host, Signature=${'0'.repeat(64)}`;

  function call<T>(action: string, input: object): Promise<T> {
    const payload = JSON.stringify({ QueueUrl: url, ...input });
    return new Promise<T>((resolve, reject) => {
      const sent = request(
        {
          hostname,
          port,
          agent,
          method: 'POST',
          headers: {
            'content-type': 'application/x-amz-json-1.0',
            'content-length': Buffer.byteLength(payload),
            'x-amz-target': `AmazonSQS.${action}`,
            authorization,
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString('utf8');
            if (response.statusCode === 200) resolve((text === '' ? {} : JSON.parse(text)) as T);
            else reject(new Error(`SQS ${action}: ${response.statusCode} ${text.slice(0, 200)}`));
          });
        },
      );
      sent.on('error', reject);
      sent.end(payload);
    });
  }

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
    close: () => agent.destroy(),
  };
}
