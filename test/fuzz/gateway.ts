/**
 * The functions of the HTTP API behind the plainest of gateways: it finds the function of a request in `serverless.yml`, hands it
 * the event that API Gateway would, and counts what was answered. A process of its own, so that several share the work.
 *
 *   node test/fuzz/gateway.ts
 *
 * It listens on loopback, prints one JSON line with its address, and answers GET /counts with what it has counted.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { APIGatewayProxyEventV2, Context } from 'aws-lambda';
import { applyEnvironment, handlerOf } from '#local/function-host.ts';
import { readDeclared } from '#local/serverless-config.ts';
import type { HttpHandler } from '#platform/handlers/http.ts';

/** The header that Schemathesis puts into each of its cases. */
const caseHeader = 'x-schemathesis-testcaseid';
/** What Lambda takes of a request at most. */
const maxBytes = 6 * 1_024 * 1_024;

interface Served {
  readonly routeKey: string;
  readonly method: string;
  readonly pattern: RegExp;
  readonly handler: HttpHandler;
}

/** How many cases were answered with each status, by operation. */
const counts: Record<string, Record<string, number>> = {};

async function load(): Promise<Served[]> {
  const functions = (await readDeclared()).functions.filter(({ routes }) => routes.length > 0);
  applyEnvironment(functions);
  const served = await Promise.all(
    functions.map(async (declared) => {
      const { url, name } = handlerOf(declared);
      const handler = (await import(url))[name] as HttpHandler;
      return declared.routes.map(({ method, path }) => ({
        routeKey: `${method} ${path}`,
        method,
        pattern: new RegExp(`^${path.replaceAll('.', '\\.').replace(/\{(\w+)\}/g, '(?<$1>[^/]+)')}$`),
        handler,
      }));
    }),
  );
  // What is written out goes before what is a parameter, as in the gateway.
  return served.flat().sort((one, other) => Number(one.routeKey.includes('{')) - Number(other.routeKey.includes('{')));
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function eventOf(request: IncomingMessage, { routeKey, method }: Served, url: URL, body: Buffer, groups: object = {}) {
  const query: Record<string, string> = {};
  for (const [name, value] of url.searchParams)
    query[name] = query[name] === undefined ? value : `${query[name]},${value}`;
  const params = Object.fromEntries(Object.entries(groups).map(([name, value]) => [name, decoded(value)]));
  const text = body.toString('utf8');
  const isText = Buffer.from(text).equals(body);
  return {
    version: '2.0',
    routeKey,
    rawPath: url.pathname,
    rawQueryString: url.search.slice(1),
    headers: Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, [value].flat().join(',')]),
    ),
    ...(Object.keys(params).length > 0 ? { pathParameters: params } : {}),
    ...(url.search.length > 1 ? { queryStringParameters: query } : {}),
    ...(body.length > 0 ? { body: isText ? text : body.toString('base64') } : {}),
    isBase64Encoded: !isText,
    requestContext: { http: { method, path: url.pathname, sourceIp: '127.0.0.1' } },
  } as unknown as APIGatewayProxyEventV2;
}

const served = await load();

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://127.0.0.1');
  const body = await bodyOf(request);
  const send = (status: number, headers: Record<string, string>, content: string | Buffer) => {
    if (request.headers[caseHeader] !== undefined) {
      const key = found?.routeKey ?? 'no route';
      counts[key] ??= {};
      counts[key][status] = (counts[key][status] ?? 0) + 1;
    }
    response.writeHead(status, headers).end(content);
  };
  const found = served.find(({ method, pattern }) => method === request.method && pattern.test(url.pathname));
  const json = { 'content-type': 'application/json' };
  if (url.pathname === '/counts') return send(200, json, JSON.stringify(counts));
  if (!found) return send(404, json, '{"message":"Not Found"}');
  if (!body) return send(413, json, '{"message":"Request Entity Too Large"}');
  const event = eventOf(request, found, url, body, found.pattern.exec(url.pathname)?.groups);
  const result = await found.handler(event, {
    awsRequestId: 'fuzz',
    getRemainingTimeInMillis: () => 15_000,
  } as Context);
  const content = result.isBase64Encoded ? Buffer.from(result.body ?? '', 'base64') : (result.body ?? '');
  send(result.statusCode ?? 200, result.headers as Record<string, string>, content);
}

const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  answer(request, response).catch((error) => {
    process.stderr.write(`${error instanceof Error ? error.stack : error}\n`);
    response.writeHead(500).end();
  });
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(
    `${JSON.stringify({ ready: true, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })}\n`,
  );
});
