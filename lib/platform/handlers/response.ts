/**
 * Responses: the verb's value, refusal or error as a response, the headers that every response carries, and the metrics
 * of each request. Each middleware here runs after a success and after an error alike.
 */
import type { MiddlewareObj } from '@middy/core';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import { isRefusal } from '#platform/kernel/errors.ts';
import { correlationId, log } from '#platform/kernel/log.ts';
import { measure } from '#platform/kernel/metrics.ts';
import { problemOf, problemOfFault, Refused } from './problem-details.ts';
import type { Route } from './route.ts';

/** A success with its own headers. A verb's plain value gets the route's status and the common headers. */
export class Reply<Body> {
  readonly body: Body;
  readonly headers: Record<string, string>;

  constructor(body: Body, headers: Record<string, string>) {
    this.body = body;
    this.headers = headers;
  }
}

/** The header of an answer that was given before. */
export const replayedHeader = { 'idempotent-replayed': 'true' };
const mark = Symbol('given before');

/** Marks an answer as the one that the first request under its Idempotency-Key got. The mark is no part of the answer. */
export function replayed<Answer extends object>(answer: Answer): Answer {
  return Object.defineProperty(answer, mark, { value: true });
}

/** The headers of an answer that was given before; none of one that is new. */
export function headersOfReplay(answer: unknown): Record<string, string> {
  return typeof answer === 'object' && answer !== null && mark in answer ? replayedHeader : {};
}

type ResponseMiddleware = MiddlewareObj<APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2>;

/** A middleware that does the same after a success and after an error. */
const always = <Request>(run: (request: Request) => void) => ({ after: run, onError: run });

/** Middleware: turns what the verb returned, or what was thrown, into a response. */
export function responseBody(route: Route): ResponseMiddleware {
  return {
    after: (request) => {
      const result: unknown = request.response;
      const response = isRefusal(result) ? problemOf(result, request.event) : success(route, result);
      request.response = { ...response, headers: { ...response.headers, ...headersOfReplay(result) } };
    },
    onError: (request) => {
      const { error, event } = request;
      if (error instanceof Refused) {
        request.response = problemOf(error.refusal, event);
      } else {
        log.error('request failed', { route: `${route.method} ${route.path}`, error });
        request.response = problemOfFault(error, event);
      }
    },
  };
}

function success(route: Route, result: unknown): APIGatewayProxyStructuredResultV2 {
  const { body, headers: own } = result instanceof Reply ? result : { body: result, headers: {} };
  const headers = { ...own, ...headersOfReplay(body) };
  if (body === undefined) return { statusCode: route.status, headers };
  const type = route.replyType ?? 'application/json';
  const response = { statusCode: route.status, headers: { 'content-type': type, ...headers } };
  if (Buffer.isBuffer(body)) return { ...response, body: body.toString('base64'), isBase64Encoded: true };
  return { ...response, body: type === 'application/json' ? JSON.stringify(body) : String(body) };
}

/** Middleware: the headers of every response. Headers that a verb sets take precedence. */
export function responseHeaders(): ResponseMiddleware {
  return always(({ response }) => {
    if (!response) return;
    response.headers = {
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'strict-transport-security': 'max-age=63072000; includeSubDomains',
      'x-correlation-id': correlationId() ?? '',
      ...response.headers,
    };
  });
}

/** Middleware: one line of metrics for each request. */
export function requestMetrics(
  route: Route,
): MiddlewareObj<APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Error, Context, { startedAt: number }> {
  return {
    before: ({ internal }) => {
      internal.startedAt = performance.now();
    },
    ...always(({ response, internal }) => {
      const status = response?.statusCode ?? 0;
      measure(
        {
          Requests: 1,
          Refusals: status >= 400 && status < 500 ? 1 : 0,
          RequestFaults: status >= 500 ? 1 : 0,
          RequestMs: Math.round(performance.now() - internal.startedAt),
        },
        { facts: { route: `${route.method} ${route.path}`, status } },
      );
    }),
  };
}
