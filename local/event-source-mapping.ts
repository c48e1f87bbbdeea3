/**
 * Feeds a queue to a function as Lambda's event source mapping does.
 *
 * As in Lambda: a batch is complete when it has `batchSize` messages, when the batching window that began with
 * its first message ends, or when it reaches 6 MB; at most `concurrency` batches are in the function at once;
 * what the function took is deleted, what it reports in `batchItemFailures` is not; an answer that cannot be
 * understood, an error and a timeout fail the whole batch; what failed comes back when its visibility timeout
 * ends, and goes to the dead letters when the queue's redrive policy says so.
 *
 * Not as in Lambda, and therefore said here: functions share this process, so a function that exceeds its timeout
 * fails its batch but is not killed, and the number of batches at once does not grow and shrink with the load.
 * Called by the worker process and by tests.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Context, SQSEvent, SQSMessageAttributes, SQSRecord } from 'aws-lambda';
import { type ReceivedMessage, SQS_BATCH, type SqsPort } from './sqs.ts';

/** Lambda hands a function no more than this in one invocation. */
const LARGEST_PAYLOAD_BYTES = 6 * 1024 * 1024;
/** What a record adds to its body: ids, attributes and punctuation. */
const RECORD_OVERHEAD_BYTES = 600;

/** One long poll. Short, because it is also how long a drain may have to wait. */
const POLL_SECONDS = 1;
/** How many receives one gathering has under way when the queue is full. */
const MOST_RECEIVES = 8;
/** Pause between two looks at a queue that gave less than was asked for. */
const TRICKLE_PAUSE_MS = 20;
/** Pauses after a queue that could not be reached. */
const OUTAGE_FIRST_PAUSE_MS = 100;
const OUTAGE_LONGEST_PAUSE_MS = 2_000;

export type QueueFunction = (event: SQSEvent, context: Context) => unknown;

export interface MappingOptions {
  sqs: SqsPort;
  queueArn: string;
  region: string;
  handler: QueueFunction;
  functionName: string;
  timeoutMs: number;
  memoryMb: number;
  batchSize: number;
  batchingWindowMs: number;
  concurrency: number;
  reportsBatchItemFailures: boolean;
  /** Told about everything that failed, in one line each. */
  report: (line: string) => void;
}

export interface MappingCounts {
  invocations: number;
  received: number;
  deleted: number;
  failed: number;
}

export interface RunningMapping {
  readonly counts: MappingCounts;
  /** Stops receiving, lets what is in the function finish, and gives back what never reached it. */
  drain(): Promise<void>;
}

