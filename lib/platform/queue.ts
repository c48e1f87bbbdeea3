/**
 * The queue wrapper: hands a batch of checked messages to one verb and answers SQS by message id.
 *
 * A message that cannot be read is a failure of that message alone: it goes back, and after its last delivery to the
 * dead letters, where an operator sees it; the others flow on. The verb says which of its messages must come again. If
 * it throws, all must. What is not reported is acknowledged, so a verb reports a message as done only after its commit.
 */
import middy from '@middy/core';
import type { Context, SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda';
import type { z } from 'zod';
import { type Deps, sharedDeps } from './deps.ts';
import { log, withCorrelation } from './log.ts';

/** A message that was delivered, with what SQS knows of it. */
export interface Delivered<Message> {
  readonly messageId: string;
  readonly message: Message;
  /** When SQS took the message, milliseconds since the epoch. */
  readonly sentAtMs: number;
  /** How often it has been delivered, this time included. */
  readonly deliveries: number;
}

/** Message ids that must be delivered again. */
export type MustRepeat = Iterable<string>;

export interface QueueRun<Message> {
  /** The shape of a message. For an event from the bus, the shape of its detail. */
  readonly message: z.ZodType<Message>;
  run(deps: Deps, batch: Delivered<Message>[], deadlineMs: number): Promise<MustRepeat>;
}

export type QueueHandler = (event: SQSEvent, context: Context) => Promise<SQSBatchResponse>;

/** Time kept back from the function's own limit, so that a batch that is late still gets its answer out. */
const marginMs = 1_000;

/** Wraps a verb as the consumer of a queue. */
export function queueHandler<Message>(consumer: QueueRun<Message>): QueueHandler {
  return middy<SQSEvent, SQSBatchResponse>().handler(async (event, context) => {
    const deps = await sharedDeps();
    const failures = new Set<string>();
    const batch: Delivered<Message>[] = [];
    for (const record of event.Records) {
      const parsed = read(record, consumer.message);
      if (parsed) batch.push(parsed);
      else failures.add(record.messageId);
    }
    const deadlineMs = Date.now() + context.getRemainingTimeInMillis() - marginMs;
    try {
      if (batch.length > 0) {
        const repeat = await withCorrelation(context.awsRequestId, () => consumer.run(deps, batch, deadlineMs));
        for (const messageId of repeat) failures.add(messageId);
      }
    } catch (error) {
      log.error('batch failed; every message will be delivered again', { error, messages: batch.length });
      for (const { messageId } of batch) failures.add(messageId);
    }
    return { batchItemFailures: [...failures].map((itemIdentifier) => ({ itemIdentifier })) };
  }) as unknown as QueueHandler;
}

function read<Message>(record: SQSRecord, shape: z.ZodType<Message>): Delivered<Message> | undefined {
  let body: unknown;
  try {
    body = JSON.parse(record.body);
  } catch {
    body = undefined;
  }
  const result = shape.safeParse(body);
  if (!result.success) {
    log.warn('message cannot be read; it will end in the dead letters', {
      messageId: record.messageId,
      issues: result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`),
    });
    return undefined;
  }
  return {
    messageId: record.messageId,
    message: result.data,
    sentAtMs: Number(record.attributes.SentTimestamp),
    deliveries: Number(record.attributes.ApproximateReceiveCount),
  };
}
