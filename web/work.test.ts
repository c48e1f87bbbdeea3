import { readKeyRing } from '#platform/security/key-ring.ts';
import { openWork } from '#platform/security/proof-of-work.ts';
import { prove } from './work.ts';

test('what a page proves, the API takes', async () => {
  const work = openWork(readKeyRing('a secret'), Date.now);
  const challenge = await work.challenge('login');
  const proof = await prove(challenge);
  expect(await work.read(proof, 'login')).toMatchObject({ id: challenge.signature });
});
