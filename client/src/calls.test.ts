import { jest } from '@jest/globals';
import fc from 'fast-check';
import { type CallsOptions, openCalls } from './calls.ts';
import { Problem } from './problem.ts';

/** What a server does with one request. */
type End = 'good' | 'lost' | 'broken off' | { status: number; code?: string; retryAfter?: string; challenge?: object };

interface Heard {
  atMs: number;
  headers: Headers;
}

/** In which steps the clock goes on while a call is under way. */
const stepMs = 50;

/** A server that answers as told, one end for each request, the last one for all that follow. */
function serverOf(ends: readonly End[]) {
  const heard: Heard[] = [];
  const fetch = async (request: Request): Promise<Response> => {
    const end = ends[Math.min(heard.length, ends.length - 1)] ?? 'good';
    heard.push({ atMs: Date.now(), headers: request.headers });
    if (end === 'lost') throw new TypeError('fetch failed');
    if (end === 'good') return Response.json({ body: await request.text() }, { status: 202 });
    if (end === 'broken off') {
      return new Response(new ReadableStream({ pull: (controller) => controller.error(new TypeError('terminated')) }));
    }
    const { status, retryAfter, ...problem } = end;
    return Response.json(problem, { status, headers: retryAfter === undefined ? {} : { 'retry-after': retryAfter } });
  };
  return { heard, fetch };
}

interface Asked {
  method?: string;
  key?: string;
  options?: CallsOptions;
}

/** Makes one call; what came of it, and what the server heard. */
async function call(ends: readonly End[], { method = 'POST', key, options = {} }: Asked = {}) {
  const { heard, fetch } = serverOf(ends);
  const calls = openCalls({ ...options, fetch });
  const request = new Request('https://api.example/purchases', {
    method,
    ...(method === 'POST' ? { body: 'what is meant' } : {}),
    headers: key ? { 'idempotency-key': key } : {},
  });
  const calling = calls(request).then(
    async (response) => (await response.json()) as { body: string },
    (problem: unknown) => problem,
  );
  let isOver = false;
  void calling.finally(() => {
    isOver = true;
  });
  while (!isOver) await jest.advanceTimersByTimeAsync(stepMs);
  const result = await calling;
  return { result, heard, problem: result instanceof Problem ? result : undefined };
}

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

const passing: End[] = ['lost', 'broken off', { status: 429 }, { status: 500 }, { status: 503 }, { status: 408 }];

