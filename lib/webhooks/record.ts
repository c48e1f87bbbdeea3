/**
 * From events to deliveries: what an event says is written once, with a delivery for each endpoint that wants it, before
 * anything is sent. An event that comes twice changes nothing the second time.
 */
import type { BusEvent } from '#events/catalog.ts';
import { readLabels } from '#labels/label.store.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { insertDeliveries } from './delivery.store.ts';
import { type Endpoint, type EndpointId, listEndpoints } from './endpoint.store.ts';
import { insertMessages, type WebhookMessage } from './message.store.ts';
import { messagesOf, subjectsOf } from './message.ts';

/** Writes what a batch of events has to be told to endpoints. Returns the endpoints that have something to get now. */
export async function recordEvents(
  { db, clock }: Needs<'db' | 'clock'>,
  events: readonly BusEvent[],
): Promise<EndpointId[]> {
  if (events.length === 0) return [];
  const endpoints = await listEndpoints(db);
  if (endpoints.length === 0) return [];
  const labels = await readLabels(db, [...new Set(events.flatMap(subjectsOf))]);
  const messages = new Map(
    events.flatMap((event) => messagesOf(event, labels)).map((message) => [message.messageId, message]),
  );
  const wanted = [...messages.values()].flatMap((message) =>
    endpoints.filter((endpoint) => wants(endpoint, message)).map((endpoint) => ({ endpoint, message })),
  );
  if (wanted.length === 0) return [];
  await db.transaction(async (tx) => {
    await insertMessages(tx, [...new Set(wanted.map(({ message }) => message))]);
    await insertDeliveries(
      tx,
      wanted.map(({ endpoint: { endpointId }, message: { messageId } }) => ({ endpointId, messageId })),
      clock(),
    );
  });
  const active = wanted.filter(({ endpoint }) => endpoint.state === 'active');
  return [...new Set(active.map(({ endpoint }) => endpoint.endpointId))];
}

/** Whether an endpoint's filter lets a message through. One that is not active gets it when it is again. */
export function wants({ events }: Pick<Endpoint, 'events'>, { type }: Pick<WebhookMessage, 'type'>): boolean {
  return (events as readonly string[]).includes(type);
}
