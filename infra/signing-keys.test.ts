import { generateKeyPairSync } from 'node:crypto';
import type { JWK } from 'jose';
import { type Caller, openTokens } from '#platform/security/access-token.ts';
import { newId } from '#test/support/ids.ts';
import { afterStep, publicHalves, type RotationStep, type SigningKeys } from './signing-keys.ts';

const fresh = () => generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }) as JWK;
const caller: Caller = { customerId: newId(), role: 'customer' };

/** An environment that signs, and one that verifies, with the keys that they started with. */
async function environments(keys: SigningKeys) {
  return {
    signer: await openTokens(JSON.stringify(keys), Date.now),
    verifier: await openTokens(JSON.stringify(publicHalves(keys)), Date.now),
  };
}

test('while one key replaces another, no environment refuses a token that another has issued', async () => {
  let keys: SigningKeys = { keys: [fresh()] };
  const first = keys.keys[0];
  let before = await environments(keys);
  for (const step of ['prepare', 'use', 'retire'] satisfies RotationStep[]) {
    keys = afterStep(step, keys, fresh);
    // Until all are replaced, environments of before and after the step run beside each other.
    const after = await environments(keys);
    for (const { verifier } of [before, after]) {
      for (const { signer } of [before, after]) {
        expect([step, await verifier.verify(await signer.issue(caller))]).toMatchObject([step, caller]);
      }
    }
    before = after;
  }
  expect(keys.keys).toHaveLength(1);
  expect(keys.keys[0]).not.toEqual(first);
  const old = await openTokens(JSON.stringify(first), Date.now);
  expect(await before.verifier.verify(await old.issue(caller))).toBeUndefined();
});

test('control: a key that is replaced at once refuses the tokens of the one before', async () => {
  const [old, other] = [await environments({ keys: [fresh()] }), await environments({ keys: [fresh()] })];
  expect(await other.verifier.verify(await old.signer.issue(caller))).toBeUndefined();
});

test('no private half is among the public ones, and a verifier signs nothing', async () => {
  const keys = afterStep('prepare', { keys: [fresh()] }, fresh);
  expect(JSON.stringify(publicHalves(keys))).not.toContain('"d"');
  const { verifier } = await environments(keys);
  await expect(verifier.issue(caller)).rejects.toThrow('no private key to sign');
});

test('steps come in their turn', () => {
  const one = { keys: [fresh()] };
  expect(() => afterStep('prepare', { keys: [] }, fresh)).toThrow('make');
  expect(() => afterStep('use', one, fresh)).toThrow('prepare');
  expect(() => afterStep('retire', one, fresh)).toThrow('prepare');
  expect(() => afterStep('prepare', afterStep('prepare', one, fresh), fresh)).toThrow('retire');
});
