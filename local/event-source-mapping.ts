/**
 * Feeds a queue to a function as Lambda's event source mapping does.
 *
 * As in Lambda: a batch is complete when it has `batchSize` messages, when the batching window that began with its first
 * message ends, or when it reaches 6 MB; at most `concurrency` invocations run at once; processed messages are deleted,
 * those in `batchItemFailures` are not; an invalid answer, an error and a timeout fail the whole batch; failed messages
 * are delivered again when their visibility timeout ends, and go to the dead-letter queue after `maxReceiveCount`
 * deliveries.
 *
 * Unlike in Lambda: functions share this process, so a function that exceeds its timeout fails its batch but is not
 * killed; the number of invocations does not scale with the load; and one poller fills one batch at a time.
 * Called by the worker process and by tests.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Message } from '@aws-sdk/client-sqs';
import type { Context, SQSEvent, SQSMessageAttributes, SQSRecord } from 'aws-lambda';
import pLimit from 'p-limit';
import { type SqsPort, sqsBatchSize } from './sqs.ts';

/** Lambda hands a function no more than this in one invocation. */
const largestPayloadBytes = 6 * 1024 * 1024;
/** What a record adds to its body: ids, attributes and JSON syntax. */
const recordOverheadBytes = 600;

/** One long poll. Short, because a drain may have to wait for it. */
const pollSeconds = 1;
/** Pause between two receives when the first brought fewer messages than it could. */
const sparseQueuePauseMs = 20;
/** Pauses while the queue cannot be reached. */
const outageFirstPauseMs = 100;
const outageLongestPauseMs = 2_000;

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
  /** Called with one line for each failure. */
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
  /** Stops receiving, waits for running invocations, and makes messages that reached none visible again. */
  drain(): Promise<void>;
}

/** Starts feeding the function. */
export function startMapping(options: MappingOptions): RunningMapping {
  const counts: MappingCounts = { invocations: 0, received: 0, deleted: 0, failed: 0 };
  let stopping = false;
  /** Received messages that no batch has yet, in order of arrival. */
  const waiting: SQSRecord[] = [];
  /** One batch is gathered at a time, so that batches fill one after the other. */
  const gathering = pLimit(1);

  /** The next batch; empty when the mapping stops first. Throws if the queue cannot be reached and no message waits. */
  async function gather(): Promise<SQSRecord[]> {
    let windowEndsMs = Date.now() + options.batchingWindowMs;
    while (!stopping && !isComplete()) {
      if (waiting.length > 0 && Date.now() >= windowEndsMs) break;
      const isFirst = waiting.length === 0;
      const wanted = Math.min(sqsBatchSize, options.batchSize - waiting.length);
      let messages: Message[];
      try {
        messages = await options.sqs.receive(wanted, isFirst ? pollSeconds : 0);
      } catch (error) {
        if (isFirst) throw error;
        break;
      }
      if (isFirst) windowEndsMs = Date.now() + options.batchingWindowMs;
      counts.received += messages.length;
      waiting.push(...messages.map((message) => toRecord(message, options)));
      if (messages.length < wanted && !isFirst) await sleep(sparseQueuePauseMs);
    }
    return stopping ? [] : waiting.splice(0, fitting());
  }

  function isComplete(): boolean {
    return waiting.length >= options.batchSize || fitting() < waiting.length;
  }

  /** How many of the oldest waiting messages fit into one invocation. */
  function fitting(): number {
    let bytes = 0;
    const beyond = waiting.findIndex((record, index) => {
      bytes += Buffer.byteLength(record.body) + recordOverheadBytes;
      return index === options.batchSize || (index > 0 && bytes > largestPayloadBytes);
    });
    return beyond === -1 ? waiting.length : beyond;
  }

  /** Invokes the function. Returns the receipt handles of the messages that it processed. */
  async function process(batch: SQSRecord[]): Promise<string[]> {
    counts.invocations++;
    const failed = await failuresOf(batch);
    counts.failed += failed.size;
    return batch.filter(({ messageId }) => !failed.has(messageId)).map(({ receiptHandle }) => receiptHandle);
  }

  async function remove(handles: string[]): Promise<void> {
    let left = await options.sqs.delete(handles);
    // A delete that was not confirmed costs a duplicate delivery, so it is tried once more.
    if (left.length > 0) left = await options.sqs.delete(left);
    counts.deleted += handles.length - left.length;
    if (left.length > 0)
      options.report(
        `${options.functionName}: ${left.length} processed messages were not deleted; they will be delivered again`,
      );
  }

  /** The ids of the messages that stay in the queue. */
  async function failuresOf(batch: SQSRecord[]): Promise<Set<string>> {
    const all = new Set(batch.map(({ messageId }) => messageId));
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

  async function invoke(batch: SQSRecord[]): Promise<unknown> {
    const event: SQSEvent = { Records: [...batch] };
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

  /** Invokes the function with one batch after the other. */
  async function run(): Promise<void> {
    let pauseMs = outageFirstPauseMs;
    while (!stopping) {
      let batch: SQSRecord[];
      try {
        batch = await gathering(gather);
        pauseMs = outageFirstPauseMs;
      } catch (error) {
        if (pauseMs === outageFirstPauseMs) {
          options.report(`${options.functionName}: the queue is unreachable: ${(error as Error).message}`);
        }
        await sleep(pauseMs);
        pauseMs = Math.min(outageLongestPauseMs, pauseMs * 2);
        continue;
      }
      if (batch.length > 0) await remove(await process(batch));
    }
  }

  const runs = Array.from({ length: options.concurrency }, run);
  return {
    counts,
    async drain() {
      stopping = true;
      await Promise.all(runs);
      await options.sqs.release(waiting.splice(0).map(({ receiptHandle }) => receiptHandle)).catch(() => undefined);
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

function toRecord(message: Message, { queueArn, region }: MappingOptions): SQSRecord {
  const attributes = message.Attributes ?? {};
  return {
    messageId: message.MessageId ?? '',
    receiptHandle: message.ReceiptHandle ?? '',
    body: message.Body ?? '',
    attributes: {
      ApproximateReceiveCount: attributes.ApproximateReceiveCount ?? '1',
      SentTimestamp: attributes.SentTimestamp ?? '0',
      SenderId: attributes.SenderId ?? '',
      ApproximateFirstReceiveTimestamp: attributes.ApproximateFirstReceiveTimestamp ?? '0',
      ...(attributes.AWSTraceHeader ? { AWSTraceHeader: attributes.AWSTraceHeader } : {}),
      ...(attributes.DeadLetterQueueSourceArn ? { DeadLetterQueueSourceArn: attributes.DeadLetterQueueSourceArn } : {}),
    },
    messageAttributes: toAttributes(message),
    md5OfBody: message.MD5OfBody ?? '',
    eventSource: 'aws:sqs',
    eventSourceARN: queueArn,
    awsRegion: region,
  };
}

function toAttributes(message: Message): SQSMessageAttributes {
  const attributes: SQSMessageAttributes = {};
  for (const [name, value] of Object.entries(message.MessageAttributes ?? {})) {
    attributes[name] = {
      dataType: value.DataType as 'String',
      ...(value.StringValue === undefined ? {} : { stringValue: value.StringValue }),
      ...(value.BinaryValue === undefined ? {} : { binaryValue: Buffer.from(value.BinaryValue).toString('base64') }),
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
  throw new Error('nodejs24.x has no callbacks');
}
