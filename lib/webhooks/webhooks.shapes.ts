/** The shapes of webhook endpoints, their log and redelivery in the API. */
import * as z from 'zod';
import { catalog, type EventName } from '#events/catalog.ts';
import { PageQuery, pageOf } from '#platform/handlers/pagination.ts';
import { distinct, Instant, idOf, line, notEmpty, Time } from '#platform/kernel/shapes.ts';
import { deliveryStates } from './delivery.table.ts';
import type { EndpointId } from './endpoint.store.ts';
import type { MessageId } from './message.store.ts';
import type { RedeliveryId } from './redelivery.store.ts';
import { redeliveryScopes } from './redelivery.table.ts';

const eventNames = Object.keys(catalog) as EventName[];

/** One line: a control character in an address is dropped where it is read, and what is left may be another host. */
const Address = line(1, 2_000).describe('HTTPS, on its usual port, to a host of the public internet');
const Description = line(0, 200);
const Events = distinct(z.array(z.enum(eventNames)).min(1).max(eventNames.length), 'must name each type once').describe(
  'The types of events that the endpoint gets',
);

export const EndpointPath = z.strictObject({ endpointId: idOf<EndpointId>() });

export const NewEndpoint = z
  .strictObject({ url: Address, events: Events, description: Description.default('') })
  .meta({ id: 'NewWebhookEndpoint' });
export type NewEndpoint = z.output<typeof NewEndpoint>;

export const EndpointChange = notEmpty(
  z.strictObject({
    url: Address.optional(),
    events: Events.optional(),
    description: Description.optional(),
    state: z
      .enum(['active', 'paused'])
      .optional()
      .describe('What happens while it is not active waits, for thirty days, and is sent when it is'),
  }),
).meta({ id: 'WebhookEndpointChange' });
export type EndpointChange = z.output<typeof EndpointChange>;

export const EndpointView = z
  .object({
    endpointId: idOf<EndpointId>(),
    url: z.string(),
    events: z.array(z.enum(eventNames)),
    description: z.string(),
    state: z
      .enum(['active', 'paused', 'switched_off'])
      .describe('switched_off: after five days without success, or because it answered 410'),
    failingSince: Time.nullable().describe('Since when every attempt has failed; null if the last one was taken'),
    switchedOffAt: Time.nullable(),
    secretOverlapUntil: Time.nullable().describe('Until when messages are signed with the secret before as well'),
    createdAt: Time,
    updatedAt: Time,
  })
  .meta({ id: 'WebhookEndpoint' });
export type EndpointView = z.infer<typeof EndpointView>;

export const EndpointWithSecret = EndpointView.extend({
  secret: z.string().describe('Shown only now: with it the receiver checks signatures, as Standard Webhooks says'),
}).meta({ id: 'WebhookEndpointWithSecret' });

export const EndpointList = z.object({ items: z.array(EndpointView) }).meta({ id: 'WebhookEndpointList' });

const daySeconds = 86_400;
export const RotateSecret = z
  .strictObject({
    overlapSeconds: z
      .int()
      .min(0)
      .max(7 * daySeconds)
      .default(daySeconds)
      .describe('For how long messages are signed with the old secret as well'),
  })
  .meta({ id: 'WebhookSecretRotation' });
export type RotateSecret = z.output<typeof RotateSecret>;

export const DeliveryPath = z.strictObject({ endpointId: idOf<EndpointId>(), messageId: idOf<MessageId>() });

export const DeliveryQuery = PageQuery.extend({ state: z.enum(deliveryStates).optional() });
export type DeliveryQuery = z.output<typeof DeliveryQuery>;

export const DeliveryView = z
  .object({
    endpointId: idOf<EndpointId>(),
    messageId: idOf<MessageId>().describe('What is sent as webhook-id, the same at every attempt'),
    occurredAt: Time,
    state: z.enum(deliveryStates).describe('failed: given up after three days; it can be sent again'),
    attempts: z.int().describe('Since it was ordered the last time'),
    nextAttemptAt: Time.nullable().describe('Null unless it is pending'),
    lastAttemptAt: Time.nullable(),
    lastStatus: z.int().nullable().describe('The status of the last answer; null if there was none'),
    lastError: z.string().nullable().describe('Why it was not taken; null if it was'),
    lastTookMs: z.int().nullable(),
  })
  .meta({ id: 'WebhookDelivery' });
export type DeliveryView = z.infer<typeof DeliveryView>;

export const DeliveryPage = pageOf(DeliveryView);

export const DeliveryWithBody = DeliveryView.extend({
  type: z.string().nullable().describe('Null if the message is too old to be kept'),
  body: z.string().nullable().describe('What is sent, to the byte'),
}).meta({ id: 'WebhookDeliveryWithBody' });
export type DeliveryWithBody = z.infer<typeof DeliveryWithBody>;

export const RedeliveryRequest = z
  .strictObject({
    since: Instant.describe('Of events from this time on'),
    until: Instant.optional().describe('Up to this time; now unless given'),
    scope: z.enum(redeliveryScopes).default('failed').describe('What was given up, or also what was taken'),
  })
  .meta({ id: 'WebhookRedeliveryRequest' });
export type RedeliveryRequest = z.output<typeof RedeliveryRequest>;

export const RedeliveryPath = z.strictObject({ endpointId: idOf<EndpointId>(), redeliveryId: idOf<RedeliveryId>() });

export const RedeliveryView = z
  .object({
    redeliveryId: idOf<RedeliveryId>(),
    endpointId: idOf<EndpointId>(),
    scope: z.enum(redeliveryScopes),
    since: Time,
    until: Time,
    ordered: z.int().describe('How many were ordered again so far'),
    startedAt: Time,
    finishedAt: Time.nullable(),
    statusUrl: z.string(),
  })
  .meta({ id: 'WebhookRedelivery' });
export type RedeliveryView = z.infer<typeof RedeliveryView>;
