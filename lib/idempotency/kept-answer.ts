/**
 * Answers that are kept: a call under an Idempotency-Key is carried out once and answered the same however often it is sent. Each
 * call of an operator also leaves a row in the audit trail.
 *
 * A verb hands its answer, and what it changed, to `keep` as the last statement of the transaction that makes its effect, so
 * all of it is committed or nothing is. If two calls use one key at once, the second waits on the row's key, is rolled back and
 * gets the first call's answer; so does one that is refused because of what the first has done. Redis is not involved.
 *
 * A refusal for how things are (404, 409) is kept as well, so that a repeated call is never carried out by surprise later. One
 * that asks for another request, or to repeat this one, is not: a client that does so may use the key again.
 */
import { createHash } from 'node:crypto';
import type * as z from 'zod';
import { type Actor, type Change, recordAct } from '#audit/act.ts';
import type { Deps, Needs } from '#platform/environment/deps.ts';
import { type Call, type HttpHandler, httpHandler, Reply, replayed, replayedHeader } from '#platform/handlers/http.ts';
import type { Route } from '#platform/handlers/route.ts';
import { codes, isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { ApiKeyId, CustomerId } from '#platform/kernel/ids.ts';
import { isDuplicateKey, type Sql, type Tx } from '#platform/mysql/mysql.ts';
import type { Caller } from '#platform/security/access-token.ts';
import type { Seal } from '#platform/security/seal.ts';
import { deleteAnswer, deleteAnswersBefore, findAnswer, insertAnswer, type KeptAnswer } from './kept-answer.store.ts';
import type { SealUnder } from './sealing.ts';

/** How long an answer is kept, unless its route says otherwise. */
export const answersKeptMs = 24 * 60 * 60 * 1_000;
/** How many old answers are deleted in one statement. */
const rowsForgotten = 1_000;
/** How many such statements one run makes at most. */
const statementsForgotten = 20;

/**
 * Within the transaction that makes a call's effect, records the act and stores its answer, which it returns. `change` is null
 * if the call changes nothing, as a preview, or if the act is recorded already.
 */
export interface Keep {
  <Answer>(tx: Tx, answer: Answer, change: Change | null): Promise<Answer>;
  /** Records an act before it is carried out, where that takes part in no transaction: none may be without its row. */
  before(tx: Tx, change: Change): Promise<void>;
}

/** Records and keeps nothing: for callers that are not HTTP clients. */
export const keepNothing: Keep = Object.assign(async <Answer>(_tx: Tx, answer: Answer) => answer, {
  before: async () => undefined,
});

/** What there was of a subject before an act and afterwards. */
export const changeOf = (subjectId: string, before: object | null, after: object | null): Change => ({
  subjectId,
  before,
  after,
});

/** Thrown by `keep` when the call has been answered before. The transaction must be rolled back. */
class AnsweredBefore extends Error {
  constructor() {
    super('this call has been answered before');
    this.name = 'AnsweredBefore';
  }
}

interface AnswerOptions<Kept> {
  readonly headersOf?: (kept: Kept) => Record<string, string>;
  readonly sealUnder?: SealUnder;
}

/**
 * Wraps a verb as the handler of an operators' route that changes something. The route must declare `idempotent: 'optional'`,
 * and the verb must keep every answer that is not a refusal. `headersOf` makes the answer's own headers, and `sealUnder` seals what a
 * route keeps that may hold a secret.
 */
export function operatorHandler<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, R extends z.ZodType>(
  route: Route<P, Q, B, R>,
  verb: (call: Call<z.output<P>, z.output<Q>, z.output<B>>, keep: Keep) => Promise<z.input<R> | Refusal>,
  options?: AnswerOptions<z.input<R>>,
): HttpHandler {
  return completedHandler(route, verb, (answer) => answer, options);
}

/**
 * The same for an answer with something in it that must not be kept, such as a secret: `completed` adds it to what the verb
 * has kept, and gives the same every time. Also for a route without a reply, whose verb keeps `null`.
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
  completed: (kept: Kept, deps: Deps) => z.input<R> | undefined,
  { headersOf, sealUnder }: AnswerOptions<Kept> = {},
): HttpHandler {
  const answer = async (call: Call<z.output<P>, z.output<Q>, z.output<B>>) => {
    const name = call.idempotencyKey === '' ? undefined : nameOf(route, call, sealUnder);
    let headers: Record<string, string> = {};
    const heard = () => {
      headers = replayedHeader;
    };
    const answered = await answerOnce(call.deps, name, actorOf(route, call), (keep) => verb(call, keep), heard);
    if (isRefusal(answered)) return answered;
    return new Reply(completed(answered, call.deps), { ...headersOf?.(answered), ...headers });
  };
  return httpHandler(route, answer as Parameters<typeof httpHandler<P, Q, B, R>>[1]);
}

/** Who does what. A body of text, such as an imported file, is told by its length and digest. */
export function actorOf(
  route: Pick<Route, 'method' | 'path'>,
  { caller, params, query, body }: Call<unknown, unknown, unknown>,
): Actor {
  const asked =
    typeof body === 'string' ? { bytes: Buffer.byteLength(body), sha256: sha256(body).toString('hex') } : body;
  return {
    operatorId: callerId(caller),
    act: `${route.method} ${route.path}`,
    asked: { params, query, body: asked },
  };
}

/** Who calls: an account, or an API key that acts for none. */
function callerId({ customerId, keyId }: Caller): CustomerId | ApiKeyId {
  return customerId === '' && keyId !== undefined ? keyId : customerId;
}

/** Which call it is, what it asks for, and how its answer is kept. */
interface CallName extends Pick<KeptAnswer, 'callHash' | 'fingerprint'> {
  readonly keptMs: number;
  /** Where the answer or the request may hold a secret. */
  readonly seal?: Seal | undefined;
}

/**
 * A customer's verb that keeps its own answers, by what it makes under its key, and here the refusals. `made` is what it has made
 * under the key, which goes before a refusal: if two calls use one key at once, one may be refused while the other is carried out.
 */
export function keepingRefusals<C extends Call<unknown, unknown, unknown>, Answer extends object>(
  route: Pick<Route, 'method' | 'path'>,
  verb: (call: C) => Promise<Answer | Refusal>,
  made: (call: C) => Promise<Answer | Refusal | undefined>,
): (call: C) => Promise<Answer | Refusal> {
  return async (call) => {
    const name = nameOf(route, call);
    const before = await findKept(call.deps, name);
    if (before) return (await made(call)) ?? again<Answer>(before, name);
    const answer = await verb(call);
    if (isRefusal(answer)) await keepRefusal(call.deps, name, answer);
    return answer;
  };
}

/** Keeps a refusal that is final for its request. False for another one, and if an answer is kept already, which stays. */
async function keepRefusal({ db, clock }: Needs<'db' | 'clock'>, name: CallName, refusal: Refusal): Promise<boolean> {
  const { status, retry } = codes[refusal.refused];
  const isFinal = (status === 404 || status === 409) && !retry && refusal.refused !== 'confirmation_required';
  if (!isFinal) return false;
  try {
    await store(db, name, refusal, clock());
    return true;
  } catch (error) {
    if (isDuplicateKey(error)) return false;
    throw error;
  }
}

/**
 * The answer that is kept for a call, open. One whose time is over, or that no key opens any more, is deleted: the call's key is
 * a new one.
 */
async function findKept({ db, clock }: Needs<'db' | 'clock'>, name: CallName): Promise<Known | undefined> {
  const found = await findAnswer(db, name.callHash);
  if (!found) return undefined;
  const { fingerprint, answer } = found;
  const text = found.expiresAtMs > clock() ? await (name.seal ? name.seal.open(answer) : answer) : undefined;
  if (text !== undefined) return { fingerprint, text };
  await deleteAnswer(db, found);
  return undefined;
}

/** What is known of an earlier call. */
interface Known {
  readonly fingerprint: Buffer;
  /** Its answer, as JSON. */
  readonly text: string;
}

async function store(sql: Tx | Sql, name: CallName, answer: unknown, nowMs: number): Promise<void> {
  const { callHash, fingerprint, keptMs, seal } = name;
  const text = JSON.stringify(answer ?? null);
  const answerKept = seal ? await seal.close(text) : text;
  await insertAnswer(sql, {
    ...{ callHash, fingerprint, answer: answerKept },
    ...{ createdAtMs: nowMs, expiresAtMs: nowMs + keptMs },
  });
}

/**
 * The same for a call that leaves a row in the audit trail: `actor` says who does what, and `work` what it has changed.
 */
export function answerOnce<Answer>(
  deps: Needs<'db' | 'clock'>,
  name: CallName | undefined,
  actor: Actor,
  work: (keep: Keep) => Promise<Answer | Refusal>,
  heard?: () => void,
): Promise<Answer | Refusal> {
  const record = (tx: Tx, change: Change) => recordAct(tx, actor, change, deps.clock());
  return carryOutOnce<Answer>(
    deps,
    name,
    (keep) =>
      work(
        Object.assign(
          async <Kept>(tx: Tx, answer: Kept, change: Change | null) => {
            if (change) await record(tx, change);
            return keep(tx, answer);
          },
          { before: record },
        ),
      ),
    { heard },
  );
}

/** What the carrying out of a call may be asked for. */
interface OnceOptions<Answer> {
  /** Told if the answer is one that was given before. */
  readonly heard?: (() => void) | undefined;
  /** Whether an answer that was given before still holds; if not, the call is judged as one without a key. */
  readonly holds?: ((answer: Answer) => Promise<boolean>) | undefined;
}

/**
 * Returns the kept answer of a call, or lets `work` carry it out; a call without a name is a new one each time. Refuses if the
 * key was used with another request. Throws if `work` returns an answer that it has not kept.
 */
export async function carryOutOnce<Answer>(
  deps: Needs<'db' | 'clock'>,
  name: CallName | undefined,
  work: (keep: <Kept>(sql: Tx | Sql, answer: Kept) => Promise<Kept>) => Promise<Answer | Refusal>,
  { heard, holds }: OnceOptions<Answer> = {},
): Promise<Answer | Refusal> {
  const before = name && (await findKept(deps, name));
  if (name && before) {
    const given = again<Answer>(before, name, heard);
    if (isRefusal(given) || !holds || (await holds(given))) return given;
    return work(async (_sql, answer) => answer);
  }
  let kept = false;
  const keep = async <Kept>(sql: Tx | Sql, answer: Kept): Promise<Kept> => {
    if (name) await storeOnce(sql, name, answer, deps.clock());
    kept = true;
    return answer;
  };
  try {
    const answer = await work(keep);
    if (!kept && !isRefusal(answer)) throw new Error('a verb has answered without keeping its answer');
    if (!name || !isRefusal(answer) || (await keepRefusal(deps, name, answer))) return answer;
    // What refuses this call may be the effect of its twin, which was under way.
    const twin = await findKept(deps, name);
    return twin ? again<Answer>(twin, name, heard) : answer;
  } catch (error) {
    if (!name || !(error instanceof AnsweredBefore)) throw error;
    const twin = await findKept(deps, name);
    if (!twin) throw error;
    return again<Answer>(twin, name, heard);
  }
}

async function storeOnce(sql: Tx | Sql, name: CallName, answer: unknown, nowMs: number): Promise<void> {
  try {
    await store(sql, name, answer, nowMs);
  } catch (error) {
    if (isDuplicateKey(error)) throw new AnsweredBefore();
    throw error;
  }
}

/** Deletes answers whose time is over, a bounded number at a time; returns how many. Run by a schedule. */
export async function forgetOldAnswers({ db, clock }: Needs<'db' | 'clock'>): Promise<number> {
  let forgotten = 0;
  for (let n = 0; n < statementsForgotten; n++) {
    const deleted = await deleteAnswersBefore(db, clock(), rowsForgotten);
    forgotten += deleted;
    if (deleted < rowsForgotten) break;
  }
  return forgotten;
}

function again<Answer>(
  { fingerprint, text }: Known,
  name: CallName,
  heard: () => void = () => undefined,
): Answer | Refusal {
  if (!fingerprint.equals(name.fingerprint)) {
    return refuse('idempotency_key_reused', 'This Idempotency-Key was used for a different request.');
  }
  heard();
  const given = JSON.parse(text) as Answer | Refusal;
  return isRefusal(given) ? replayed(given) : given;
}

/** What a route says of its keys. */
export type KeyedRoute = Pick<Route, 'method' | 'path' | 'bodyType' | 'sealed' | 'keptMinutes'>;

/**
 * A key belongs to one caller and one address. The digest of a request covers query and body; the order of fields does not
 * matter. What may hold a secret is sealed. Throws if it cannot be.
 */
export function nameOf(
  { method, path, bodyType, sealed, keptMinutes }: KeyedRoute,
  { deps, caller, params, query, idempotencyKey, rawBody }: Call<unknown, unknown, unknown>,
  sealUnder?: SealUnder,
): CallName {
  const isJson = (bodyType ?? 'application/json') === 'application/json';
  const body = isJson && rawBody !== '' ? sorted(rawBody) : rawBody;
  // An empty object is read like no body.
  const asked = `${JSON.stringify(query ?? {})}\0${isJson && body === '{}' ? '' : body}`;
  const call = `${callerId(caller)}\0${method} ${path}\0${JSON.stringify(params ?? {})}\0${idempotencyKey}`;
  const keptMs = keptMinutes === undefined ? answersKeptMs : keptMinutes * 60_000;
  if (sealed && !sealUnder) throw new Error('an answer that may hold a secret would be kept as it is');
  const seal = sealed && sealUnder?.(deps, call);
  if (seal) return { callHash: seal.name, fingerprint: seal.digest(asked), keptMs, seal };
  return { callHash: sha256(call), fingerprint: sha256(asked), keptMs };
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
