import { readSignedText, signText } from './signed-text.ts';

test('signed text comes back as it was', () => {
  expect(readSignedText(['secret'], 'about a', signText('secret', 'about a', '{"a":"ä"}'))).toBe('{"a":"ä"}');
});

test('text that was altered, moved to something else, signed by others or not signed at all is none', () => {
  const signed = signText('secret', 'about a', 'one');
  const [, signature] = signed.split('.');
  const forged = `${Buffer.from('two').toString('base64url')}.${signature}`;
  for (const text of [
    forged,
    signText('other', 'about a', 'one'),
    signText('secret', 'about b', 'one'),
    'one',
    '',
    '.',
  ]) {
    expect(readSignedText(['secret'], 'about a', text)).toBeUndefined();
  }
});

test('text is accepted that any of several secrets signed', () => {
  for (const secret of ['new', 'old']) {
    expect(readSignedText(['new', 'old'], 'about a', signText(secret, 'about a', 'one'))).toBe('one');
  }
  expect(readSignedText(['new'], 'about a', signText('old', 'about a', 'one'))).toBeUndefined();
});
