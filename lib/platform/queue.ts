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
import { type Cause, firstSentAttribute, noteCauses } from './deadletters.ts';
import { type Deps, sharedDeps } from './deps.ts';
import type { Registry } from './discovery.ts';
import { noteLag } from './lag.ts';
import { log, withCorrelation } from './log.ts';
import { deliveriesAtMost } from './timings.ts';

/** A message that was delivered, with what SQS knows of it. */
export interface Delivered<Message> {
  readonly messageId: string;
  readonly message: Message;
  /** When SQS first took the message, milliseconds since the epoch; a redrive does not change it. */
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
    const nowMs = Date.now();
    const deadlineMs = nowMs + context.getRemainingTimeInMillis() - marginMs;
    const oldestMs = event.Records.reduce((oldest, record) => Math.min(oldest, sentAtMsOf(record)), nowMs);
    const lagNoted = noteLag(deps.redis, queueNameOf(deps.registry, event.Records), nowMs - oldestMs);
    const failures = await withCorrelation(context.awsRequestId, () =>
      consumeBatch(consumer, deps, event.Records, deadlineMs),
    );
    const dead = event.Records.filter(
      ({ messageId, attributes }) =>
        failures.has(messageId) && Number(attributes.ApproximateReceiveCount) >= deliveriesAtMost,
    );
    if (dead.length > 0) {
      await noteCauses(
        deps.redis,
        new Map(dead.map(({ messageId }) => [messageId, failures.get(messageId) ?? askedAgain])),
      );
    }
    await lagNoted;
    return { batchItemFailures: [...failures.keys()].map((itemIdentifier) => ({ itemIdentifier })) };
  }) as unknown as QueueHandler;
}

/**
 * Hands the messages that can be read to the verb. Returns those that must be delivered again, each with why; whatever
 * is not among them is done. Never throws.
 */
export async function consumeBatch<Message>(
  consumer: QueueRun<Message>,
  deps: Deps,
  records: SQSRecord[],
  deadlineMs: number,
): Promise<Map<string, Cause>> {
  const failures = new Map<string, Cause>();
  const batch: Delivered<Message>[] = [];
  for (const record of records) {
    const { parsed, problem } = read(record, consumer.message);
    if (parsed) batch.push(parsed);
    else failures.set(record.messageId, { kind: 'unreadable', detail: problem });
  }
  try {
    if (batch.length > 0) {
      for (const messageId of await consumer.run(deps, batch, deadlineMs)) failures.set(messageId, askedAgain);
    }
  } catch (error) {
    log.error('batch failed; every message will be delivered again', { error, messages: batch.length });
    const cause: Cause = { kind: 'failed', detail: nameOf(error) };
    for (const { messageId } of batch) failures.set(messageId, cause);
  }
  return failures;
}

/** The logical name of the queue that a batch came from: its ARN and its URL end alike. */
function queueNameOf(registry: Registry, records: SQSRecord[]): string {
  const resource = records[0]?.eventSourceARN.split(':').at(-1) ?? '';
  const known = Object.entries(registry).find(
    ([name, url]) => name.startsWith('queue/') && url.endsWith(`/${resource}`),
  );
  return known ? known[0].slice('queue/'.length) : resource;
}

const askedAgain: Cause = { kind: 'repeated', detail: 'The consumer could not do it yet, each time it tried.' };

/** An error's name, code and the beginning of its message, without what Drizzle adds to it. */
function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return 'something that is not an error was thrown';
  const { name, message, code, cause } = error as Error & { code?: unknown };
  if (message.startsWith('Failed query')) return nameOf(cause);
  return [name, code, message.slice(0, 300)].filter(Boolean).join(' ');
}

function read<Message>(
  record: SQSRecord,
  shape: z.ZodType<Message>,
): { parsed: Delivered<Message>; problem?: undefined } | { parsed?: undefined; problem: string } {
  let body: unknown;
  try {
    body = JSON.parse(record.body);
  } catch {
    body = undefined;
  }
  const result = shape.safeParse(body);
  if (!result.success) {
    const issues = result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
    log.warn('message cannot be read; it will end in the dead letters', { messageId: record.messageId, issues });
    return { problem: issues.join('; ').slice(0, 500) };
  }
  return {
    parsed: {
      messageId: record.messageId,
      message: result.data,
      sentAtMs: sentAtMsOf(record),
      deliveries: Number(record.attributes.ApproximateReceiveCount),
    },
  };
}

function sentAtMsOf(record: SQSRecord): number {
  return Number(record.messageAttributes?.[firstSentAttribute]?.stringValue ?? record.attributes.SentTimestamp);
}
