/**
 * From events to deliveries: what an event says is written once, with a delivery for each endpoint that wants it, before
 * anything is sent. An event that comes twice changes nothing the second time.
 */
import type { BusEvent } from '#events/catalog.ts';
import type { Label } from '#labels/label.shapes.ts';
import { readLabels, type SubjectId, withoutMetadataOfGone } from '#labels/label.store.ts';
import type { Needs } from '#platform/environment/deps.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { insertDeliveries } from './delivery.store.ts';
import { type Endpoint, type EndpointId, listEndpoints } from './endpoint.store.ts';
import { insertMessages, type WebhookMessage } from './message.store.ts';
import { type LabelsOf, messagesOf, ownersOf, subjectsOf } from './message.ts';

/** Writes what a batch of events has to be told to endpoints. Returns the endpoints that have something to get now. */
export async function recordEvents(
  { db, clock }: Needs<'db' | 'clock'>,
  events: readonly BusEvent[],
): Promise<EndpointId[]> {
  if (events.length === 0) return [];
  const endpoints = await listEndpoints(db);
  if (endpoints.length === 0) return [];
  const isWanted = ({ 'detail-type': type }: BusEvent) => endpoints.some((endpoint) => wants(endpoint, { type }));
  const told = events.filter(isWanted);
  if (told.length === 0) return [];
  const read = await readLabels(db, [...new Set(told.flatMap(subjectsOf))]);
  const wanted = await db.transaction(async (tx) => {
    const labels = await labelsToTell(tx, told, read);
    const messages = new Map(
      told.flatMap((event) => messagesOf(event, labels)).map((message) => [message.messageId, message]),
    );
    const ordered = [...messages.values()].flatMap((message) =>
      endpoints.filter((endpoint) => wants(endpoint, message)).map((endpoint) => ({ endpoint, message })),
    );
    await insertMessages(tx, [...messages.values()]);
    await insertDeliveries(
      tx,
      ordered.map(({ endpoint: { endpointId }, message: { messageId } }) => ({ endpointId, messageId })),
      clock(),
    );
    return ordered;
  });
  const active = wanted.filter(({ endpoint }) => endpoint.state === 'active');
  return [...new Set(active.map(({ endpoint }) => endpoint.endpointId))];
}

/** Labels as they may be told: their customers may have deleted their accounts since they were read. */
async function labelsToTell(tx: Tx, events: readonly BusEvent[], read: LabelsOf): Promise<LabelsOf> {
  const owners = new Map(events.flatMap(ownersOf));
  const owned = [...read].flatMap(([subjectId, label]) => {
    const customerId = owners.get(subjectId);
    return customerId === undefined ? [] : [{ subjectId, customerId, label }];
  });
  const kept = await withoutMetadataOfGone(tx, owned);
  return new Map([...read, ...kept.map(({ subjectId, label }): [SubjectId, Label] => [subjectId, label])]);
}

/** Whether an endpoint's filter lets a message through. One that is not active gets it when it is again. */
export function wants({ events }: Pick<Endpoint, 'events'>, { type }: Pick<WebhookMessage, 'type'>): boolean {
  return (events as readonly string[]).includes(type);
}
