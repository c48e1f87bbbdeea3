import { openSeen } from './seen.ts';

const clockAt = (nowMs: number) => {
  const clock = Object.assign(() => clock.nowMs, { nowMs });
  return clock;
};

describe('what an environment knows of the reservations it decides', () => {
  it('names the work that decides a reservation until that ends', async () => {
    const seen = openSeen(clockAt(0));
    let end = (): void => undefined;
    const work = seen.during(['a', 'b'], () => new Promise<void>((resolve) => (end = resolve)));
    expect(seen.underWay('a')).toBeDefined();
    expect(seen.underWay('c')).toBeUndefined();
    expect(seen.has('a')).toBe(false);
    end();
    await work;
    expect(seen.underWay('a')).toBeUndefined();
    expect([seen.has('a'), seen.has('b'), seen.has('c')]).toEqual([true, true, false]);
  });

  it('has work that failed looked up the next time, and tells who waits for it', async () => {
    const seen = openSeen(clockAt(0));
    const failed = seen.during(['a'], () => Promise.reject(new Error('no')));
    await expect(seen.underWay('a')).rejects.toThrow('no');
    await expect(failed).rejects.toThrow('no');
    expect(seen.has('a')).toBe(true);
    expect(seen.underWay('a')).toBeUndefined();
  });

  it('has everything looked up for a while after a surprise', () => {
    const clock = clockAt(1_000);
    const seen = openSeen(clock);
    seen.surprised();
    expect(seen.has('never heard of')).toBe(true);
    clock.nowMs += 30_000;
    expect(seen.has('never heard of')).toBe(false);
  });

  it('forgets in the end, so that its memory is bounded', async () => {
    const seen = openSeen(clockAt(0));
    const ids = (from: number) => Array.from({ length: 20_000 }, (_, n) => String(from + n));
    for (const from of [0, 20_000]) await seen.during(ids(from), async () => undefined);
    expect(seen.has('30000')).toBe(true);
    await seen.during(ids(40_000), async () => undefined);
    expect([seen.has('0'), seen.has('30000'), seen.has('50000')]).toEqual([false, false, true]);
  });
});
