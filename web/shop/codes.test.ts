/** Access codes that links bring: kept by the browser, and no harm if it keeps nothing. */
import { openCodes } from './codes.ts';

function storeOf(kept: Record<string, string> = {}) {
  return {
    kept,
    getItem: (name: string) => kept[name] ?? null,
    setItem(name: string, value: string) {
      kept[name] = value;
    },
  };
}

test('a code is taken from the address, kept, and replaced by a newer one', () => {
  const store = storeOf();
  const codes = openCodes(store);
  codes.take('s1', '?code=first%2Done&lang=ko');
  codes.take('s2', '?lang=ko');
  expect([codes.of('s1'), codes.of('s2')]).toEqual(['first-one', undefined]);
  codes.take('s1', '?code=second');
  codes.take('s1', '');
  expect(openCodes(store).of('s1')).toBe('second');
});

test('the latest fifty are kept', () => {
  const store = storeOf();
  const codes = openCodes(store);
  for (let n = 0; n < 51; n++) codes.take(`s${n}`, `?code=c${n}`);
  const later = openCodes(store);
  expect([later.of('s0'), later.of('s1'), later.of('s50')]).toEqual([undefined, 'c1', 'c50']);
});

test.each(['nonsense', '{}', '[1]', '[["s1"]]', '[["s1",2]]', 'null'])('what is stored as %s is no code', (stored) => {
  const codes = openCodes(storeOf({ 'holdfast.codes': stored }));
  expect(codes.of('s1')).toBeUndefined();
});

test('a browser that keeps nothing has the code for this visit', () => {
  const codes = openCodes({
    getItem: () => {
      throw new Error('no storage');
    },
    setItem: () => {
      throw new Error('no storage');
    },
  });
  codes.take('s1', '?code=mine');
  expect(codes.of('s1')).toBe('mine');
});
