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
import type { Message } from '@aws-sdk/client-sqs';
import type { Context, SQSEvent, SQSMessageAttributes, SQSRecord } from 'aws-lambda';
import { SQS_BATCH, type SqsPort } from './sqs.ts';

/** Lambda hands a function no more than this in one invocation. */
const LARGEST_PAYLOAD_BYTES = 6 * 1024 * 1024;
/** What a record adds to its body: ids, attributes and punctuation. */
const RECORD_OVERHEAD_BYTES = 600;

/** One long poll. Short, because it is also how long a drain may have to wait. */
const POLL_SECONDS = 1;
/** How many receives are under way at once when the queue is full. */
const MOST_RECEIVES = 32;
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
  /** Messages that were received and are in no batch yet, in the order in which they came, and their size in a batch. */
  const waiting: SQSRecord[] = [];
  let waitingBytes = 0;
  /** Receives that are under way, and how many messages they may bring. */
  const polls = new Set<Promise<void>>();
  let awaited = 0;
  /** How many receives at once the queue is worth: one more when it gave all that was asked for, one fewer when not. */
  let worth = 1;
  /** Why the latest receive failed, until one succeeds. */
  let outage: unknown;
  /** Wakes the gathering now under way: a receive has ended, or its window has. */
  let wake: () => void = () => undefined;
  /** The end of the gathering now under way: lanes take turns, so that batches fill one after the other. */
  let turn: Promise<unknown> = Promise.resolve();

  function gatherInTurn(): Promise<SQSRecord[]> {
    const mine = turn.then(gather);
    turn = mine.catch(() => undefined);
    return mine;
  }

  /** The next batch; none if it stopped before there was one. Throws if the queue cannot be reached and nothing waits. */
  async function gather(): Promise<SQSRecord[]> {
    let window: NodeJS.Timeout | undefined;
    let windowOver = options.batchingWindowMs === 0;
    while (!stopping) {
      if (waiting.length > 0) {
        if (windowOver || isComplete()) {
          clearTimeout(window);
          return cut();
        }
        window ??= setTimeout(() => {
          windowOver = true;
          wake();
        }, options.batchingWindowMs).unref();
      }
      startPolls();
      // Not a race of all receives: each that ended would leave something behind at every other.
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      if (outage !== undefined && waiting.length === 0) {
        const reason = outage;
        outage = undefined;
        throw reason;
      }
    }
    return [];
  }

  function isComplete(): boolean {
    return waiting.length >= options.batchSize || waitingBytes > LARGEST_PAYLOAD_BYTES;
  }

  /** The longest batch that the oldest waiting messages make. */
  function cut(): SQSRecord[] {
    let length = 0;
    let bytes = 0;
    for (const record of waiting) {
      const size = sizeOf(record);
      if (length === options.batchSize || (length > 0 && bytes + size > LARGEST_PAYLOAD_BYTES)) break;
      length++;
      bytes += size;
    }
    waitingBytes -= bytes;
    return waiting.splice(0, length);
  }

  /** Starts as many receives as the queue is worth and the batch has room for. */
  function startPolls(): void {
    for (;;) {
      const room = options.batchSize - waiting.length - awaited;
      if (room <= 0 || polls.size >= worth) return;
      // One that has nothing to wait with waits in the queue; whoever completes a batch asks for what is there.
      const waitSeconds = waiting.length === 0 && polls.size === 0 ? POLL_SECONDS : 0;
      const poll: Promise<void> = receive(Math.min(SQS_BATCH, room), waitSeconds).then(() => {
        polls.delete(poll);
        wake();
      });
      polls.add(poll);
    }
  }

  /** One receive, and the pause after it if there was little to be had. Never throws. */
  async function receive(max: number, waitSeconds: number): Promise<void> {
    awaited += max;
    let messages: Message[] = [];
    try {
      messages = await options.sqs.receive(max, waitSeconds);
      outage = undefined;
    } catch (error) {
      outage = error;
    }
    awaited -= max;
    counts.received += messages.length;
    for (const message of messages) {
      const record = toRecord(message, options);
      waiting.push(record);
      waitingBytes += sizeOf(record);
    }
    if (messages.length === max) {
      worth = Math.min(MOST_RECEIVES, worth + 1);
    } else {
      worth = Math.max(1, worth - 1);
      if (messages.length < max / 2 && waitSeconds === 0) await sleep(TRICKLE_PAUSE_MS);
    }
  }

  /** Has the function take a batch. Returns what it took. */
  async function process(batch: SQSRecord[]): Promise<string[]> {
    counts.invocations++;
    const failed = await failuresOf(batch);
    counts.failed += failed.size;
    return batch.filter(({ messageId }) => !failed.has(messageId)).map(({ receiptHandle }) => receiptHandle);
  }

  async function remove(handles: string[]): Promise<void> {
    let left = await options.sqs.delete(handles);
    // A delete that was not confirmed costs a duplicate delivery, so it is worth one more try.
    if (left.length > 0) left = await options.sqs.delete(left);
    counts.deleted += handles.length - left.length;
    if (left.length > 0)
      options.report(`${options.functionName}: ${left.length} messages done but not deleted; they will come again`);
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

  async function lane(): Promise<void> {
    let pauseMs = OUTAGE_FIRST_PAUSE_MS;
    let removing: Promise<void> | undefined;
    while (!stopping) {
      let batch: SQSRecord[];
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
      const done = await process(batch);
      // The function is free as soon as it has answered: it need not wait for the deletes, but only for one batch's.
      await removing;
      removing = remove(done);
    }
    await removing;
  }

  const lanes = Array.from({ length: options.concurrency }, lane);
  return {
    counts,
    async drain() {
      stopping = true;
      await Promise.all(lanes);
      await Promise.all(polls);
      await options.sqs.release(waiting.splice(0).map(({ receiptHandle }) => receiptHandle)).catch(() => undefined);
    },
  };
}

/** What a message takes of a payload. */
function sizeOf({ body }: SQSRecord): number {
  return Buffer.byteLength(body) + RECORD_OVERHEAD_BYTES;
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
  throw new Error('callbacks of the old Node.js runtimes do not exist in nodejs24.x');
}
