/**
 * The deliver worker: events become deliveries of endpoints, and what is due is sent.
 *
 * Events are written first and sent after, so that no receiver, however slow, keeps an event from being written. A failure to
 * send loses nothing: what is due stays due, and the minute's rule asks again. Called by functions/queue/deliver.ts.
 */
import pLimit from 'p-limit';
import * as z from 'zod';
import { BusEvent } from '#events/catalog.ts';
import type { Delivered, MustRepeat } from '#platform/handlers/queue.ts';
import { log } from '#platform/kernel/log.ts';
import { EndpointCommand, RedeliveryCommand, sendEndpoints } from './commands.ts';
import type { EndpointId } from './endpoint.store.ts';
import { tick } from './minute-rule.ts';
import { recordEvents } from './record.ts';
import { continueRedelivery } from './redelivery.ts';
import { serveEndpoint, type TurnNeeds } from './send-due.ts';

/** The triggers: an event, a command, or the rule's tick. */
export const WebhookTrigger = z.union([
  EndpointCommand,
  RedeliveryCommand,
  BusEvent,
  z.object({ 'detail-type': z.literal('Scheduled Event') }),
]);
export type WebhookTrigger = z.infer<typeof WebhookTrigger>;

/** How many endpoints one invocation serves at once; it asks others to serve the rest. */
const endpointsAtOnce = 10;

/** Does what a batch of triggers asks for. Throws if events could not be written; then nothing was sent. */
export async function deliverWebhooks(
  deps: TurnNeeds,
  batch: readonly Delivered<WebhookTrigger>[],
  deadlineMs: number,
): Promise<MustRepeat> {
  const messages = batch.map(({ message }) => message);
  const due = new Set<EndpointId>(await recordEvents(deps, messages.filter(isEvent)));
  if (messages.some((message) => 'detail-type' in message && !isEvent(message))) await tick(deps);
  for (const message of messages) {
    if ('redelivery' in message) {
      const endpointId = await continueRedelivery(deps, message.redelivery, deadlineMs);
      if (endpointId) due.add(endpointId);
    }
    if ('endpointId' in message) due.add(message.endpointId);
  }
  const [here, elsewhere] = [[...due].slice(0, endpointsAtOnce), [...due].slice(endpointsAtOnce)];
  if (elsewhere.length > 0) await sendEndpoints(deps, elsewhere);
  await pLimit(endpointsAtOnce).map(here, (endpointId) =>
    serveEndpoint(deps, endpointId, deadlineMs).catch((error) =>
      log.error('a turn at an endpoint of webhooks failed; the next tick asks again', { error, endpointId }),
    ),
  );
  return [];
}

function isEvent(message: WebhookTrigger): message is BusEvent {
  return 'detail-type' in message && message['detail-type'] !== 'Scheduled Event';
}
