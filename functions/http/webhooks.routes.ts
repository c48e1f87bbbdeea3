/** The routes of webhooks out: endpoints, their log, and sending again. */
import { defineRoute } from '#platform/handlers/route.ts';
import {
  DeliveryPage,
  DeliveryPath,
  DeliveryQuery,
  DeliveryView,
  DeliveryWithBody,
  EndpointChange,
  EndpointList,
  EndpointPath,
  EndpointView,
  EndpointWithSecret,
  NewEndpoint,
  RedeliveryPath,
  RedeliveryRequest,
  RedeliveryView,
  RotateSecret,
} from '#webhooks/webhooks.shapes.ts';

const tag = 'Webhooks';
const endpoints = '/webhook-endpoints';
const endpoint = `${endpoints}/{endpointId}`;
const delivery = `${endpoint}/deliveries/{messageId}`;

export const createWebhookEndpointRoute = defineRoute({
  method: 'POST',
  path: endpoints,
  summary: 'Create an endpoint of webhooks; the answer shows its secret, which is not shown again',
  tag,
  auth: 'operator',
  scope: 'webhooks:write',
  idempotent: 'optional',
  body: NewEndpoint,
  example: { url: 'https://shop.example.com/holdfast', events: ['purchase.changed'], description: 'The order system' },
  status: 201,
  reply: EndpointWithSecret,
  refusals: ['unprocessable', 'illegal_state'],
});

export const listWebhookEndpointsRoute = defineRoute({
  method: 'GET',
  path: endpoints,
  summary: 'All endpoints of webhooks and how they are doing, newest first',
  tag,
  auth: 'viewer',
  scope: 'webhooks:read',
  status: 200,
  reply: EndpointList,
  refusals: [],
});

export const getWebhookEndpointRoute = defineRoute({
  method: 'GET',
  path: endpoint,
  summary: 'An endpoint of webhooks and how it is doing',
  tag,
  auth: 'viewer',
  scope: 'webhooks:read',
  params: EndpointPath,
  status: 200,
  reply: EndpointView,
  refusals: [],
});

export const updateWebhookEndpointRoute = defineRoute({
  method: 'PATCH',
  path: endpoint,
  summary: 'Change an endpoint of webhooks, pause it, or switch it on again; it then gets what waits',
  tag,
  auth: 'operator',
  scope: 'webhooks:write',
  params: EndpointPath,
  idempotent: 'optional',
  body: EndpointChange,
  example: { events: ['purchase.changed', 'sale.changed'] },
  status: 200,
  reply: EndpointView,
  refusals: ['unprocessable'],
});

export const deleteWebhookEndpointRoute = defineRoute({
  method: 'DELETE',
  path: endpoint,
  summary: 'Delete an endpoint of webhooks and its log',
  tag,
  auth: 'operator',
  scope: 'webhooks:write',
  params: EndpointPath,
  idempotent: 'optional',
  status: 204,
  refusals: [],
});

export const rotateWebhookSecretRoute = defineRoute({
  method: 'POST',
  path: `${endpoint}/secret`,
  summary: 'Give an endpoint another secret; for a while messages are signed with the old one as well',
  tag,
  auth: 'operator',
  scope: 'webhooks:write',
  params: EndpointPath,
  idempotent: 'optional',
  body: RotateSecret,
  bodyOptional: true,
  example: { overlapSeconds: 3_600 },
  status: 200,
  reply: EndpointWithSecret,
  refusals: [],
});

export const testWebhookEndpointRoute = defineRoute({
  method: 'POST',
  path: `${endpoint}/test`,
  summary: 'Send an endpoint a message of type webhook.test',
  tag,
  auth: 'operator',
  scope: 'webhooks:write',
  params: EndpointPath,
  idempotent: 'optional',
  status: 202,
  reply: DeliveryView,
  refusals: [],
});

export const listWebhookDeliveriesRoute = defineRoute({
  method: 'GET',
  path: `${endpoint}/deliveries`,
  summary: 'What an endpoint was sent in the last thirty days, and how that went; newest event first',
  tag,
  auth: 'viewer',
  scope: 'webhooks:read',
  params: EndpointPath,
  query: DeliveryQuery,
  status: 200,
  reply: DeliveryPage,
  refusals: [],
});

export const getWebhookDeliveryRoute = defineRoute({
  method: 'GET',
  path: delivery,
  summary: 'One delivery, with what is sent',
  tag,
  auth: 'viewer',
  scope: 'webhooks:read',
  params: DeliveryPath,
  status: 200,
  reply: DeliveryWithBody,
  refusals: [],
});

export const redeliverWebhookRoute = defineRoute({
  method: 'POST',
  path: `${delivery}/redeliver`,
  summary: 'Send a message again, under the same id, whether the endpoint has taken it or not',
  tag,
  auth: 'operator',
  scope: 'webhooks:write',
  params: DeliveryPath,
  idempotent: 'optional',
  status: 202,
  reply: DeliveryView,
  refusals: [],
});

export const redeliverWebhooksRoute = defineRoute({
  method: 'POST',
  path: `${endpoint}/redeliveries`,
  summary: 'Begin to send again what an endpoint lacks of some time; the status tells how far that has come',
  tag,
  auth: 'operator',
  scope: 'webhooks:write',
  params: EndpointPath,
  idempotent: 'optional',
  body: RedeliveryRequest,
  example: { since: '2026-01-31T18:00:00Z', scope: 'failed' },
  status: 202,
  reply: RedeliveryView,
  refusals: ['unprocessable'],
});

export const getWebhookRedeliveryRoute = defineRoute({
  method: 'GET',
  path: `${endpoint}/redeliveries/{redeliveryId}`,
  summary: 'How far sending again has come',
  tag,
  auth: 'viewer',
  scope: 'webhooks:read',
  params: RedeliveryPath,
  status: 200,
  reply: RedeliveryView,
  refusals: [],
});
