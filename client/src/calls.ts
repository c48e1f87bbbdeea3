/**
 * Calls that survive a bad line: each is sent again, unchanged and with the key it has, until an answer says what became of
 * it or the tries are used up.
 *
 * Invariant: only what can do no harm twice is sent again: what reads, and what carries an Idempotency-Key. What was refused
 * for a missing token or missing work was not carried out, so it is sent again with it in any case.
 */
import { Problem, type ProblemBody, retryAfterOf } from './problem.ts';

/** Gives an access token; `rejected` is one that the server has just refused, so that another is wanted. */
export type TokenSource = (rejected?: string) => Promise<string | undefined> | string | undefined;

export interface CallsOptions {
  token?: TokenSource | undefined;
  /** Does the work that a challenge asks for where many call from one address; gives the header that proves it. */
  prove?: ((challenge: object) => Promise<string>) | undefined;
  /** The language in which people are answered. */
  language?: (() => string | undefined) | undefined;
  fetch?: ((request: Request) => Promise<Response>) | undefined;
  /** How often a call is sent at most. Default 5. */
  tries?: number | undefined;
  /** How long an answer may take before it counts as lost, in milliseconds. Default 15,000. */
  answerMs?: number | undefined;
  /** A server that asks for a longer wait is not waited for: the caller is told instead, in milliseconds. Default 30,000. */
  longestWaitMs?: number | undefined;
}

/** The wait before the second try; each later one is twice as long, up to the longest. */
const firstWaitMs = 250;
const longestBackOffMs = 8_000;
/** What was worked for before a sale opened does not count once it is open, so a second time may be asked for. */
const worksAtMost = 2;

const isRead = ({ method }: Request) => method === 'GET' || method === 'HEAD';

/** Whether a second one of this request does no harm. */
const mayRepeat = (request: Request) => isRead(request) || request.headers.has('idempotency-key');

/** Whether the same request may get another answer. */
const isPassing = ({ status, code }: Problem) =>
  status === 0 || status === 408 || status === 429 || status >= 500 || code === 'idempotency_in_progress';

/** A moment that ends early, with the signal's reason, if it is aborted. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const given = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', given);
      resolve();
    }, ms);
    signal?.addEventListener('abort', given, { once: true });
  });
}

/** Opens calls. Each resolves with a good answer, all of it, and rejects with a `Problem`, or with the reason of its signal. */
export function openCalls(options: CallsOptions): (request: Request) => Promise<Response> {
  const { token, prove, language, tries = 5, answerMs = 15_000, longestWaitMs = 30_000 } = options;
  const send = options.fetch ?? ((request: Request) => globalThis.fetch(request));

  async function attempt(
    request: Request,
    body: ArrayBuffer | undefined,
    headers: Record<string, string | undefined>,
  ): Promise<Response> {
    const key = request.headers.get('idempotency-key') ?? undefined;
    const signal = AbortSignal.any([request.signal, AbortSignal.timeout(answerMs)]);
    const one = new Request(request, body ? { signal, body } : { signal });
    for (const [name, value] of Object.entries(headers)) if (value) one.headers.set(name, value);
    let response: Response;
    let answer: ArrayBuffer;
    try {
      response = await send(one);
      // An answer that breaks off is as lost as one that never came.
      answer = await response.arrayBuffer();
    } catch (error) {
      if (request.signal.aborted) throw request.signal.reason;
      throw Object.assign(new Problem(0, { title: 'No answer', code: 'unreachable' }, 0, key), { cause: error });
    }
    const { status, statusText } = response;
    if (response.ok) {
      return new Response(answer.byteLength > 0 ? answer : null, { status, statusText, headers: response.headers });
    }
    const retryAfterMs = retryAfterOf(response.headers.get('retry-after'), Date.now());
    throw new Problem(status, parsed(answer), retryAfterMs, key);
  }

  return async (request) => {
    const signsItself = request.headers.has('authorization');
    // Read once, since a request gives its body once.
    const sentBody = isRead(request) ? undefined : await request.arrayBuffer();
    const body = sentBody?.byteLength ? sentBody : undefined;
    let refusal: { access: string; problem: Problem } | undefined;
    let proof: string | undefined;
    let works = 0;
    for (let sent = 1; ; sent++) {
      const access = signsItself ? undefined : await token?.(refusal?.access);
      // Whoever has no other token has been answered.
      if (refusal && access === refusal.access) throw refusal.problem;
      const authorization = access && `Bearer ${access}`;
      try {
        return await attempt(request, body, {
          authorization,
          'x-proof-of-work': proof,
          'accept-language': language?.(),
        });
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        proof = undefined;
        const { challenge } = error.body;
        if (error.code === 'work_required' && challenge && prove) {
          // Who can work does not wait instead: the same without a proof would be refused again.
          if (works === worksAtMost) throw error;
          proof = await prove(challenge);
          works += 1;
          continue;
        }
        if (error.status === 401 && access !== undefined && refusal === undefined) {
          refusal = { access, problem: error };
          continue;
        }
        const isLast = sent >= tries || error.retryAfterMs > longestWaitMs;
        if (isLast || !mayRepeat(request) || !isPassing(error)) throw error;
        const backOffMs = Math.min(firstWaitMs * 2 ** (sent - 1), longestBackOffMs) * (0.5 + Math.random());
        await pause(Math.max(error.retryAfterMs, backOffMs), request.signal);
      }
    }
  };
}

function parsed(body: ArrayBuffer): ProblemBody {
  try {
    return JSON.parse(new TextDecoder().decode(body)) ?? {};
  } catch {
    return {};
  }
}
