/**
 * SQS without the SDK, for the pollers of a measured queue. On AWS they are Lambda's own and take no processor time of the
 * function; here they share the processors with what is measured, and the SDK took twice as long for a message as the
 * worker. The calls are those of the local event source mapping (`local/sqs.ts`), to a server that checks no signatures.
 */
import { Agent, request } from 'node:http';
import type { Message } from '@aws-sdk/client-sqs';
import pLimit from 'p-limit';
import { type SqsPort, sqsBatchSize } from '#local/sqs.ts';

const deletesAtOnce = 16;

/** A port to one queue of the local queue server. */
export function openLeanSqs(endpoint: string, QueueUrl: string): SqsPort {
  const agent = new Agent({ keepAlive: true });
  const limit = pLimit(deletesAtOnce);

  function call<Answer>(action: string, input: object): Promise<Answer> {
    const body = JSON.stringify({ QueueUrl, ...input });
    const headers = {
      'content-type': 'application/x-amz-json-1.0',
      'content-length': Buffer.byteLength(body),
      'x-amz-target': `AmazonSQS.${action}`,
    };
    return new Promise((resolve, reject) => {
      const sent = request(endpoint, { method: 'POST', agent, headers }, (answer) => {
        const parts: Buffer[] = [];
        answer.on('error', reject);
        answer.on('data', (part: Buffer) => parts.push(part));
        answer.on('end', () => {
          const text = Buffer.concat(parts).toString();
          if (answer.statusCode === 200) resolve(JSON.parse(text) as Answer);
          else reject(new Error(`${action} was answered with ${answer.statusCode}: ${text.slice(0, 200)}`));
        });
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }

  /** Calls an action for ten entries at a time; returns the handles of those that were not confirmed. */
  async function forEach(action: string, handles: readonly string[], entry: object): Promise<string[]> {
    const batches = Array.from({ length: Math.ceil(handles.length / sqsBatchSize) }, (_, index) =>
      handles.slice(index * sqsBatchSize, (index + 1) * sqsBatchSize),
    );
    const left = await limit.map(batches, async (batch) => {
      const Entries = batch.map((ReceiptHandle, index) => ({ Id: String(index), ReceiptHandle, ...entry }));
      const { Successful = [] } = await call<{ Successful?: { Id: string }[] }>(action, { Entries });
      const confirmed = new Set(Successful.map(({ Id }) => Id));
      return batch.filter((_, index) => !confirmed.has(String(index)));
    });
    return left.flat();
  }

  return {
    async receive(MaxNumberOfMessages, WaitTimeSeconds) {
      const names = { MessageSystemAttributeNames: ['All'], MessageAttributeNames: ['All'] };
      const input = { MaxNumberOfMessages, WaitTimeSeconds, ...names };
      return (await call<{ Messages?: Message[] }>('ReceiveMessage', input)).Messages ?? [];
    },
    delete: (handles) => forEach('DeleteMessageBatch', handles, {}),
    async release(handles) {
      await forEach('ChangeMessageVisibilityBatch', handles, { VisibilityTimeout: 0 });
    },
    async arn() {
      const { Attributes = {} } = await call<{ Attributes?: Record<string, string> }>('GetQueueAttributes', {
        AttributeNames: ['QueueArn'],
      });
      return Attributes.QueueArn ?? '';
    },
    close: () => agent.destroy(),
  };
}
