/** API keys as text. */
import { newId } from '#platform/kernel/ids.ts';
import { isApiKey, isSameSecret, makeApiKey, readApiKey } from './api-key.ts';

const keyId = newId<'api key'>();

test('a key says its id, and shows by its hash that its secret is right', () => {
  const { text, secretHash } = makeApiKey(keyId);
  expect(isApiKey(text)).toBe(true);
  const read = readApiKey(text);
  expect(read?.keyId).toBe(keyId);
  expect(isSameSecret(read?.secretHash ?? Buffer.alloc(32), secretHash)).toBe(true);
  expect(text).not.toContain(secretHash.toString('base64url'));
});

test('two secrets of one key differ', () => {
  const [one, other] = [makeApiKey(keyId), makeApiKey(keyId)];
  expect(isSameSecret(one.secretHash, other.secretHash)).toBe(false);
});

test.each(['', 'hfk_', 'hfk_x_y', 'x', ' '])('%j in the place of a key is none', (text) => {
  expect(readApiKey(text)).toBeUndefined();
});

test('a key that is cut, longer, or written in capitals is none', () => {
  const { text } = makeApiKey(keyId);
  for (const wrong of [text.slice(0, -1), `${text}A`, text.toUpperCase(), `${text}\n`, ` ${text}`]) {
    expect([wrong, readApiKey(wrong)]).toEqual([wrong, undefined]);
  }
});
