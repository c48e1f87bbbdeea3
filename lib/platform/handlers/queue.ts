/**
 * The queue wrapper: passes a batch of validated messages to one verb and reports failures to SQS by message id.
 *
 * A message fails alone. An invalid message goes to the dead-letter queue at once, where an operator sees it. A poison
 * message, which its consumer fails on every time, follows after a few deliveries; the batch it came with is split until
 * the others are done. A message that fails because of an outage is not at fault: it is retried with a growing back-off
 * for as long as the outage lasts. The verb returns the messages that must be delivered again. If it throws, all must be.
 * The others are acknowledged, so a verb may leave a message out only after its commit.
 */
import middy, { type MiddlewareObj } from '@middy/core';
import type { Context, SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda';
import type * as z from 'zod';
import { type Cause, firstSentAttribute, noteCauses, sendToDeadLetterQueue } from '#platform/aws/dead-letter-queue.ts';
import { changeVisibility } from '#platform/aws/sqs.ts';
import type { Deps, Needs } from '#platform/environment/deps.ts';
import { log } from '#platform/kernel/log.ts';
import { listens, measure } from '#platform/kernel/metrics.ts';
import type { Registry } from '#platform/kernel/registry.ts';
import { deliveriesAtMost, longestBackOffSeconds } from '#platform/kernel/time-limits.ts';
import { noteOldestMessageAge } from '#platform/redis/oldest-message-age.ts';
import { isOutage } from '#platform/resilience/outage.ts';
import { correlated, type DepsContext, dependencies } from './dependencies.ts';

/** A delivered message, with its SQS attributes. */
export interface Delivered<Message> {
  readonly messageId: string;
  readonly message: Message;
  /** When SQS first accepted the message, milliseconds since the epoch; a redrive does not change it. */
  readonly sentAtMs: number;
  /** How many times it has been delivered, this time included. */
  readonly deliveries: number;
}

/** Message ids that must be delivered again. */
export type MustRepeat = Iterable<string>;

export interface QueueRun<Message> {
  /** The shape of a message's body. For an event from the bus, it includes EventBridge's envelope. */
  readonly message: z.ZodType<Message>;
  run(deps: Deps, batch: readonly Delivered<Message>[], deadlineMs: number): Promise<MustRepeat>;
}

export type QueueHandler = (event: SQSEvent, context: Context) => Promise<SQSBatchResponse>;

/** Time reserved before the function's timeout, so that a late batch can still return its result. */
const marginMs = 1_000;

/** What the middlewares add to the context of a batch. */
interface BatchContext extends DepsContext {
  queue: string;
  startedAtMs: number;
  deadlineMs: number;
  oldestMs: number;
}

/** The result of a batch: by message id, why a message must be delivered again. */
type Failures = Map<string, Cause>;

/** Wraps a verb as the consumer of a queue. */
export function queueHandler<Message>(consumer: QueueRun<Message>): QueueHandler {
  const chain = middy<SQSEvent>()
    .use(dependencies<SQSEvent>())
    .use(batchContext())
    .use(oldestMessageAge())
    .use(partialBatchFailure())
    .handler((event, { deps, deadlineMs }) => consumeBatch(consumer, deps, event.Records, deadlineMs));
  return correlated((_event, { awsRequestId }) => awsRequestId, chain);
}

/** Middleware: adds the queue of the batch, its deadline, and the age of its oldest message to the context. */
function batchContext(): MiddlewareObj<SQSEvent, unknown, Error, BatchContext> {
  return {
    before: ({ event, context }) => {
      const nowMs = context.deps.clock();
      context.queue = queueNameOf(context.deps.registry, event.Records);
      context.startedAtMs = nowMs;
      context.deadlineMs = nowMs + context.getRemainingTimeInMillis() - marginMs;
      context.oldestMs = event.Records.reduce((oldest, record) => Math.min(oldest, sentAtMsOf(record)), nowMs);
    },
  };
}

/** Middleware: records the age of the queue's oldest message while the batch is processed. */
function oldestMessageAge(): MiddlewareObj<SQSEvent, unknown, Error, BatchContext, { noted: Promise<void> }> {
  return {
    before: ({ context: { deps, queue, startedAtMs, oldestMs }, internal }) => {
      internal.noted = noteOldestMessageAge(deps.redis, queue, startedAtMs - oldestMs);
    },
    after: ({ internal }) => internal.noted,
  };
}

/** Middleware: dead-letters messages not worth retrying, and returns the ids of those to be delivered again to SQS. */
function partialBatchFailure(): MiddlewareObj<SQSEvent, Failures | SQSBatchResponse, Error, BatchContext> {
  return {
    after: async (request) => {
      const { event, context } = request;
      const failures = request.response as Failures;
      const failed = failures.size;
      if (failed > 0) await settleFailures(context.deps, context.queue, event.Records, failures);
      measureBatch(event.Records, context, { again: failures.size, deadLettered: failed - failures.size });
      request.response = { batchItemFailures: [...failures.keys()].map((itemIdentifier) => ({ itemIdentifier })) };
    },
  };
}

function measureBatch(
  records: SQSRecord[],
  { deps, queue, startedAtMs, oldestMs, awsRequestId }: BatchContext,
  { again, deadLettered }: { again: number; deadLettered: number },
): void {
  measure(
    {
      Messages: records.length,
      MessagesRepeated: again,
      MessagesDeadLettered: deadLettered,
      BatchMs: deps.clock() - startedAtMs,
      OldestMessageAgeMs: Math.max(0, startedAtMs - oldestMs),
    },
    { queue, facts: { requestId: awsRequestId, causes: listens ? causesOf(records) : [] } },
  );
}

/**
 * The correlation ids of the messages. A batch has an id of its own, which its logs and events carry; this links a
 * request to the batch that processed it, and from there to the batch that notified its customer.
 */
function causesOf(records: SQSRecord[]): string[] {
  return [...new Set(records.flatMap(({ body }) => /"correlationId":"([\w-]{8,64})"/.exec(body)?.[1] ?? []))];
}

/**
 * Dead-letters the messages that are not worth retrying, which removes them from `failures`, and sets the back-off of the
 * others. Never throws: if this fails for a message, it is delivered again.
 */
export async function settleFailures(
  deps: Needs<'sqs' | 'redis' | 'registry' | 'random'>,
  queue: string,
  records: SQSRecord[],
  failures: Failures,
): Promise<void> {
  const failed = records.flatMap((record) => {
    const cause = failures.get(record.messageId);
    const { messageId, receiptHandle, body } = record;
    const deliveries = Number(record.attributes.ApproximateReceiveCount);
    return cause ? [{ messageId, receiptHandle, body, deliveries, cause, firstSentAtMs: sentAtMsOf(record) }] : [];
  });
  const deadLettered = await sendToDeadLetterQueue(
    deps,
    queue,
    failed.filter(({ cause, deliveries }) => isHopeless(cause, deliveries)),
  );
  for (const messageId of deadLettered) failures.delete(messageId);
  const left = failed.filter(({ messageId }) => failures.has(messageId));
  const late = left.filter(({ deliveries }) => deliveries >= deliveriesAtMost);
  const url = deps.registry[`queue/${queue}`];
  const waiting = left.filter(({ cause }) => cause.kind === 'unavailable' || cause.kind === 'repeated');
  await Promise.all([
    noteCauses(deps.redis, new Map(late.map(({ messageId, cause }) => [messageId, cause]))),
    url &&
      changeVisibility(
        deps.sqs,
        url,
        waiting.map(({ receiptHandle, deliveries }) => ({
          receiptHandle,
          visibilitySeconds: backOff(deliveries, deps.random),
        })),
      ),
  ]);
}

/** Whether another delivery is pointless. */
function isHopeless({ kind }: Cause, deliveries: number): boolean {
  return kind === 'unreadable' || (kind === 'failed' && deliveries >= deliveriesAtMost);
}

/** The back-off of a message, whole seconds: one second more with each delivery, less up to a half of jitter. */
function backOff(deliveries: number, random: () => number): number {
  return Math.ceil(Math.min(deliveries, longestBackOffSeconds) * (0.5 + random() / 2));
}

/**
 * Passes the valid messages to the verb. Returns those that must be delivered again, each with its cause; the others are
 * done. Never throws.
 */
export async function consumeBatch<Message>(
  consumer: QueueRun<Message>,
  deps: Deps,
  records: SQSRecord[],
  deadlineMs: number,
): Promise<Failures> {
  const failures = new Map<string, Cause>();
  const batch: Delivered<Message>[] = [];
  for (const record of records) {
    const { parsed, problem } = read(record, consumer.message);
    if (parsed) batch.push(parsed);
    else failures.set(record.messageId, { kind: 'unreadable', detail: problem });
  }
  if (batch.length > 0) await consume(consumer, deps, batch, deadlineMs, failures);
  return failures;
}

/** Runs the verb; if it fails for a reason other than an outage, splits the batch to isolate the poison message. */
export async function consume<Message>(
  consumer: QueueRun<Message>,
  deps: Deps,
  batch: Delivered<Message>[],
  deadlineMs: number,
  failures: Failures,
): Promise<void> {
  try {
    for (const messageId of await consumer.run(deps, batch, deadlineMs)) failures.set(messageId, askedAgain);
  } catch (error) {
    const outage = isOutage(error);
    const divide = !outage && mayDivide(batch.length, deps.clock(), deadlineMs);
    log.error(divide ? 'batch failed; it is split' : 'batch failed; it will be delivered again', {
      error,
      messages: batch.length,
    });
    if (!divide) {
      const cause: Cause = { kind: outage || batch.length > 1 ? 'unavailable' : 'failed', detail: nameOf(error) };
      for (const { messageId } of batch) failures.set(messageId, cause);
      return;
    }
    const middle = Math.ceil(batch.length / 2);
    for (const half of [batch.slice(0, middle), batch.slice(middle)]) {
      await consume(consumer, deps, half, deadlineMs, failures);
    }
  }
}

/** Whether a failed batch can be split, and there is time left to try its halves. */
export function mayDivide(messages: number, nowMs: number, deadlineMs: number): boolean {
  return messages > 1 && nowMs < deadlineMs;
}

/** The logical name of the queue that a batch came from: its ARN and its URL end in the same name. */
function queueNameOf(registry: Registry, records: SQSRecord[]): string {
  const resource = records[0]?.eventSourceARN.split(':').at(-1) ?? '';
  const known = Object.entries(registry).find(
    ([name, url]) => name.startsWith('queue/') && url.endsWith(`/${resource}`),
  );
  return known ? known[0].slice('queue/'.length) : resource;
}

const askedAgain: Cause = { kind: 'repeated', detail: 'The consumer asked for the message again each time.' };

/** An error's name, code and the beginning of its message. */
function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return 'something that is not an error was thrown';
  const { name, message, code } = error as Error & { code?: unknown };
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
    log.warn('message is not valid; it goes to the dead-letter queue', { messageId: record.messageId, issues });
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
