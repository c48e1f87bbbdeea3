/** Error responses: problem details (RFC 9457) with a machine-readable code. */

import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { type Code, codes, type Facts, Fault, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { koreanTitles } from '#platform/kernel/korean-titles.ts';
import { localeFrom } from '#platform/kernel/reader.ts';
import { isOutage } from '#platform/resilience/outage.ts';

/** How many characters of the path a response repeats. */
const instanceCharacters = 200;

/** Thrown by a middleware to end a request with this refusal. Verbs return theirs. */
export class Refused extends Error {
  readonly refusal: Refusal;

  constructor(code: Code, detail: string, facts?: Facts) {
    super(detail);
    this.name = 'Refused';
    this.refusal = refuse(code, detail, facts);
  }
}

/** What a problem says of the request that it answers. */
export type Asked = Pick<APIGatewayProxyEventV2, 'rawPath' | 'headers'>;

/** The response to a refused request, with a title in the language that it asks for. */
export function problemOf(refusal: Refusal, { rawPath, headers }: Asked): APIGatewayProxyStructuredResultV2 {
  const { status, title, retry } = codes[refusal.refused];
  const isKorean = localeFrom(headers['accept-language'])?.startsWith('ko') ?? false;
  const waits = refusal.facts?.retryAfterSeconds ?? (retry ? 1 : undefined);
  return {
    statusCode: status,
    headers: {
      'content-type': 'application/problem+json',
      ...(waits === undefined ? {} : { 'retry-after': String(waits) }),
      ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
    },
    body: JSON.stringify({
      type: `urn:holdfast:problem:${refusal.refused}`,
      title: isKorean ? koreanTitles[refusal.refused] : title,
      status,
      code: refusal.refused,
      detail: refusal.detail,
      instance: rawPath.slice(0, instanceCharacters),
      ...refusal.facts,
    }),
  };
}

/** The response to a request that failed on the server side. It reveals no internals. */
export function problemOfFault(error: unknown, asked: Asked): APIGatewayProxyStructuredResultV2 {
  const fault = error instanceof Fault ? error : undefined;
  const code: Code = fault?.code ?? (isOutage(error) ? 'store_unavailable' : 'internal');
  const problem = problemOf(refuse(code, 'Nothing was lost; repeat the request.'), asked);
  problem.headers = { ...problem.headers, 'retry-after': String(fault?.retryAfterSeconds ?? 1) };
  return problem;
}
