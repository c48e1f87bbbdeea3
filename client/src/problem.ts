/** What a call fails with: a problem document (RFC 9457) with a code, or no answer at all. */
import type { components } from './schema.ts';

/** A code of the API; one that a newer API has is a text that is not in this list. */
export type ProblemCode = components['schemas']['Problem']['code'] | 'unreachable' | 'unknown' | (string & {});

/** Without the index signature, which says that a newer API may tell more. */
type Named<Shape> = { [Name in keyof Shape as string extends Name ? never : Name]: Shape[Name] };

/** What the document says of a problem: its words, and the facts that go with its code. */
type Described = Named<components['schemas']['Problem']>;

/** The body of a problem, as far as there is one. */
export interface ProblemBody extends Readonly<Partial<Omit<Described, 'code'>>> {
  readonly code?: ProblemCode;
}

/** A refusal or a fault of the API, or of the way to it (status 0, code `unreachable`). */
export class Problem extends Error {
  readonly status: number;
  readonly code: ProblemCode;
  readonly title: string;
  readonly body: ProblemBody;
  readonly retryAfterMs: number;
  /** The Idempotency-Key of the call: what is not known of it can be found out by calling again with it. */
  readonly key: string | undefined;

  constructor(status: number, body: ProblemBody, retryAfterMs = 0, key?: string) {
    super(body.detail || body.title || `The server answered ${status}.`);
    this.name = 'Problem';
    this.status = status;
    this.code = body.code ?? 'unknown';
    this.title = body.title ?? 'Something went wrong';
    this.body = body;
    this.retryAfterMs = retryAfterMs;
    this.key = key;
  }
}

/** How long an answer asks to wait, in milliseconds; the header is in seconds, or a date. */
export function retryAfterOf(header: string | null, nowMs: number): number {
  if (header === null) return 0;
  const ms = /^\d+$/.test(header.trim()) ? 1_000 * Number(header) : Date.parse(header) - nowMs;
  return Number.isNaN(ms) ? 0 : Math.max(0, ms);
}

/** The statuses that say nothing about an earlier try: sign in again, asked too slowly, asked too often. */
const saysNothing = new Set([401, 408, 429]);

/** Whether a failure says what became of a call; if it does not, the call may have been carried out all the same. */
export function isOutcome(error: unknown): boolean {
  const { status, code } = (error ?? {}) as { status?: unknown; code?: unknown };
  if (typeof status !== 'number' || status < 400 || status >= 500) return false;
  return !saysNothing.has(status) && code !== 'idempotency_in_progress';
}
