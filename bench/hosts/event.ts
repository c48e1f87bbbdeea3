/** What API Gateway (HTTP API, payload version 2.0) would hand to a function for a request, as far as handlers read it. */
import type { IncomingMessage } from 'node:http';
import type { APIGatewayProxyEventV2, Context } from 'aws-lambda';

/** The event for a request that was matched to a route. */
export function eventFor(
  request: IncomingMessage,
  routeKey: string,
  pathParameters: Record<string, string>,
  body: string | undefined,
): APIGatewayProxyEventV2 {
  const method = request.method ?? 'GET';
  const url = request.url ?? '/';
  const mark = url.indexOf('?');
  const rawPath = mark < 0 ? url : url.slice(0, mark);
  return {
    version: '2.0',
    routeKey,
    rawPath,
    rawQueryString: mark < 0 ? '' : url.slice(mark + 1),
    headers: request.headers as Record<string, string>,
    pathParameters,
    requestContext: {
      http: { method, path: rawPath, protocol: 'HTTP/1.1', sourceIp: '127.0.0.1', userAgent: 'bench' },
      // Handlers read nothing else of it.
    } as APIGatewayProxyEventV2['requestContext'],
    body: body as string,
    isBase64Encoded: false,
  };
}

/** A context; the HTTP wrapper does not look at it. */
export const context = {} as Context;
