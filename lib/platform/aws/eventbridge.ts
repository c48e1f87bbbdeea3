/**
 * EventBridge: publishing events.
 */
import { EventBridgeClient, PutEventsCommand, type PutEventsResultEntry } from '@aws-sdk/client-eventbridge';
import { type Breakers, openBreakers } from '#platform/resilience/circuit-breaker.ts';
import { callLimit, clientSettings } from './client-settings.ts';

/** PutEvents accepts at most ten entries, and at most 256 KiB in total, per call. */
const entriesPerCall = 10;
const bytesPerCall = 256 * 1024;

/** An event on its way to the bus. */
export interface OutgoingEvent {
  detailType: string;
  /** JSON. */
  detail: string;
}

export interface Bus {
  /**
   * Publishes events; the result says for each, in order, whether the bus accepted it. PutEvents fails entry by entry, so
   * a successful call proves nothing about a single event. Never throws for a failed call: all its entries are false.
   */
  publish(events: OutgoingEvent[]): Promise<boolean[]>;
}

/** The bus, with Holdfast as the source of its events. */
export function openBus(busName: string, source: string, breakers: Breakers = openBreakers()): Bus {
  const client = new EventBridgeClient(clientSettings);
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
          callLimit(),
        ),
      );
      return entries.map((_, index) => isPublished(answer.Entries?.[index]));
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

/** Whether the bus accepted an event, by its entry in the result of PutEvents. */
export function isPublished(result: PutEventsResultEntry | undefined): boolean {
  return result !== undefined && !result.ErrorCode && result.EventId !== undefined;
}

interface Entry {
  detailType: string;
  detail: string;
  bytes: number;
}

/** Divides entries, in order, into calls within the limits. An entry that is too large is sent, and fails, alone. */
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
