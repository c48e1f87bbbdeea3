import fc from 'fast-check';
import { type Intent, openIntents } from './intents.ts';
import { isOutcome } from './problem.ts';

/** What may become of one try: the server does it or not, and the page hears of it or not. */
const ends = ['done', 'lost', 'unreached', 'busy', 'refused', 'reloaded'] as const;
type End = (typeof ends)[number];

const refusal = (status: number, code = '') => Object.assign(new Error(), { status, code });

/** A server that does each key once, and a page that can be loaded again. */
function world() {
  const kept = new Map<string, string>();
  const store = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, text: string) => void kept.set(key, text),
    removeItem: (key: string) => void kept.delete(key),
  };
  const done = new Map<string, object>();
  let keys = 0;
  let end: End = 'done';
  const page = () =>
    openIntents({
      store,
      exclusively: (_, work) => work(),
      newKey: () => `k${++keys}`,
      now: () => 0,
      send: async ({ key, body }: Intent) => {
        if (end === 'unreached') throw new TypeError('failed to fetch');
        if (end === 'busy') throw refusal(429);
        // What was done under this key before is answered as it was.
        if (end === 'refused' && !done.has(key)) throw refusal(409, 'sold_out');
        if (!done.has(key)) done.set(key, body);
        if (end === 'lost') throw new TypeError('reset');
        if (end === 'reloaded') return new Promise(() => undefined);
        return key;
      },
    });
  return {
    done,
    page,
    meet: (next: End) => {
      end = next;
    },
  };
}

describe('what somebody means to do', () => {
  test('however it ends and however often it is asked for, is done at most once, and once its end is known', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...ends), { maxLength: 12 }), async (tries) => {
        const { done, page, meet } = world();
        for (const end of tries) {
          meet(end);
          const trying = page().carryOut('ada', 'reserve:s', '/sales/s/reservations', { quantity: 1 });
          const result = await Promise.race([
            trying.then(
              () => 'known',
              (error: unknown) => (isOutcome(error) ? 'known' : 'unknown'),
            ),
            new Promise((resolve) => setImmediate(() => resolve('unknown'))),
          ]);
          if (result === 'known') return;
          expect(page().open('ada').size).toBe(1);
        }
        meet('done');
        if (tries.length === 0) return;
        await page().carryOut('ada', 'reserve:s', '/sales/s/reservations', { quantity: 9 });
        expect([done.size, page().open('ada').size]).toEqual([1, 0]);
        expect([...done.values()]).toEqual([{ quantity: 1 }]);
      }),
      { numRuns: 200 },
    );
  });

  test('is meant anew after its end is known, and belongs to whoever meant it', async () => {
    const { done, page, meet } = world();
    await page().carryOut('ada', 'buy', '/purchases', {});
    await page().carryOut('ada', 'buy', '/purchases', {});
    expect(done.size).toBe(2);
    meet('lost');
    await expect(page().carryOut('ada', 'buy', '/purchases', {})).rejects.toThrow();
    expect([page().open('ada').size, page().open('bob').size]).toEqual([1, 0]);
  });

  test.each([
    [400, '', true],
    [409, 'sold_out', true],
    [409, 'idempotency_in_progress', false],
    [422, 'idempotency_key_reused', true],
    [401, '', false],
    [408, '', false],
    [429, '', false],
    [500, '', false],
    [503, 'queue_unavailable', false],
    [0, 'unreachable', false],
  ])('%s %s says what became of it: %s', (status, code, says) => {
    expect(isOutcome(refusal(status, code))).toBe(says);
  });
});
