import { expect, it } from '@jest/globals';
import { beginPaced, withTimeToSpare } from './pace.ts';

/** A clock that shows the real time, from which `work` takes as long as it says without anybody waiting for it. */
function worked(): { clock: () => number; work(ms: number): void; restedMs(): number } {
  let workedMs = 0;
  const start = performance.now();
  return {
    clock: () => performance.now() - start + workedMs,
    work: (ms) => {
      workedMs += ms;
    },
    restedMs: () => performance.now() - start,
  };
}

it('rests for as long as a step took', async () => {
  const { clock, work, restedMs } = worked();
  const rest = beginPaced(clock);
  work(30);
  await rest(10_000);
  work(40);
  await rest(10_000);
  expect(restedMs()).toBeGreaterThanOrEqual(68);
});

it('rests longer where there is time to spare', async () => {
  const { clock, work, restedMs } = worked();
  const rest = beginPaced(clock, withTimeToSpare);
  work(30);
  await rest(10_000);
  expect(restedMs()).toBeGreaterThanOrEqual(58);
});

it('does not rest after a step that took no time', async () => {
  const rest = beginPaced(() => 7);
  const before = performance.now();
  for (let step = 0; step < 1_000; step++) await rest(10_000);
  expect(performance.now() - before).toBeLessThan(500);
});

it('counts neither the rest nor what was before it to the next step', async () => {
  let nowMs = 0;
  const rest = beginPaced(() => nowMs);
  nowMs = 20;
  await rest(10_000);
  const before = performance.now();
  await rest(10_000);
  expect(performance.now() - before).toBeLessThan(15);
});

it('does not rest beyond the time it is given, nor long after a step that hung', async () => {
  const { clock, work, restedMs } = worked();
  const rest = beginPaced(clock);
  work(5_000);
  await rest(5_000);
  expect(restedMs()).toBeLessThan(200);
  work(60_000);
  await rest(1_000_000);
  expect(restedMs()).toBeLessThan(2_000);
});
