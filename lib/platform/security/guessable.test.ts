import { passwordJudgeOf } from './guessable.ts';

const judge = passwordJudgeOf();
const about = ['ada.lovelace@example.com', 'Ada Lovelace'];

test.each([
  'password123',
  'P@ssw0rd123',
  'qwertyuiop',
  '1234567890',
  'aaaaaaaaaaaaaaa',
  'adalovelace',
  'AdaLovelace1',
  'ada.lovelace@example.com',
  'lovelace1815',
  'ecalevolada',
  'ada.lovelace.2026',
  'Ada-Lovelace!2026',
  'adalovelace@example',
  'Holdfast2026!',
])('%s is refused', (password) => {
  expect(judge.isGuessable(password, about)).toBe(true);
});

test.each([
  'correct horse battery',
  'xK3#9vLq2!',
  'alice has a password',
  'lovelace xK3#9vLq2!',
  '비밀번호가 아주 길다',
])('%s is taken', (password) => {
  expect(judge.isGuessable(password, about)).toBe(false);
});

test('the time to judge a long one is bounded', () => {
  const startedAt = performance.now();
  judge.isGuessable('aZ1!'.repeat(256), about);
  expect(performance.now() - startedAt).toBeLessThan(2_000);
});
