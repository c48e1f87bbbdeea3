/**
 * SQS and EventBridge through the AWS SDK. The endpoint is the environment's (`AWS_ENDPOINT_URL_SQS`,
 * `AWS_ENDPOINT_URL_EVENTBRIDGE`), so there is no local branch anywhere.
 *
 * Sending coalesces: a message goes out at once while fewer than `partSendsInFlight` calls are under way, and otherwise
 * travels with up to nine others in the next call, as soon as ten are together or a call has come back. Where an
 * environment serves one request at a time nothing is ever delayed; where it serves many, the cost of a call is shared by
 * ten. When the queue takes less than is sent, whoever would have to wait long is turned away at once: work that is done
 * late is done for nobody.
 */
import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { SendMessageBatchCommand, SQSClient } from '@aws-sdk/client-sqs';
import { Fault } from '#platform/kernel/errors.ts';
import { awsCallTimeoutMs } from '#platform/kernel/time-limits.ts';
import { type Breakers, openBreakers } from '#platform/resilience/circuit-breaker.ts';
import { publishBriefly, sendBriefly } from './brief.ts';

/** SQS takes at most ten messages, and at most 1 MiB, in a batch. */
const messagesPerBatch = 10;
const sendsInFlight = 4;
/** While so many calls are under way, fewer than ten messages wait for more to come. */
const partSendsInFlight = 2;
/** Once a message has waited this long to be sent, no further one is taken until it is gone. */
const longestWaitMs = 1_000;
/** PutEvents takes at most ten entries, and at most 256 KiB of them together, in a call. */
const entriesPerCall = 10;
const bytesPerCall = 256 * 1024;

const sdkDefaults = { maxAttempts: 2, requestHandler: { requestTimeout: awsCallTimeoutMs, connectionTimeout: 1_000 } };

/** A message to a queue: any JSON, and how long SQS holds it back (0 to 900 seconds). */
export interface OutgoingMessage {
  body: unknown;
  delaySeconds?: number;
}

export interface Queue {
  readonly url: string;
  /**
   * Resolves once SQS has taken the message. Throws a `Fault` (`queue_unavailable`) if it has not, or may not have; at
   * once, if so many are waiting already that it would come too late.
   */
  send(message: OutgoingMessage): Promise<void>;
  /** Sends many, however long that takes; resolves once all are taken, throws if any was not. */
  sendAll(messages: OutgoingMessage[]): Promise<void>;
}

/** The SDK's client for SQS, for those who need its other calls (dead letters, queue depth). */
export function openSqs(): SQSClient {
  return sendBriefly(new SQSClient(sdkDefaults));
}

/** A queue to send to. */
export function openQueue(client: SQSClient, url: string, breakers: Breakers = openBreakers()): Queue {
  const guard = breakers.get('sqs', { resetTimeoutMs: 1_000 });
  type Waiting = { message: OutgoingMessage; sinceMs: number; resolve: () => void; reject: (error: unknown) => void };
  let waiting: Waiting[] = [];
  let inFlight = 0;
  let scheduled = false;

  function schedule(): void {
    if (scheduled) return;
    scheduled = true;
    // Everything that arrives in this turn of the event loop shares the next call.
    setImmediate(() => {
      scheduled = false;
      while (waiting.length > 0 && inFlight < (waiting.length < messagesPerBatch ? partSendsInFlight : sendsInFlight)) {
        const batch = waiting.slice(0, messagesPerBatch);
        waiting = waiting.slice(messagesPerBatch);
        inFlight++;
        void dispatch(batch).finally(() => {
          inFlight--;
          if (waiting.length > 0) schedule();
        });
      }
    });
  }

  async function dispatch(batch: Waiting[]): Promise<void> {
    try {
      const answer = await guard.run(() =>
        client.send(
          new SendMessageBatchCommand({
            QueueUrl: url,
            Entries: batch.map(({ message: { body, delaySeconds } }, index) => ({
              Id: String(index),
              MessageBody: JSON.stringify(body),
              ...(delaySeconds ? { DelaySeconds: delaySeconds } : {}),
            })),
          }),
        ),
      );
      const taken = new Set((answer.Successful ?? []).map((entry) => entry.Id));
      batch.forEach(({ resolve, reject }, index) => {
        if (taken.has(String(index))) resolve();
        else reject(new Fault('queue_unavailable', 'the queue did not take the message'));
      });
    } catch (cause) {
      for (const { reject } of batch) {
        reject(new Fault('queue_unavailable', 'the queue cannot be reached', { cause }));
      }
    }
  }

  const enqueue = (message: OutgoingMessage) =>
    new Promise<void>((resolve, reject) => {
      waiting.push({ message, sinceMs: Date.now(), resolve, reject });
      schedule();
    });

  return {
    url,
    send: (message) => {
      const [first] = waiting;
      if (first && Date.now() - first.sinceMs > longestWaitMs) {
        return Promise.reject(new Fault('queue_unavailable', 'more is sent than the queue takes'));
      }
      return enqueue(message);
    },
    sendAll: async (messages) => {
      await Promise.all(messages.map(enqueue));
    },
  };
}

/** An event on its way to the bus. */
export interface OutgoingEvent {
  detailType: string;
  /** JSON. */
  detail: string;
}

export interface Bus {
  /**
   * Publishes events; the result says for each, in order, whether the bus took it. PutEvents fails entry by entry, so
   * a call that succeeded proves nothing about a single event. Never throws for a failed call: all its entries are false.
   */
  publish(events: OutgoingEvent[]): Promise<boolean[]>;
}

/** The bus, with Holdfast as the source of its events. */
export function openBus(busName: string, source: string, breakers: Breakers = openBreakers()): Bus {
  const client = publishBriefly(new EventBridgeClient(sdkDefaults));
  const guard = breakers.get('eventbridge', { resetTimeoutMs: 1_000 });

  async function put(entries: Entry[]): Promise<boolean[]> {
    try {
      const answer = await guard.run(() =>
        client.send(
          new PutEventsCommand({
            Entries: entries.map(({ detailType, detail }) => ({
              EventBusName: busName,
              Source: source,
              DetailType: detailType,
              Detail: detail,
            })),
          }),
        ),
      );
      return entries.map((_, index) => {
        const result = answer.Entries?.[index];
        return result !== undefined && !result.ErrorCode && result.EventId !== undefined;
      });
    } catch {
      return entries.map(() => false);
    }
  }

  return {
    async publish(events) {
      const calls = groupEntries(
        events.map(({ detailType, detail }) => ({
          detailType,
          detail,
          bytes: Buffer.byteLength(detail) + Buffer.byteLength(detailType + source),
        })),
      );
      return (await Promise.all(calls.map(put))).flat();
    },
  };
}

interface Entry {
  detailType: string;
  detail: string;
  bytes: number;
}

/** Divides entries, in order, into calls that the bus will take. An entry that is too large goes alone, and fails alone. */
function groupEntries(entries: Entry[]): Entry[][] {
  const calls: Entry[][] = [];
  let bytes = 0;
  for (const entry of entries) {
    const call = calls.at(-1);
    if (call && call.length < entriesPerCall && bytes + entry.bytes <= bytesPerCall) {
      call.push(entry);
      bytes += entry.bytes;
    } else {
      calls.push([entry]);
      bytes = entry.bytes;
    }
  }
  return calls;
}
