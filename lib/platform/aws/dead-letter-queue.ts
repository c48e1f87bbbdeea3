/**
 * Dead-letter queues: sending messages there with the cause, listing them, and redriving them.
 *
 * A message is never deleted from a dead-letter queue before it is back in its source queue, so a redrive may deliver
 * twice but never loses a message; the consumers' inboxes make the second delivery harmless. A consumer that gives up on
 * a message writes the cause into its attributes, and so does EventBridge when it could not deliver an event. SQS records
 * no cause when it moves a message itself (at maxReceiveCount), so the causes of messages close to that are kept in Redis.
 *
 * SQS's own redrive (StartMessageMoveTask) moves a whole queue, not single messages, and gives them a new SentTimestamp: a
 * reservation that did not pass the gate would lose its place in line.
 */

import {
  DeleteMessageBatchCommand,
  type Message,
  type MessageAttributeValue,
  ReceiveMessageCommand,
} from '@aws-sdk/client-sqs';
import type { Clock } from '#platform/kernel/clock.ts';
import { log } from '#platform/kernel/log.ts';
import { locate, type Registry } from '#platform/kernel/registry.ts';
import { deadLetterLifeSeconds } from '#platform/kernel/time-limits.ts';
import { keys } from '#platform/redis/keys.ts';
import type { RedisClient } from '#platform/redis/redis.ts';
import { callLimit } from './client-settings.ts';
import { changeVisibility, inBatches, maxBatchSize, queueDepth } from './sqs.ts';
import type { SqsClient } from './sqs-client.ts';

/** Why a message became a dead letter. */
export interface Cause {
  /**
   * `unreadable`: not in the shape its consumer expects; `failed`: the consumer threw; `repeated`: the consumer asked for
   * it again each time; `unavailable`: a dependency of the consumer was unavailable; `undeliverable`: the bus could not
   * put it into the queue; `unknown`: no cause was recorded, as when the consumer was killed.
   */
  kind: 'unreadable' | 'failed' | 'repeated' | 'unavailable' | 'undeliverable' | 'unknown';
  detail: string;
}

export interface DeadLetter {
  /** The queue that it was meant for. */
  queue: string;
  messageId: string;
  sentAtMs: number;
  /** How many times it has been received, listings included. */
  deliveries: number;
  cause: Cause;
  body: string;
}

/** What the verbs here need. */
export interface DeadLetterNeeds {
  readonly sqs: SqsClient;
  readonly redis: RedisClient;
  readonly registry: Registry;
  readonly clock: Clock;
}

/** Keeps the time at which a message was first sent across a redrive: it may determine a customer's place in line. */
export const firstSentAttribute = 'firstSentAtMs';

/** Holds why a consumer gave up on a message. */
const causeAttribute = 'cause';

/** Visibility timeouts while dead letters are listed or redriven; what stays is made visible again right afterwards. */
const listingSeconds = 10;
const redrivingSeconds = 60;

/** The queues that have a dead-letter queue, by their names in `serverless.yml`. */
export function deadLetterQueues(registry: Registry): string[] {
  return Object.keys(registry)
    .filter((name) => name.startsWith('dead/'))
    .map((name) => name.slice('dead/'.length))
    .sort();
}

/** Stores the latest cause of each message's failure for operators. Never throws: the causes are informational. */
export async function noteCauses(redis: RedisClient, causes: ReadonlyMap<string, Cause>): Promise<void> {
  if (causes.size === 0) return;
  try {
    await redis.guarded(() => {
      const pipeline = redis.pipeline();
      for (const [messageId, cause] of causes) {
        pipeline.set(keys.cause(messageId), JSON.stringify(cause), 'EX', deadLetterLifeSeconds);
      }
      return pipeline.exec();
    });
  } catch {
    // Without it the dead letter's cause reads "unknown"; the log still has it.
  }
}

/** A message that its consumer gives up on, and why. */
export interface GivenUp {
  readonly messageId: string;
  readonly body: string;
  /** When SQS first accepted it. */
  readonly firstSentAtMs: number;
  readonly cause: Cause;
}

/**
 * Sends messages to the dead-letter queue of their queue, each with its cause. Returns the ids of those that arrived
 * there and may be acknowledged; the others will be delivered again. Never throws.
 */
export async function sendToDeadLetterQueue(
  { sqs, registry }: Pick<DeadLetterNeeds, 'sqs' | 'registry'>,
  queue: string,
  messages: readonly GivenUp[],
): Promise<Set<string>> {
  const sent = new Set<string>();
  const QueueUrl = registry[`dead/${queue}`];
  if (!QueueUrl) return sent;
  for (const batch of inBatches(messages)) {
    const Entries = batch.map(({ body, firstSentAtMs, cause }, index) => ({
      Id: String(index),
      MessageBody: body,
      MessageAttributes: {
        [firstSentAttribute]: numberAttribute(firstSentAtMs),
        [causeAttribute]: { DataType: 'String', StringValue: JSON.stringify(cause) },
      },
    }));
    try {
      const { Successful = [] } = await sqs.sendMessages(QueueUrl, Entries);
      for (const { Id } of Successful) sent.add(batch[Number(Id)]?.messageId ?? '');
    } catch (error) {
      log.warn('messages did not reach the dead-letter queue; they come again', { error, messages: batch.length });
    }
  }
  return sent;
}

const numberAttribute = (value: number): MessageAttributeValue => ({ DataType: 'Number', StringValue: String(value) });

