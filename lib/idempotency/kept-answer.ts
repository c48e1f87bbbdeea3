/**
 * Operators' calls under an Idempotency-Key: carried out once, and answered the same however often they are sent.
 *
 * A verb hands its answer to `keep` as the last statement of the transaction that makes its effect, so both are committed or
 * neither is. If two calls use one key at once, the second waits on the row's key, is rolled back and gets the first call's
 * answer. Redis is not involved.
 *
 * A refusal changes nothing and is not kept: the same key may be used again when its cause is gone.
 */
import { createHash } from 'node:crypto';
import type * as z from 'zod';
import type { Deps, Needs } from '#platform/environment/deps.ts';
import { type Call, type HttpHandler, httpHandler, Reply } from '#platform/handlers/http.ts';
import type { Route } from '#platform/handlers/route.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { isDuplicateKey, type Tx } from '#platform/mysql/mysql.ts';
import { deleteAnswersBefore, findAnswer, insertAnswer, type KeptAnswer } from './kept-answer.store.ts';

/** How long an answer is kept at least. */
export const answersKeptMs = 24 * 60 * 60 * 1_000;
/** How many old answers are deleted in one statement. */
const rowsForgotten = 1_000;

/** Stores an answer within the transaction that makes its effect, and returns it. */
export type Keep = <Answer>(tx: Tx, answer: Answer) => Promise<Answer>;

/** Keeps nothing: for a call without an Idempotency-Key, and for callers that are not HTTP clients. */
export const keepNothing: Keep = async (_tx, answer) => answer;

/** Thrown by `keep` when the call has been answered before. The transaction must be rolled back. */
class AnsweredBefore extends Error {
  constructor() {
    super('this call has been answered before');
    this.name = 'AnsweredBefore';
  }
}

/**
 * Wraps a verb as the handler of a route that takes an Idempotency-Key and keeps its answers. The route must declare
 * `idempotent: 'optional'`, and the verb must keep every answer that is not a refusal. `headersOf` makes the answer's own
 * headers.
 */
export function idempotentHandler<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, R extends z.ZodType>(
  route: Route<P, Q, B, R>,
  verb: (call: Call<z.output<P>, z.output<Q>, z.output<B>>, keep: Keep) => Promise<z.input<R> | Refusal>,
  headersOf?: (answer: z.input<R>) => Record<string, string>,
): HttpHandler {
  return completedHandler(route, verb, (answer) => answer, headersOf);
}

/**
 * The same for an answer with something in it that must not be kept, such as a secret: `completed` adds it to what the verb
 * has kept, and gives the same every time.
 */
export function completedHandler<
  P extends z.ZodType,
  Q extends z.ZodType,
  B extends z.ZodType,
  R extends z.ZodType,
  Kept,
>(
  route: Route<P, Q, B, R>,
  verb: (call: Call<z.output<P>, z.output<Q>, z.output<B>>, keep: Keep) => Promise<Kept | Refusal>,
  completed: (kept: Kept, deps: Deps) => z.input<R>,
  headersOf?: (kept: Kept) => Record<string, string>,
): HttpHandler {
  const answer = async (call: Call<z.output<P>, z.output<Q>, z.output<B>>) => {
    const answered =
      call.idempotencyKey === ''
        ? await verb(call, keepNothing)
        : await answerOnce(call.deps, identify(route, call), (keep) => verb(call, keep));
    if (isRefusal(answered)) return answered;
    const whole = completed(answered, call.deps);
    return headersOf ? new Reply(whole, headersOf(answered)) : whole;
  };
  return httpHandler(route, answer as Parameters<typeof httpHandler<P, Q, B, R>>[1]);
}

/** Which call it is, and what it asks for. */
type CallName = Pick<KeptAnswer, 'callHash' | 'fingerprint'>;

/**
 * Returns the kept answer of a call, or lets `work` carry it out. Refuses if the key was used with another request. Throws
 * if `work` returns an answer that it has not kept.
 */
export async function answerOnce<Answer>(
  { db, clock }: Needs<'db' | 'clock'>,
  name: CallName,
  work: (keep: Keep) => Promise<Answer | Refusal>,
): Promise<Answer | Refusal> {
  const before = await findAnswer(db, name.callHash);
  if (before) return again<Answer>(before, name);
  let kept = false;
  const keep: Keep = async (tx, answer) => {
    try {
      await insertAnswer(tx, { ...name, answer: JSON.stringify(answer) }, clock());
    } catch (error) {
      if (isDuplicateKey(error)) throw new AnsweredBefore();
      throw error;
    }
    kept = true;
    return answer;
  };
  try {
    const answer = await work(keep);
    if (!kept && !isRefusal(answer)) throw new Error('a verb has answered without keeping its answer');
    return answer;
  } catch (error) {
    if (!(error instanceof AnsweredBefore)) throw error;
    const twin = await findAnswer(db, name.callHash);
    if (!twin) throw error;
    return again<Answer>(twin, name);
  }
}

/** Deletes answers that are older than they must be, a bounded number at a time; returns how many. Run by a schedule. */
export function forgetOldAnswers({ db, clock }: Needs<'db' | 'clock'>): Promise<number> {
  return deleteAnswersBefore(db, clock() - answersKeptMs, rowsForgotten);
}

function again<Answer>({ fingerprint, answer }: KeptAnswer, name: CallName): Answer | Refusal {
  if (!fingerprint.equals(name.fingerprint)) {
    return refuse('idempotency_key_reused', 'This Idempotency-Key was used for a different request.');
  }
  return JSON.parse(answer) as Answer;
}

/**
 * A key belongs to one caller and one address. The digest of a request covers query and body; the order of fields does not
 * matter.
 */
function identify(
  { method, path, bodyType }: Pick<Route, 'method' | 'path' | 'bodyType'>,
  { caller, params, query, idempotencyKey, rawBody }: Call<unknown, unknown, unknown>,
): CallName {
  const isJson = (bodyType ?? 'application/json') === 'application/json';
  const body = isJson && rawBody !== '' ? sorted(rawBody) : rawBody;
  // An empty object is read like no body.
  const asked = isJson && body === '{}' ? '' : body;
  return {
    callHash: sha256(`${caller.customerId}\0${method} ${path}\0${JSON.stringify(params ?? {})}\0${idempotencyKey}`),
    fingerprint: sha256(`${JSON.stringify(query ?? {})}\0${asked}`),
  };
}

function sorted(json: string): string {
  return JSON.stringify(JSON.parse(json), (_, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)))
      : value,
  );
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
