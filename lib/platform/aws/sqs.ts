/**
 * SQS: sending to a queue, reading its depth, and changing the visibility of messages.
 *
 * Where an environment serves one request at a time, each message is sent at once. Where it serves many, messages that
 * arrive while `maxSendsInFlight` calls are in flight are batched, ten to a call. When messages arrive faster than the
 * queue accepts them, a message that would have to wait long is refused at once: its client would have given up.
 */
import { ChangeMessageVisibilityBatchCommand, GetQueueAttributesCommand, type SQSClient } from '@aws-sdk/client-sqs';
import { Fault } from '#platform/kernel/errors.ts';
import { batched } from '#platform/resilience/batcher.ts';
import { type Breakers, openBreakers } from '#platform/resilience/circuit-breaker.ts';
import { callLimit, clientSettings } from './client-settings.ts';
import { type Sent, SqsClient } from './sqs-client.ts';

/** SQS accepts, and returns, at most ten messages per call. */
export const maxBatchSize = 10;
const maxSendsInFlight = 4;
/** Once a message has waited this long to be sent, no further one is accepted until it is sent. */
const longestWaitMs = 1_000;

/** A message to a queue: any JSON, and for how long SQS delays it (0 to 900 seconds). */
export interface OutgoingMessage {
  body: unknown;
  delaySeconds?: number;
}

export interface Queue {
  readonly url: string;
  /**
   * Resolves once SQS has accepted the message. Throws a `Fault` (`queue_unavailable`) if it has not, or may not have; at
   * once, if there is a backlog of messages to be sent.
   */
  send(message: OutgoingMessage): Promise<void>;
  /** Sends many, however long that takes; resolves once all are accepted, throws if any was not. */
  sendAll(messages: OutgoingMessage[]): Promise<void>;
}

/** The client for SQS. */
export function openSqs(): SqsClient {
  return new SqsClient(clientSettings);
}

/** A queue to send to. */
export function openQueue(
  client: Pick<SqsClient, 'sendMessages'>,
  url: string,
  breakers: Breakers = openBreakers(),
): Queue {
  const guard = breakers.get('sqs', { resetTimeoutMs: 1_000 });
  /** When each message that is not being sent yet began to wait, oldest first. */
  const waitingSinceMs: number[] = [];

  async function sendBatch(messages: readonly OutgoingMessage[]): Promise<(undefined | Fault)[]> {
    waitingSinceMs.splice(0, messages.length);
    const Entries = messages.map(({ body, delaySeconds }, index) => ({
      Id: String(index),
      MessageBody: inAscii(JSON.stringify(body)),
      ...(delaySeconds ? { DelaySeconds: delaySeconds } : {}),
    }));
    let taken: Set<string | undefined>;
    try {
      taken = acceptedIds(await guard.run(() => client.sendMessages(url, Entries)));
    } catch (cause) {
      throw new Fault('queue_unavailable', 'the queue cannot be reached', { cause });
    }
    return Entries.map(({ Id }) =>
      taken.has(Id) ? undefined : new Fault('queue_unavailable', 'the queue did not accept the message'),
    );
  }

  const addToBatch = batched<OutgoingMessage, undefined>(sendBatch, { maxBatchSize, maxInFlight: maxSendsInFlight });
  const enqueue = async (message: OutgoingMessage): Promise<void> => {
    waitingSinceMs.push(performance.now());
    await addToBatch(message);
  };

  return {
    url,
    send: async (message) => {
      const [oldest] = waitingSinceMs;
      if (oldest !== undefined && isBacklogged(oldest)) {
        throw new Fault('queue_unavailable', 'messages arrive faster than the queue accepts them');
      }
      await enqueue(message);
    },
    sendAll: async (messages) => {
      await Promise.all(messages.map(enqueue));
    },
  };
}

/**
 * JSON that says the same in ASCII. SQS does not take every character that a text may have, and one that it refuses would fail on
 * our side, whoever repeats the request.
 */
export function inAscii(json: string): string {
  return json.replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** The ids of the entries that SQS accepted. */
export function acceptedIds({ Successful = [] }: Sent): Set<string | undefined> {
  return new Set(Successful.map(({ Id }) => Id));
}

/** Whether there is a backlog of messages to be sent, given when the oldest began to wait (`performance.now()`). */
export function isBacklogged(waitingSinceMs: number): boolean {
  return performance.now() - waitingSinceMs > longestWaitMs;
}

/** Approximately how many messages a queue holds: SQS itself only estimates. */
export interface QueueDepth {
  waiting: number;
  inFlight: number;
  delayed: number;
}

/** Approximately how many messages of a queue are waiting, in flight, and delayed. */
export async function queueDepth(sqs: SQSClient, url: string): Promise<QueueDepth> {
  const { Attributes } = await sqs.send(
    new GetQueueAttributesCommand({
      QueueUrl: url,
      AttributeNames: [
        'ApproximateNumberOfMessages',
        'ApproximateNumberOfMessagesNotVisible',
        'ApproximateNumberOfMessagesDelayed',
      ],
    }),
    callLimit(),
  );
  return {
    waiting: Number(Attributes?.ApproximateNumberOfMessages ?? 0),
    inFlight: Number(Attributes?.ApproximateNumberOfMessagesNotVisible ?? 0),
    delayed: Number(Attributes?.ApproximateNumberOfMessagesDelayed ?? 0),
  };
}

/**
 * Sets the visibility timeout of received messages, from now on. Never throws: those for which it fails become visible
 * when their current visibility timeout ends.
 */
export async function changeVisibility(
  sqs: SQSClient,
  url: string,
  messages: readonly { receiptHandle: string | undefined; visibilitySeconds: number }[],
): Promise<void> {
  const calls = inBatches(messages).map((batch) => {
    const Entries = batch.map(({ receiptHandle, visibilitySeconds }, index) => ({
      Id: String(index),
      ReceiptHandle: receiptHandle,
      VisibilityTimeout: visibilitySeconds,
    }));
    return sqs.send(new ChangeMessageVisibilityBatchCommand({ QueueUrl: url, Entries }), callLimit());
  });
  await Promise.allSettled(calls);
}

/** Divides items, in order, into batches of the size that SQS accepts in a call. */
export function inBatches<T>(items: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(items.length / maxBatchSize) }, (_, index) =>
    items.slice(index * maxBatchSize, (index + 1) * maxBatchSize),
  );
}