/** Starts feeding the function. */
export function startMapping(options: MappingOptions): RunningMapping {
  const counts: MappingCounts = { invocations: 0, received: 0, deleted: 0, failed: 0 };
  let stopping = false;
  /** Messages that were received but did not fit the batch being gathered. */
  let carried: ReceivedMessage[] = [];
  /** The end of the gathering now under way: lanes take turns, so that batches fill one after the other. */
  let turn: Promise<unknown> = Promise.resolve();

  function gatherInTurn(): Promise<ReceivedMessage[]> {
    const mine = turn.then(() => (stopping ? [] : gather()));
    turn = mine.catch(() => undefined);
    return mine;
  }

  async function gather(): Promise<ReceivedMessage[]> {
    const batch: ReceivedMessage[] = [];
    let bytes = 0;
    const take = (messages: ReceivedMessage[]): void => {
      for (const message of messages) {
        const size = Buffer.byteLength(message.Body) + RECORD_OVERHEAD_BYTES;
        const fits = batch.length < options.batchSize && (batch.length === 0 || bytes + size <= LARGEST_PAYLOAD_BYTES);
        if (fits && carried.length === 0) {
          batch.push(message);
          bytes += size;
        } else {
          carried.push(message);
        }
      }
    };
    const before = carried;
    carried = [];
    take(before);
    if (batch.length === 0) {
      const first = await options.sqs.receive(Math.min(SQS_BATCH, options.batchSize), POLL_SECONDS);
      counts.received += first.length;
      take(first);
      if (batch.length === 0) return batch;
    }

    const windowEnds = Date.now() + options.batchingWindowMs;
    let receives = batch.length >= SQS_BATCH ? 2 : 1;
    while (!stopping && batch.length < options.batchSize && carried.length === 0 && Date.now() < windowEnds) {
      const missing = options.batchSize - batch.length;
      const asked = Array.from({ length: Math.min(receives, Math.ceil(missing / SQS_BATCH)) }, (_, index) =>
        Math.min(SQS_BATCH, missing - index * SQS_BATCH),
      );
      const settled = await Promise.allSettled(asked.map((max) => options.sqs.receive(max, 0)));
      const arrived = settled.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
      counts.received += arrived.length;
      take(arrived);
      const wanted = asked.reduce((sum, max) => sum + max, 0);
      if (arrived.length === wanted) {
        receives = Math.min(MOST_RECEIVES, receives * 2);
      } else {
        receives = Math.max(1, Math.ceil(arrived.length / SQS_BATCH));
        const restMs = windowEnds - Date.now();
        if (arrived.length < wanted / 2 && restMs > 0) await sleep(Math.min(TRICKLE_PAUSE_MS, restMs));
      }
    }
    return batch;
  }

  async function process(batch: ReceivedMessage[]): Promise<void> {
    counts.invocations++;
    const failed = await failuresOf(batch);
    counts.failed += failed.size;
    const done = batch.filter(({ MessageId }) => !failed.has(MessageId)).map(({ ReceiptHandle }) => ReceiptHandle);
    let left = await options.sqs.delete(done);
    // A delete that was not confirmed costs a duplicate delivery, so it is worth one more try.
    if (left.length > 0) left = await options.sqs.delete(left);
    counts.deleted += done.length - left.length;
    if (left.length > 0)
      options.report(`${options.functionName}: ${left.length} messages done but not deleted; they will come again`);
  }

  /** The ids of the messages that stay in the queue. */
  async function failuresOf(batch: ReceivedMessage[]): Promise<Set<string>> {
    const all = new Set(batch.map(({ MessageId }) => MessageId));
    let answer: unknown;
    try {
      answer = await invoke(batch);
    } catch (error) {
      const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
      options.report(`${options.functionName}: batch of ${batch.length} failed: ${reason}`);
      return all;
    }
    if (!options.reportsBatchItemFailures) return new Set();
    const failed = readBatchItemFailures(answer, all);
    if (!failed) {
      options.report(
        `${options.functionName}: batch of ${batch.length} failed: its answer is not a valid list of failures`,
      );
      return all;
    }
    return failed;
  }

  async function invoke(batch: ReceivedMessage[]): Promise<unknown> {
    const event: SQSEvent = { Records: batch.map((message) => toRecord(message, options)) };
    const deadline = Date.now() + options.timeoutMs;
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`Task timed out after ${(options.timeoutMs / 1000).toFixed(2)} seconds`)),
        options.timeoutMs,
      );
    });
    try {
      return await Promise.race([Promise.resolve(options.handler(event, contextFor(options, deadline))), timeout]);
    } finally {
      clearTimeout(timer);
    }
  }

  async function lane(): Promise<void> {
    let pauseMs = OUTAGE_FIRST_PAUSE_MS;
    while (!stopping) {
      let batch: ReceivedMessage[];
      try {
        batch = await gatherInTurn();
        pauseMs = OUTAGE_FIRST_PAUSE_MS;
      } catch (error) {
        if (pauseMs === OUTAGE_FIRST_PAUSE_MS) {
          options.report(`${options.functionName}: the queue cannot be reached: ${(error as Error).message}`);
        }
        await sleep(pauseMs);
        pauseMs = Math.min(OUTAGE_LONGEST_PAUSE_MS, pauseMs * 2);
        continue;
      }
      if (batch.length === 0) continue;
      if (stopping) carried.push(...batch);
      else await process(batch);
    }
  }

  const lanes = Array.from({ length: options.concurrency }, lane);
  return {
    counts,
    async drain() {
      stopping = true;
      await Promise.all(lanes);
      const handles = carried.map(({ ReceiptHandle }) => ReceiptHandle);
      carried = [];
      await options.sqs.release(handles).catch(() => undefined);
    },
  };
}

