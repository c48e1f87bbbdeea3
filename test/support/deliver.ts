/** Calling a queue function as an event source mapping does, without the mapping in between. */
import type { Context, SQSRecord } from 'aws-lambda';
import type { QueueHandler } from '#platform/handlers/queue.ts';

/** A message as a queue delivers it. */
export interface Message {
  messageId: string;
  body: string;
  deliveries?: number;
}

/** Delivers a batch to a function; returns the ids of the messages that must be delivered again. */
export async function deliver(handler: QueueHandler, messages: Message[], timeoutMs = 10_000): Promise<string[]> {
  const endsAtMs = Date.now() + timeoutMs;
  const records = messages.map(({ messageId, body, deliveries = 1 }) => ({
    messageId,
    body,
    eventSourceARN: 'arn:aws:sqs:us-east-1:000000000000:test',
    attributes: { SentTimestamp: String(Date.now()), ApproximateReceiveCount: String(deliveries) },
  }));
  const context = { awsRequestId: 'test-request', getRemainingTimeInMillis: () => endsAtMs - Date.now() };
  const answer = await handler({ Records: records as unknown as SQSRecord[] }, context as unknown as Context);
  return answer.batchItemFailures.map(({ itemIdentifier }) => itemIdentifier);
}
