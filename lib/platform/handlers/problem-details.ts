/** Answers that are not a success, as problem details (RFC 9457) with the code that programs read. */

import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { type Code, codes, Fault, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { isOutage } from '#platform/resilience/outage.ts';

/** How much of an address an answer repeats. */
const instanceCharacters = 200;

/** What a middleware throws to end a request: the refusal that it is answered with. Verbs return theirs. */
export class Refused extends Error {
  readonly refusal: Refusal;

  constructor(code: Code, detail: string, facts?: Record<string, unknown>) {
    super(detail);
    this.name = 'Refused';
    this.refusal = refuse(code, detail, facts);
  }
}

/** The answer to a refused request. */
export function problemOf(refusal: Refusal, path: string): APIGatewayProxyStructuredResultV2 {
  const { status, title, retry } = codes[refusal.refused];
  const asked = refusal.facts?.retryAfterSeconds;
  const waits = typeof asked === 'number' ? asked : retry ? 1 : undefined;
  return {
    statusCode: status,
    headers: {
      'content-type': 'application/problem+json',
      ...(waits === undefined ? {} : { 'retry-after': String(waits) }),
      ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
    },
    body: JSON.stringify({
      type: `urn:holdfast:problem:${refusal.refused}`,
      title,
      status,
      code: refusal.refused,
      detail: refusal.detail,
      instance: path.slice(0, instanceCharacters),
      ...refusal.facts,
    }),
  };
}

/** The answer to a request that failed on our side. It says nothing about the inside. */
export function problemOfFault(error: unknown, path: string): APIGatewayProxyStructuredResultV2 {
  const fault = error instanceof Fault ? error : undefined;
  const code: Code = fault?.code ?? (isOutage(error) ? 'store_unavailable' : 'internal');
  const problem = problemOf(refuse(code, 'Nothing was lost: repeat the request.'), path);
  problem.headers = { ...problem.headers, 'retry-after': String(fault?.retryAfterSeconds ?? 1) };
  return problem;
}
