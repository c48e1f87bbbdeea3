import { jest } from '@jest/globals';
import { Problem } from './problem.ts';
import { waitUntil } from './wait.ts';

/** Something that is decided after a while, and whoever waits for it. */
function world({ live = false, faults = 0 } = {}) {
  let [isDecided, asked, faulty] = [false, 0, faults];
  const wakes = new Set<() => void>();
  const waiting = (signal?: AbortSignal) =>
    waitUntil({
      async read() {
        asked += 1;
        if (faulty-- > 0) throw new Problem(503, {});
        return isDecided;
      },
      isOver: (view) => view,
      listen(wake) {
        wakes.add(wake);
        return () => wakes.delete(wake);
      },
      isLive: () => live,
      signal,
    });
  return {
    waiting,
    wakes,
    asked: () => asked,
    decide: () => {
      isDecided = true;
    },
    push: () => {
      for (const wake of [...wakes]) wake();
    },
  };
}

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

describe('waiting', () => {
  test('ends at once with a push, and then listens no more', async () => {
    const { waiting, decide, push, wakes, asked } = world({ live: true });
    const over = waiting();
    await jest.advanceTimersByTimeAsync(5_000);
    const before = asked();
    decide();
    push();
    await expect(over).resolves.toBe(true);
    expect([asked(), wakes.size]).toEqual([before + 1, 0]);
  });

  test('that a push reaches while it asks asks once more', async () => {
    const { waiting, decide, push, asked } = world({ live: true });
    const over = waiting();
    push();
    decide();
    await jest.advanceTimersByTimeAsync(0);
    await expect(over).resolves.toBe(true);
    expect(asked()).toBeLessThanOrEqual(2);
  });

  test.each([
    [true, 25_000],
    [false, 12_500],
  ])('without a push (connected: %s) it asks by itself at least every %s ms, and not in a hurry', async (live, ms) => {
    const { waiting, decide, asked } = world({ live });
    const over = waiting();
    await jest.advanceTimersByTimeAsync(600_000);
    expect(asked()).toBeLessThan(100);
    decide();
    await jest.advanceTimersByTimeAsync(ms);
    await expect(over).resolves.toBe(true);
  });

  test('goes on over faults, and ends with a refusal or with its signal', async () => {
    const { waiting, decide } = world({ faults: 3 });
    const over = waiting();
    decide();
    await jest.advanceTimersByTimeAsync(30_000);
    await expect(over).resolves.toBe(true);

    const refused = waitUntil({
      read: () => Promise.reject(new Problem(404, { code: 'not_found' })),
      isOver: () => true,
      listen: () => () => undefined,
      isLive: () => true,
    });
    await expect(refused).rejects.toMatchObject({ code: 'not_found' });

    const given = new AbortController();
    const { waiting: endless, wakes } = world();
    const stopped = expect(endless(given.signal)).rejects.toThrow('enough');
    await jest.advanceTimersByTimeAsync(1_500);
    given.abort(new Error('enough'));
    await stopped;
    expect(wakes.size).toBe(0);
  });
});