describe('a call', () => {
  test('however it ends, is sent again only with the key it has, unchanged, and not for ever', async () => {
    const ends = fc.constantFrom<End>(...passing, 'good', { status: 409, code: 'sold_out' });
    await fc.assert(
      fc.asyncProperty(fc.array(ends, { minLength: 1, maxLength: 8 }), fc.boolean(), async (all, isKeyed) => {
        const { heard, result, problem } = await call(all, isKeyed ? { key: 'k' } : {});
        expect(heard.length).toBeLessThanOrEqual(isKeyed ? 5 : 1);
        expect(heard.map(({ headers }) => headers.get('idempotency-key'))).toEqual(
          heard.map(() => (isKeyed ? 'k' : null)),
        );
        const last = all[Math.min(heard.length, all.length) - 1];
        if (last === 'good') expect(result).toEqual({ body: 'what is meant' });
        else expect(problem).toBeInstanceOf(Problem);
        if (problem && isKeyed)
          expect([problem.key, problem.code === 'sold_out' || heard.length === 5]).toEqual(['k', true]);
      }),
      { numRuns: 60 },
    );
  });

  test('waits longer each time, and as long as it is told to', async () => {
    const { heard } = await call(['lost', 'lost', 'lost', { status: 503, retryAfter: '20' }, 'good'], { key: 'k' });
    const waits = heard.slice(1).map(({ atMs }, n) => atMs - (heard[n]?.atMs ?? 0));
    for (const [n, waitMs] of waits.slice(0, 3).entries()) {
      expect(waitMs).toBeGreaterThanOrEqual(125 * 2 ** n);
      expect(waitMs).toBeLessThanOrEqual(375 * 2 ** n + stepMs);
    }
    expect(waits[3]).toBeGreaterThanOrEqual(20_000);
    expect(waits[3]).toBeLessThanOrEqual(20_000 + stepMs);
  });

  test('is not held for longer than half a minute, or than is said: the caller is told how long to wait', async () => {
    const { problem, heard } = await call([{ status: 429, retryAfter: '31' }], { method: 'GET' });
    expect([problem?.retryAfterMs, heard.length]).toEqual([31_000, 1]);
    const impatient = { method: 'GET', options: { longestWaitMs: 5_000 } };
    expect((await call([{ status: 429, retryAfter: '6' }], impatient)).heard).toHaveLength(1);
    expect((await call([{ status: 429, retryAfter: '5' }, 'good'], impatient)).heard).toHaveLength(2);
    const date = new Date(Date.now() + 600_000).toUTCString();
    expect((await call([{ status: 503, retryAfter: date }], { key: 'k' })).heard).toHaveLength(1);
  });

  test('whose first one still runs is asked for again; another refusal is final', async () => {
    expect((await call([{ status: 409, code: 'idempotency_in_progress' }, 'good'], { key: 'k' })).heard).toHaveLength(
      2,
    );
    expect((await call([{ status: 409, code: 'conflict' }], { key: 'k' })).heard).toHaveLength(1);
  });

  test('that is refused says with its code what the document names, and what a newer API says besides', async () => {
    const facts = { state: 'captured', leftMinor: 500, purchaseId: 'p', captured: { amountMinor: 1, currency: 'EUR' } };
    const { problem } = await call([{ status: 409, code: 'illegal_state', ...facts, ...{ newer: true } }]);
    const { state = '', leftMinor = 0, purchaseId = '', captured } = problem?.body ?? {};
    const typed: [string, number, string, string | undefined] = [state, leftMinor, purchaseId, captured?.currency];
    expect(typed).toEqual(['captured', 500, 'p', 'EUR']);
    expect(problem?.body).toMatchObject({ newer: true });
  });

  test('that nobody answers counts as lost after its time', async () => {
    const fetch = ({ signal }: Request) =>
      new Promise<Response>((_, reject) => {
        if (signal.aborted) reject(signal.reason);
        signal.addEventListener('abort', () => reject(signal.reason));
      });
    const calls = openCalls({ fetch, tries: 2, answerMs: 50 });
    jest.useRealTimers();
    await expect(calls(new Request('https://api.example/sales'))).rejects.toMatchObject({ code: 'unreachable' });
    const given = new AbortController();
    const calling = calls(new Request('https://api.example/sales', { signal: given.signal }));
    given.abort(new Error('enough'));
    await expect(calling).rejects.toThrow('enough');
  });

  test('whose token is refused is sent once more with another, without a key too', async () => {
    const asked: (string | undefined)[] = [];
    const token = (rejected?: string) => {
      asked.push(rejected);
      return rejected === undefined ? 'old' : 'new';
    };
    const { heard } = await call([{ status: 401, code: 'unauthenticated' }, 'good'], { options: { token } });
    expect(heard.map(({ headers }) => headers.get('authorization'))).toEqual(['Bearer old', 'Bearer new']);
    expect(asked).toEqual([undefined, 'old']);
    expect((await call([{ status: 401, code: 'unauthenticated' }], { options: { token } })).heard).toHaveLength(2);
  });

  test('whose token is refused and is the only one there is, is not sent again', async () => {
    const refused: End[] = [{ status: 401, code: 'invalid_api_key' }];
    const { heard, problem } = await call(refused, { options: { token: () => 'key' }, key: 'k' });
    expect([heard.length, problem?.code]).toEqual([1, 'invalid_api_key']);
  });

  test('that is asked for work is sent again with it, twice at most', async () => {
    const refusal = { status: 429, code: 'work_required', challenge: { n: 1 } };
    const prove = async (challenge: object) => `proof of ${JSON.stringify(challenge)}`;
    const { heard } = await call([refusal, 'good'], { options: { prove } });
    expect(heard.map(({ headers }) => headers.get('x-proof-of-work'))).toEqual([null, 'proof of {"n":1}']);
    expect((await call([refusal], { options: { prove } })).heard).toHaveLength(3);
    expect((await call([refusal], { options: { prove }, key: 'k' })).heard).toHaveLength(3);
    expect((await call([refusal])).problem?.code).toBe('work_required');
  });
});