/**
 * The message ids a `ReportBatchItemFailures` answer names, or undefined when Lambda would call the answer invalid
 * and fail the whole batch. No answer, an empty one and an empty list all mean that nothing failed.
 */
export function readBatchItemFailures(answer: unknown, known: ReadonlySet<string>): Set<string> | undefined {
  if (answer === undefined || answer === null) return new Set();
  if (typeof answer !== 'object' || Array.isArray(answer)) return undefined;
  const { batchItemFailures } = answer as { batchItemFailures?: unknown };
  if (batchItemFailures === undefined || batchItemFailures === null) return new Set();
  if (!Array.isArray(batchItemFailures)) return undefined;
  const failed = new Set<string>();
  for (const item of batchItemFailures as unknown[]) {
    const id =
      typeof item === 'object' && item !== null ? (item as { itemIdentifier?: unknown }).itemIdentifier : undefined;
    if (typeof id !== 'string' || !known.has(id)) return undefined;
    failed.add(id);
  }
  return failed;
}

function toRecord(message: ReceivedMessage, { queueArn, region }: MappingOptions): SQSRecord {
  const attributes = message.Attributes ?? {};
  return {
    messageId: message.MessageId,
    receiptHandle: message.ReceiptHandle,
    body: message.Body,
    attributes: {
      ApproximateReceiveCount: attributes.ApproximateReceiveCount ?? '1',
      SentTimestamp: attributes.SentTimestamp ?? '0',
      SenderId: attributes.SenderId ?? '',
      ApproximateFirstReceiveTimestamp: attributes.ApproximateFirstReceiveTimestamp ?? '0',
      ...(attributes.AWSTraceHeader ? { AWSTraceHeader: attributes.AWSTraceHeader } : {}),
      ...(attributes.DeadLetterQueueSourceArn ? { DeadLetterQueueSourceArn: attributes.DeadLetterQueueSourceArn } : {}),
    },
    messageAttributes: toAttributes(message),
    md5OfBody: message.MD5OfBody,
    eventSource: 'aws:sqs',
    eventSourceARN: queueArn,
    awsRegion: region,
  };
}

function toAttributes(message: ReceivedMessage): SQSMessageAttributes {
  const attributes: SQSMessageAttributes = {};
  for (const [name, value] of Object.entries(message.MessageAttributes ?? {})) {
    attributes[name] = {
      dataType: value.DataType as 'String',
      ...(value.StringValue === undefined ? {} : { stringValue: value.StringValue }),
      ...(value.BinaryValue === undefined ? {} : { binaryValue: value.BinaryValue }),
      stringListValues: [],
      binaryListValues: [],
    };
  }
  return attributes;
}

function contextFor(options: MappingOptions, deadline: number): Context {
  const { functionName, memoryMb, region, queueArn } = options;
  const account = queueArn.split(':')[4] ?? '';
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName,
    functionVersion: '$LATEST',
    invokedFunctionArn: `arn:aws:lambda:${region}:${account}:function:${functionName}`,
    memoryLimitInMB: String(memoryMb),
    awsRequestId: randomUUID(),
    logGroupName: `/aws/lambda/${functionName}`,
    logStreamName: 'local',
    getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
    done: unsupported,
    fail: unsupported,
    succeed: unsupported,
  };
}

function unsupported(): never {
  throw new Error('callbacks of the old Node.js runtimes do not exist in nodejs24.x');
}
