/** GET /asyncapi.json: the messages of the WebSocket and the webhooks as an AsyncAPI document. */
import { httpHandler, Reply } from '#platform/handlers/http.ts';
import { messagesDocument } from './document.ts';
import { getAsyncapiRoute } from './operations.routes.ts';

const document = messagesDocument();

export const handler = httpHandler(
  getAsyncapiRoute,
  async () => new Reply(document, { 'cache-control': 'public, max-age=60' }),
);
