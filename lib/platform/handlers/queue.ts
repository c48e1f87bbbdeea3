/**
 * The queue wrapper: hands a batch of checked messages to one verb and answers SQS by message id.
 *
 * A message fails alone. One that cannot be read goes to the dead letters at once, where an operator sees it; one that its
 * consumer cannot stomach does so after a few deliveries, and the batch it came with is divided until the others are
 * done. A message that fails because a store is away has done nothing wrong: it waits, a little longer each time, for as
 * long as the store stays away. The verb says which of its messages must come again. If it throws, all must. What is not
 * reported is acknowledged, so a verb reports a message as done only after its commit.
 */
import middy, { type MiddlewareObj } from '@middy/core';
import type { Context, SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda';
import type * as z from 'zod';
import { bury, type Cause, deliverAgain, firstSentAttribute, noteCauses } from '#platform/aws/dead-letter-queue.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { log } from '#platform/kernel/log.ts';
import { listens, measure } from '#platform/kernel/metrics.ts';
import type { Registry } from '#platform/kernel/registry.ts';
import { deliveriesAtMost, longestBackOffSeconds } from '#platform/kernel/time-limits.ts';
import { noteLag } from '#platform/redis/queue-lag.ts';
import { isOutage } from '#platform/resilience/outage.ts';
import { correlated, type DepsContext, dependencies } from './dependencies.ts';

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
  run(deps: Deps, batch: readonly Delivered<Message>[], deadlineMs: number): Promise<MustRepeat>;
}

export type QueueHandler = (event: SQSEvent, context: Context) => Promise<SQSBatchResponse>;

/** Time kept back from the function's own limit, so that a batch that is late still gets its answer out. */
const marginMs = 1_000;

/** What the middlewares know of a batch before it is handed over. */
interface BatchContext extends DepsContext {
  queue: string;
  startedAtMs: number;
  deadlineMs: number;
  oldestMs: number;
}

/** Why each message that is not done must be delivered again, by its id: what a batch comes to. */
type Failures = Map<string, Cause>;

/** Wraps a verb as the consumer of a queue. */
export function queueHandler<Message>(consumer: QueueRun<Message>): QueueHandler {
  const chain = middy<SQSEvent>()
    .use(dependencies<SQSEvent>())
    .use(batchContext())
    .use(queueLag())
    .use(partialBatchFailure())
    .handler((event, { deps, deadlineMs }) => consumeBatch(consumer, deps, event.Records, deadlineMs));
  return correlated((_event, { awsRequestId }) => awsRequestId, chain);
}

/** Middleware: which queue the batch is from, how long it may take, and how long its oldest message has waited. */
function batchContext(): MiddlewareObj<SQSEvent, unknown, Error, BatchContext> {
  return {
    before: ({ event, context }) => {
      const nowMs = Date.now();
      context.queue = queueNameOf(context.deps.registry, event.Records);
      context.startedAtMs = nowMs;
      context.deadlineMs = nowMs + context.getRemainingTimeInMillis() - marginMs;
      context.oldestMs = event.Records.reduce((oldest, record) => Math.min(oldest, sentAtMsOf(record)), nowMs);
    },
  };
}

/** Middleware: notes the lag of the queue while the batch is worked on. */
function queueLag(): MiddlewareObj<SQSEvent, unknown, Error, BatchContext, { noted: Promise<void> }> {
  return {
    before: ({ context: { deps, queue, startedAtMs, oldestMs }, internal }) => {
      internal.noted = noteLag(deps.redis, queue, startedAtMs - oldestMs);
    },
    after: ({ internal }) => internal.noted,
  };
}

/** Middleware: gives up what is hopeless, and answers SQS with the ids of what must be delivered again. */
function partialBatchFailure(): MiddlewareObj<SQSEvent, Failures | SQSBatchResponse, Error, BatchContext> {
  return {
    after: async (request) => {
      const { event, context } = request;
      const failures = request.response as Failures;
      const failed = failures.size;
      if (failed > 0) await settleFailures(context.deps, context.queue, event.Records, failures);
      measureBatch(event.Records, context, { again: failures.size, buried: failed - failures.size });
      request.response = { batchItemFailures: [...failures.keys()].map((itemIdentifier) => ({ itemIdentifier })) };
    },
  };
}

function measureBatch(
  records: SQSRecord[],
  { queue, startedAtMs, oldestMs, awsRequestId }: BatchContext,
  { again, buried }: { again: number; buried: number },
): void {
  measure(
    {
      Messages: records.length,
      MessagesRepeated: again,
      MessagesBuried: buried,
      BatchMs: Date.now() - startedAtMs,
      LagMs: Math.max(0, startedAtMs - oldestMs),
    },
    { queue, facts: { requestId: awsRequestId, causes: listens ? causesOf(records) : [] } },
  );
}

/**
 * The correlation ids that messages came with. A batch has an id of its own, which its logs and events carry; this is the
 * link from a click to the batch that served it, and from there on to the batch that told its customer.
 */
function causesOf(records: SQSRecord[]): string[] {
  return [...new Set(records.flatMap(({ body }) => /"correlationId":"([\w-]{8,64})"/.exec(body)?.[1] ?? []))];
}

/**
 * Gives up the messages that are hopeless, which takes them out of `failures`, and says when the others come again. Never
 * throws: what cannot be settled comes again.
 */
export async function settleFailures(
  deps: Pick<Deps, 'sqs' | 'redis' | 'registry'>,
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
  const buried = await bury(
    deps,
    queue,
    failed.filter(({ cause, deliveries }) => isHopeless(cause, deliveries)),
  );
  for (const messageId of buried) failures.delete(messageId);
  const left = failed.filter(({ messageId }) => failures.has(messageId));
  const late = left.filter(({ deliveries }) => deliveries >= deliveriesAtMost);
  const waiting = left.filter(({ cause }) => cause.kind === 'unavailable' || cause.kind === 'repeated');
  await Promise.all([
    noteCauses(deps.redis, new Map(late.map(({ messageId, cause }) => [messageId, cause]))),
    deliverAgain(
      deps,
      queue,
      waiting.map(({ receiptHandle, deliveries }) => ({ receiptHandle, afterSeconds: backOff(deliveries) })),
    ),
  ]);
}

/** Whether another delivery would be of any use. */
function isHopeless({ kind }: Cause, deliveries: number): boolean {
  return kind === 'unreadable' || (kind === 'failed' && deliveries >= deliveriesAtMost);
}

/** How long a message waits that came too early, in whole seconds: one more each time, and up to a half less by chance. */
function backOff(deliveries: number): number {
  return Math.ceil(Math.min(deliveries, longestBackOffSeconds) * (0.5 + Math.random() / 2));
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

/** Runs the verb; if it fails for another reason than an outage, divides the batch to find out whose fault it is. */
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
    const divide = !outage && mayDivide(batch.length, deadlineMs);
    log.error(divide ? 'batch failed; it is divided' : 'batch failed; it will be delivered again', {
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

/** Whether a batch that failed can be divided, and there is time left to try its halves. */
export function mayDivide(messages: number, deadlineMs: number): boolean {
  return messages > 1 && Date.now() < deadlineMs;
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
    log.warn('message cannot be read; it goes to the dead letters', { messageId: record.messageId, issues });
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