/** Up to `limit` dead letters of a queue, with their causes. They stay in the queue. */
export async function listDeadLetters(deps: DeadLetterNeeds, queue: string, limit: number): Promise<DeadLetter[]> {
  const letters = new Map<string, Message>();
  await eachBatch(deps, queue, listingSeconds, Number.POSITIVE_INFINITY, async (batch) => {
    for (const message of batch) if (message.MessageId) letters.set(message.MessageId, message);
    return { keep: batch, goOn: letters.size < limit };
  });
  const shown = [...letters.values()].slice(0, limit);
  const causes = await readCauses(deps.redis, shown);
  return shown.map((message, index) => ({
    queue,
    messageId: message.MessageId ?? '',
    sentAtMs: Number(message.Attributes?.SentTimestamp ?? 0),
    deliveries: Number(message.Attributes?.ApproximateReceiveCount ?? 0),
    cause: causes[index] ?? unknownCause,
    body: message.Body ?? '',
  }));
}

/**
 * Sends dead letters back to their source queue: those named, or all. Stops at the deadline; the rest can be redriven by
 * repeating the call. A dead letter that is not in the queue (any more) is not an error. Returns the ids that were sent.
 */
export async function redriveDeadLetters(
  deps: DeadLetterNeeds,
  queue: string,
  which: ReadonlySet<string> | 'all',
  deadlineMs: number,
): Promise<string[]> {
  const redriven = new Set<string>();
  await eachBatch(deps, queue, redrivingSeconds, deadlineMs, async (batch) => {
    const wanted = batch.filter(({ MessageId: id = '' }) => which === 'all' || which.has(id));
    const sent = await sendBack(deps, queue, wanted);
    for (const { MessageId: id } of sent) if (id) redriven.add(id);
    return {
      keep: batch.filter((message) => !sent.includes(message)),
      goOn: which === 'all' || redriven.size < which.size,
    };
  });
  return [...redriven];
}

/**
 * Receives the dead letters of a queue batch by batch, each once, until there are no more, the deadline is reached or
 * `visit` ends it (`goOn` is false); then makes those that were kept visible again.
 */
async function eachBatch(
  { sqs, registry, clock }: DeadLetterNeeds,
  queue: string,
  visibilitySeconds: number,
  deadlineMs: number,
  visit: (batch: Message[]) => Promise<{ keep: Message[]; goOn: boolean }>,
): Promise<void> {
  const url = locate(registry, `dead/${queue}`);
  const kept: Message[] = [];
  let { waiting } = await queueDepth(sqs, url);
  try {
    for (let goOn = true; goOn && waiting > 0 && clock() < deadlineMs; ) {
      const { Messages: batch = [] } = await sqs.send(
        new ReceiveMessageCommand({
          QueueUrl: url,
          MaxNumberOfMessages: maxBatchSize,
          VisibilityTimeout: visibilitySeconds,
          // Long polling queries every server of the queue; a short poll may miss messages.
          WaitTimeSeconds: 1,
          MessageSystemAttributeNames: ['SentTimestamp', 'ApproximateReceiveCount'],
          MessageAttributeNames: ['All'],
        }),
        callLimit(),
      );
      if (batch.length === 0) break;
      waiting -= batch.length;
      const visited = await visit(batch);
      kept.push(...visited.keep);
      goOn = visited.goOn;
    }
  } finally {
    await changeVisibility(
      sqs,
      url,
      kept.map(({ ReceiptHandle }) => ({ receiptHandle: ReceiptHandle, visibilitySeconds: 0 })),
    );
  }
}

/** Sends messages to their source queue, then deletes the dead letters that the queue accepted; returns those. */
async function sendBack({ sqs, registry }: DeadLetterNeeds, queue: string, letters: Message[]): Promise<Message[]> {
  if (letters.length === 0) return [];
  const { Successful = [] } = await sqs.sendMessages(
    locate(registry, `queue/${queue}`),
    letters.map((letter, index) => ({
      Id: String(index),
      MessageBody: letter.Body,
      MessageAttributes: {
        [firstSentAttribute]:
          letter.MessageAttributes?.[firstSentAttribute] ?? numberAttribute(Number(letter.Attributes?.SentTimestamp)),
      },
    })),
  );
  const sent = Successful.map(({ Id }) => letters[Number(Id)]).filter((letter) => letter !== undefined);
  if (sent.length === 0) return [];
  await sqs.send(
    new DeleteMessageBatchCommand({
      QueueUrl: locate(registry, `dead/${queue}`),
      Entries: sent.map((letter, index) => ({ Id: String(index), ReceiptHandle: letter.ReceiptHandle })),
    }),
    callLimit(),
  );
  return sent;
}

const unknownCause: Cause = {
  kind: 'unknown',
  detail:
    'No cause was recorded: the function was killed or ran out of time, or Redis was unavailable. Search the logs for the id.',
};

async function readCauses(redis: RedisClient, messages: Message[]): Promise<Cause[]> {
  const noted =
    messages.length === 0
      ? []
      : await redis
          .guarded(() => redis.mget(messages.map(({ MessageId: id = '' }) => keys.cause(id))))
          .catch(() => [] as null[]);
  return messages.map(({ MessageAttributes: attributes }, index) => {
    const code = attributes?.ERROR_CODE?.StringValue;
    if (code) {
      const rule = attributes?.RULE_ARN?.StringValue?.split('/').at(-1) ?? 'a rule';
      const said = attributes?.ERROR_MESSAGE?.StringValue ?? '';
      return { kind: 'undeliverable', detail: `${rule} could not deliver the event: ${code} ${said}`.trim() };
    }
    const written = attributes?.[causeAttribute]?.StringValue;
    if (written) return JSON.parse(written) as Cause;
    const note = noted[index];
    return note ? (JSON.parse(note) as Cause) : unknownCause;
  });
}
