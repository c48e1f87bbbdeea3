/** Long jobs in a test: events are kept instead of published, and messages are carried from the queue to their function. */
import { DeleteMessageCommand, ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import { BusEvent } from '#events/catalog.ts';
import { AdvanceTrigger, advance } from '#launch/advance.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { withDeps } from './deps.ts';
import { newId } from './ids.ts';

/** An environment whose events are kept, in the order in which they were published. */
export function keepingEvents(deps: Deps, overrides: Partial<Deps> = {}): { deps: Deps; kept: KeptEvents } {
  const kept = new KeptEvents();
  const bus: Deps['bus'] = {
    publish: async (events) => {
      for (const { detailType, detail } of events) kept.add(detailType, detail);
      return events.map(() => true);
    },
  };
  return { deps: withDeps(deps, { bus, ...overrides }), kept };
}

/** What was published. */
export class KeptEvents {
  /** The largest event, bytes. */
  largest = 0;
  /** How often each reservation was told of what: `reservation/kind/round`, or for a move `reservation/state`. */
  readonly told = new Map<string, number>();
  /** Of each reservation the announcements that it was told, in order. */
  readonly announced = new Map<string, string[]>();
  /** The events by which a queue function hears of released units. */
  readonly released: unknown[] = [];

  add(detailType: string, detail: string): void {
    this.largest = Math.max(this.largest, Buffer.byteLength(detail));
    const event = BusEvent.parse({ 'detail-type': detailType, detail: JSON.parse(detail) });
    if (event['detail-type'] === 'reservations.reminded') {
      const { reason, round, recipients } = event.detail;
      for (const { reservationId } of recipients) {
        this.#count(`${reservationId}/${reason}/${round ?? 0}`);
        this.announced.set(reservationId, [...(this.announced.get(reservationId) ?? []), reason]);
      }
    }
    if (event['detail-type'] === 'reservations.changed') {
      for (const { reservationId, to } of event.detail.changes) this.#count(`${reservationId}/${to}`);
      if (event.detail.released) {
        this.released.push({ 'detail-type': detailType, detail: JSON.parse(detail) });
      }
    }
  }

  /** How many reservations were told of this, and how many of them more than once. */
  count(what: string): { told: number; repeated: number } {
    const times = [...this.told].filter(([key]) => key.includes(`/${what}`)).map(([, count]) => count);
    return { told: times.length, repeated: times.filter((count) => count > 1).length };
  }

  #count(key: string): void {
    this.told.set(key, (this.told.get(key) ?? 0) + 1);
  }
}

/** Gives a trigger to the function, as its queue does. */
export async function trigger(deps: Deps, message: unknown, deadlineMs = deps.clock() + 9_000): Promise<void> {
  const delivered = {
    messageId: newId(),
    sentAtMs: deps.clock(),
    deliveries: 1,
    message: AdvanceTrigger.parse(message),
  };
  const failed = [...(await advance(deps, [delivered], deadlineMs))];
  if (failed.length > 0) throw new Error(`the function has failed on ${JSON.stringify(message)}`);
}

/**
 * Carries the messages of the queue `advance`, and the events of released units, to the function until none is left. Leaves
 * delayed messages. Returns how many were carried.
 */
export async function carryMessages(deps: Deps, kept: KeptEvents, deadlineMs?: () => number): Promise<number> {
  for (let carried = 0; ; ) {
    const messages: unknown[] = [...kept.released.splice(0), ...(await receive(deps))];
    if (messages.length === 0) return carried;
    for (const message of messages) await trigger(deps, message, deadlineMs?.());
    carried += messages.length;
  }
}

/** Takes the messages that can be received now out of the queue `advance`. */
export async function receive(deps: Deps): Promise<unknown[]> {
  const QueueUrl = deps.queue('advance').url;
  const received = await deps.sqs.send(new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10 }));
  const messages = received.Messages ?? [];
  await Promise.all(
    messages.map(({ ReceiptHandle }) => deps.sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }))),
  );
  return messages.map(({ Body = '{}' }) => JSON.parse(Body));
}
