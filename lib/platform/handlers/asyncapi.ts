/**
 * The AsyncAPI document: the messages of the WebSocket in both directions, and the webhooks, from the shapes that check what a
 * client says and that the OpenAPI document has. What a client says is closed, what it is told may grow.
 */
import type * as z from 'zod';
import { createDocument } from 'zod-openapi';
import { apiVersion, simplify } from './openapi.ts';

/** Messages by their names. */
type Shapes = Readonly<Record<string, z.ZodType>>;

export interface Messages {
  /** What a client may say over the WebSocket. */
  readonly said: Shapes;
  /** What it is told. */
  readonly told: Shapes;
  /** The webhooks that are sent, by their types. */
  readonly sent: Shapes;
}

export interface AsyncApiDocument {
  readonly asyncapi: string;
  readonly [part: string]: unknown;
}

const protocol = [
  'A client connects with `?token=` and an access token of a customer. A handshake that is refused is answered over HTTP with a problem ' +
    'document, and no connection is made: 401 for a token that is not valid or whose session has ended, 429 for too many, 503 for an ' +
    'outage. The connection is told of everything that concerns its customer, and of the sales that it watches, 50 at most.',
  'Every message is one JSON object of at most 4,096 bytes. What cannot be read, or is not allowed, is answered with `problem`, and the ' +
    'connection goes on. A client that is silent for 55 seconds is taken for gone: it sends `ping` every 25 seconds, and gives a ' +
    'connection up that does not answer. A connection ends with its access token, within ten minutes; `authenticate` with a fresh one of ' +
    'the same customer, in time, keeps it. After two hours the gateway ends it.',
  'A push may come twice, late or never: each has a `version`, that of a sale an `epoch` before it, and what is older than what is known ' +
    'already is dropped. Before the server ends a connection it sends `closing` with the reason, as it cannot choose the close code: ' +
    '`unauthenticated`, `connection_silent` or `too_many_connections`, beyond eight of a customer. Then connect again, watch again, and ' +
    'read what was missed from the API, in this order; after `too_many_connections` only when somebody asks for it. Nothing is repeated.',
].join('\n\n');

const webhooks =
  'Sent as POST to the endpoints that ask for them, signed as Standard Webhooks (`webhook-id`, `webhook-timestamp`, ' +
  '`webhook-signature`). At least once, in any order: drop an id that you have seen, and a version that is older than what you have. ' +
  'Any answer but a 2xx within five seconds is tried again for three days.';

/** JSON Schemas of shapes by their names, with all that they refer to. */
function schemasOf(shapes: Shapes, isSent: boolean) {
  const named = Object.entries(shapes).map(([name, shape]) => [
    name,
    shape.meta()?.id ? shape : shape.meta({ id: name }),
  ]);
  const { components } = createDocument(
    { openapi: '3.1.0', info: { title: '', version: '' }, components: { schemas: Object.fromEntries(named) } },
    { override: ({ jsonSchema }) => simplify(jsonSchema, isSent, isSent) },
  );
  return components?.schemas ?? {};
}

const schemaName = (name: string, shape: z.ZodType) => `${shape.meta()?.id ?? name}`;
const refTo = (part: string, name: string) => ({ $ref: `#/${part}/${name.replaceAll('/', '~1')}` });

/** Makes the document. */
export function asyncApiDocument({ said, told, sent }: Messages): AsyncApiDocument {
  const all = { ...said, ...told, ...sent };
  const refs = (channel: string, shapes: Shapes) =>
    Object.keys(shapes).map((name) => refTo(`channels/${channel}/messages`, name));
  const messages = (shapes: Shapes) =>
    Object.fromEntries(Object.keys(shapes).map((name) => [name, refTo('components/messages', name)]));
  return {
    asyncapi: '3.1.0',
    id: 'urn:holdfast:messages',
    info: {
      title: 'Holdfast messages',
      version: apiVersion,
      description:
        'What is pushed over the WebSocket and sent as webhooks. The calls are in the OpenAPI document, `/openapi.json`.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
      contact: { name: 'Holdfast contributors', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
      tags: [{ name: 'websocket' }, { name: 'webhooks' }],
    },
    defaultContentType: 'application/json',
    servers: {
      websocket: {
        ...{ host: '{host}', protocol: 'wss', description: 'The WebSocket API; in the local stack without TLS' },
        variables: {
          host: { description: 'As the deployment or the local stack names it', default: 'localhost:3001' },
        },
        security: [refTo('components/securitySchemes', 'accessToken')],
      },
    },
    channels: {
      websocket: {
        address: '/',
        description: protocol,
        servers: [refTo('servers', 'websocket')],
        bindings: {
          ws: { query: { type: 'object', required: ['token'], properties: { token: { type: 'string' } } } },
        },
        messages: { ...messages(said), ...messages(told) },
      },
      webhooks: { address: null, description: webhooks, messages: messages(sent) },
    },
    operations: {
      hear: {
        action: 'receive',
        summary: 'What a client says',
        channel: refTo('channels', 'websocket'),
        messages: refs('websocket', said),
      },
      tell: {
        action: 'send',
        summary: 'What a client is told, in answer to what it said and by itself',
        channel: refTo('channels', 'websocket'),
        messages: refs('websocket', told),
      },
      deliver: {
        action: 'send',
        summary: 'What endpoints are sent',
        channel: refTo('channels', 'webhooks'),
        messages: refs('webhooks', sent),
      },
    },
    components: {
      messages: Object.fromEntries(
        Object.entries(all).map(([name, shape]) => [
          name,
          {
            name,
            title: name,
            summary: shape.meta()?.description ?? name,
            contentType: 'application/json',
            payload: refTo('components/schemas', schemaName(name, shape)),
          },
        ]),
      ),
      schemas: { ...schemasOf(said, false), ...schemasOf({ ...told, ...sent }, true) },
      securitySchemes: {
        accessToken: {
          ...{ type: 'httpApiKey', in: 'query', name: 'token' },
          description: 'An access token from POST /auth/login; API keys open no connection',
        },
      },
    },
  };
}
