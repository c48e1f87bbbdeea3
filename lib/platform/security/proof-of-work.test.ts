import { type Payload, solveChallenge } from 'altcha-lib';
import { deriveKey } from 'altcha-lib/algorithms/pbkdf2';
import { readKeyRing } from './key-ring.ts';
import { type Challenge, challengeLifeMs, openWork } from './proof-of-work.ts';

const time = { nowMs: Date.now() };
const work = openWork(readKeyRing('a secret'), () => time.nowMs);
const encoded = (payload: unknown) => Buffer.from(JSON.stringify(payload)).toString('base64');
const solved = async (challenge: Challenge) => {
  const solution = await solveChallenge({ challenge, deriveKey });
  if (!solution) throw new Error('not solved');
  return { challenge, solution } satisfies Payload;
};

test('a solution is a proof for the purpose of its challenge, as often as it is read, with one id', async () => {
  const payload = await solved(await work.challenge('login'));
  const proof = await work.read(encoded(payload), 'login');
  expect(proof).toMatchObject({ id: payload.challenge.signature, madeAtMs: time.nowMs });
  expect(await work.read(encoded(payload), 'login')).toEqual(proof);
  expect(await work.read(encoded(payload), 'register')).toBeUndefined();
  expect(
    await openWork(readKeyRing('another secret'), () => time.nowMs).read(encoded(payload), 'login'),
  ).toBeUndefined();
});

test('it ends with its challenge', async () => {
  const payload = encoded(await solved(await work.challenge('login')));
  time.nowMs += challengeLifeMs + 1_000;
  expect(await work.read(payload, 'login')).toBeUndefined();
  time.nowMs -= challengeLifeMs + 1_000;
});

test('what was made up is no proof, and no error', async () => {
  const { challenge, solution } = await solved(await work.challenge('login'));
  const parameters = (change: object) => ({
    challenge: { ...challenge, parameters: { ...challenge.parameters, ...change } },
    solution,
  });
  const wrong: unknown[] = [
    { challenge, solution: { ...solution, counter: solution.counter + 1 } },
    { challenge, solution: { ...solution, derivedKey: '00' } },
    { challenge, solution: null },
    { challenge },
    parameters({ keyPrefix: '' }),
    parameters({ cost: 1 }),
    parameters({ cost: 2 ** 31 }),
    parameters({ data: { purpose: 'login', madeAtMs: time.nowMs + 60_000 } }),
    parameters({ algorithm: 'none' }),
    parameters({ expiresAt: Number.MAX_SAFE_INTEGER }),
    parameters({ nonce: 'zz' }),
    { challenge: { parameters: challenge.parameters }, solution },
    { challenge: { parameters: null }, solution },
    null,
    1,
    [],
    {},
  ];
  for (const payload of wrong) expect(await work.read(encoded(payload), 'login')).toBeUndefined();
  for (const header of [undefined, '', 'x', '{}', 'A'.repeat(100_000)]) {
    expect(await work.read(header, 'login')).toBeUndefined();
  }
});
