/** The documents of this API: what they are made of, and how the things in it look in examples. */
import { clientMessages, serverMessages } from '#notification/notification.shapes.ts';
import { type AsyncApiDocument, asyncApiDocument } from '#platform/handlers/asyncapi.ts';
import { type DocumentOptions, openApiDocument } from '#platform/handlers/openapi.ts';
import type { OpenApiDocument } from '#platform/handlers/openapi-examples.ts';
import { documentedWebhooks } from '#webhooks/message.shapes.ts';
import { routes } from './routes.ts';

const id = '0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b';

/** What fields of these names look like in examples. */
const samples = {
  uuid: id,
  'date-time': '2030-05-01T18:00:00Z',
  name: 'Brass lamp, first run',
  email: 'ada@example.com',
  sku: 'LAMP-01',
  currency: 'EUR',
  amountMinor: 12_900,
  statusUrl: `/reservations/${id}`,
  nextCursor: null,
  cursor: 'Zmlyc3QtcGFnZS1lbmRlZC1oZXJl',
  locale: 'ko-KR',
  timeZone: 'Asia/Seoul',
  list: 'reservations',
  limit: 20,
  queue: 'reservations',
  'X-Proof-Of-Work': 'eyJjaGFsbGVuZ2UiOnt9fQ==',
  text: 'Your reservation of 2 units is confirmed.',
  title: 'Sold out',
  reason: null,
  allotment: 500,
  available: 320,
  allocated: 120,
  sold: 60,
  waitlisted: 12,
  capPerCustomer: 2,
  waitlistSize: 200,
  offerLifeSeconds: 3_600,
  payWithinSeconds: 1_800,
  offerCutoffSeconds: 60,
  quantity: 2,
  units: 2,
  ticket: 1_893_448_800_000_000,
  pausedAt: null,
  clockStandsAt: null,
  switchedOffAt: null,
  url: 'https://shop.example.com/holdfast',
  openapi: '3.1.1',
  asyncapi: '3.1.0',
} as const;

/** The AsyncAPI document of the WebSocket and the webhooks. */
export function messagesDocument(): AsyncApiDocument {
  return asyncApiDocument({ said: clientMessages, told: serverMessages, sent: documentedWebhooks });
}

/** The OpenAPI document of all routes. */
export function apiDocument(options: Pick<DocumentOptions, 'closed'> = {}): OpenApiDocument {
  return openApiDocument(routes, documentedWebhooks, { samples, ...options });
}
