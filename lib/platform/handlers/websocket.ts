/**
 * The WebSocket wrapper: turns the gateway's three kinds of events into validated calls of a verb.
 *
 * A connection belongs to the caller whose access token opened it; browsers cannot send headers with a WebSocket, so the
 * token comes as `?token=`. Replies to messages are pushed through the gateway's management API. An internal error is
 * reported by its code alone. A connection that the server ends is told why in a last message of the type `closing`, since
 * the gateway does not let a server choose the close code.
 */
import middy, { type MiddlewareObj } from '@middy/core';
import type { APIGatewayProxyResultV2, APIGatewayProxyWebsocketEventV2, Context } from 'aws-lambda';
import type * as z from 'zod';
import type { Push } from '#platform/aws/websocket-push.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { type Code, type closingCodes, codes, isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { log } from '#platform/kernel/log.ts';
import type { VerifiedCaller } from '#platform/security/access-token.ts';
import { mayConnectFrom } from '#platform/security/origins.ts';
import { openVerify, type Verify } from './authentication.ts';
import { correlated, dependencies } from './dependencies.ts';
import { InvalidJson, parseJson } from './json.ts';
import type { OutsideCaller } from './route.ts';

/** The largest message that is accepted. */
export const maxMessageBytes = 4_096;
/** How long the answer to a message may take to be pushed. */
const answerLimitMs = 1_000;

export interface Connection {
  readonly deps: Deps;
  readonly connectionId: string;
}

/** What a verb answers if the connection ends with this message: the reason, sent as the last message. */
export interface Ending {
  readonly ending: Refusal & { refused: (typeof closingCodes)[number] };
}

export type WebSocketHandler = (
  event: APIGatewayProxyWebsocketEventV2,
  context: Context,
) => Promise<APIGatewayProxyResultV2>;

type Answer = { statusCode: number; headers?: Record<string, string>; body?: string };

/**
 * Wraps a verb that runs when a client connects. A refusal, a fault, an invalid token or a page of an origin that may not call
 * rejects the connection.
 */
export function connectHandler(
  outsideCaller: OutsideCaller,
  run: (connection: Connection & { caller: VerifiedCaller }) => Promise<undefined | Refusal>,
): WebSocketHandler {
  return webSocketHandler(async (event, deps) => {
    if (!mayConnectFrom(originOf(event), process.env.HOLDFAST_ORIGINS ?? '*')) {
      return problem(refuse('forbidden', 'Pages of this origin may not connect.'));
    }
    const verify = await openVerify(deps, outsideCaller);
    const caller = await verify(tokenOf(event));
    if (isRefusal(caller)) return problem(caller);
    // Within the clock tolerance an expired token would open a connection that is over already.
    if (!caller || caller.expiresAtMs <= deps.clock())
      return problem(refuse('unauthenticated', 'Connect with a valid access token as ?token=…'));
    const refusal = await run({ deps, connectionId: event.requestContext.connectionId, caller });
    return refusal ? problem(refusal) : { statusCode: 200 };
  });
}

/** Wraps a verb that runs after a connection has ended. The gateway may not report it, so nothing may depend on it. */
export function disconnectHandler(run: (connection: Connection) => Promise<void>): WebSocketHandler {
  return webSocketHandler(async (event, deps) => {
    await run({ deps, connectionId: event.requestContext.connectionId });
    return { statusCode: 200 };
  });
}

/**
 * Wraps a verb that answers messages. What it returns is pushed back. A message that cannot be understood comes as the refusal
 * of it: the verb answers with that, after it has counted the message like every other.
 */
export function messageHandler<Message>(
  shape: z.ZodType<Message>,
  outsideCaller: OutsideCaller,
  run: (connection: Connection & { message: Message | Refusal; verify: Verify }) => Promise<object | Refusal | Ending>,
): WebSocketHandler {
  return webSocketHandler(async (event, deps) => {
    const { connectionId } = event.requestContext;
    const verify = await openVerify(deps, outsideCaller);
    const result = await run({ deps, connectionId, message: read(event, shape), verify });
    if (isEnding(result)) {
      await deps.push.send([closing(connectionId, result.ending)], answerLimitMs);
      return { statusCode: codes[result.ending.refused].status };
    }
    const answer = isRefusal(result) ? { type: 'problem', ...details(result) } : result;
    await deps.push.send([{ connectionId, messages: [answer] }], answerLimitMs);
    return { statusCode: isRefusal(result) ? codes[result.refused].status : 200 };
  });
}

/** The last push to a connection: the reason for its end, then the close. */
export function closing(connectionId: string, reason: Ending['ending']): Push {
  return { connectionId, messages: [{ type: 'closing', ...details(reason) }], thenClose: true };
}

function isEnding(result: object): result is Ending {
  return 'ending' in result;
}

function webSocketHandler(
  work: (event: APIGatewayProxyWebsocketEventV2, deps: Deps) => Promise<Answer>,
): WebSocketHandler {
  const chain = middy<APIGatewayProxyWebsocketEventV2>()
    .use(problemOnError())
    .use(dependencies<APIGatewayProxyWebsocketEventV2>())
    .handler((event, { deps }) => work(event, deps));
  return correlated((event) => event.requestContext.requestId, chain);
}

/** Middleware: logs an error, and answers it without revealing internals. */
function problemOnError(): MiddlewareObj<APIGatewayProxyWebsocketEventV2, Answer> {
  return {
    onError: (request) => {
      const { event, error } = request;
      log.error('websocket event failed', { route: event.requestContext.routeKey, error });
      request.response = problem(refuse('store_unavailable', 'Connect again in a moment.'));
    },
  };
}

/** The type of the gateway's events lacks the query of a connect event. */
function tokenOf(event: APIGatewayProxyWebsocketEventV2): string {
  const query = (event as { queryStringParameters?: Record<string, string | undefined> | null }).queryStringParameters;
  return query?.token ?? '';
}

/** From which page a browser connects; other programs say nothing. The case of the name is the client's. */
function originOf(event: APIGatewayProxyWebsocketEventV2): string | undefined {
  const { headers = {} } = event as { headers?: Record<string, string | undefined> };
  return Object.entries(headers).find(([name]) => name.toLowerCase() === 'origin')?.[1];
}

function read<Message>(event: APIGatewayProxyWebsocketEventV2, shape: z.ZodType<Message>): Message | Refusal {
  const text = event.isBase64Encoded ? Buffer.from(event.body ?? '', 'base64').toString('utf8') : (event.body ?? '');
  if (Buffer.byteLength(text) > maxMessageBytes) {
    return refuse('payload_too_large', `A message may have at most ${maxMessageBytes} bytes.`);
  }
  try {
    const result = shape.safeParse(parseJson(text));
    if (result.success) return result.data;
    const issue = result.error.issues[0];
    return refuse(
      'invalid_input',
      `The message is not valid: ${issue?.path.join('.') || 'message'}: ${issue?.message}`,
    );
  } catch (error) {
    if (error instanceof InvalidJson) return refuse('invalid_json', `The message cannot be read: ${error.message}.`);
    throw error;
  }
}

function details(refusal: Refusal): { code: Code; title: string; detail: string } {
  return { code: refusal.refused, title: codes[refusal.refused].title, detail: refusal.detail };
}

function problem(refusal: Refusal): Answer {
  return {
    statusCode: codes[refusal.refused].status,
    headers: { 'content-type': 'application/problem+json' },
    body: JSON.stringify(details(refusal)),
  };
}
