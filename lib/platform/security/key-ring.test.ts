import { guardKeys, readKeyRing, writeKeyRing } from './key-ring.ts';

test('a text is one key, which everything is made with and which lasts', () => {
  expect(guardKeys({ 'secret/guard-key': 'abc' })).toEqual({ current: 'abc', accepted: ['abc'], lasting: 'abc' });
});

test('of a ring the first key makes, each is accepted, and the lasting one is what it was', () => {
  const text = writeKeyRing({ accepted: ['b', 'a'], lasting: 'a' });
  expect(readKeyRing(text)).toEqual({ current: 'b', accepted: ['b', 'a'], lasting: 'a' });
});

test.each([
  '{',
  '{}',
  '{"keys":[],"lasting":"hidden"}',
  '{"keys":["hidden"]}',
  '{"keys":["hidden",""],"lasting":"a"}',
  '{hidden',
])('%s is no ring, and the error does not tell what is in it', (text) => {
  expect(() => readKeyRing(text)).toThrow(/^a secret is no ring of keys$/);
});
