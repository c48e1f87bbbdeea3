import { missesAtMost, missesOf, missesWithinMs } from './unknown-ids.ts';

function opened() {
  let nowMs = 1_000;
  const misses = missesOf({ clock: () => nowMs });
  return { misses, pass: (ms: number) => (nowMs += ms) };
}

test('a caller who asks for many things that do not exist has to wait, and other callers do not', () => {
  const { misses, pass } = opened();
  for (let n = 1; n < missesAtMost; n++) misses.note('one');
  expect(misses.refusal('one')).toBeUndefined();
  pass(4_000);
  misses.note('one');
  expect(misses.refusal('one')).toMatchObject({ refused: 'too_many_requests', facts: { retryAfterSeconds: 6 } });
  expect(misses.refusal('another')).toBeUndefined();
});

test('when the time is over it counts anew', () => {
  const { misses, pass } = opened();
  for (let n = 1; n <= missesAtMost; n++) misses.note('one');
  pass(missesWithinMs);
  expect(misses.refusal('one')).toBeUndefined();
  misses.note('one');
  expect(misses.refusal('one')).toBeUndefined();
});
