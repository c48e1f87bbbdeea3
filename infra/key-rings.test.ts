import { readKeyRing } from '#platform/security/key-ring.ts';
import { readSignedText, signText } from '#platform/security/signed-text.ts';
import { ringAfter } from './key-rings.ts';
import { type RotationStep, rotationSteps } from './signing-keys.ts';

/** What an environment makes and accepts that started with this text. */
const environment = (text: string) => {
  const { current, accepted, lasting } = readKeyRing(text);
  return {
    make: () => signText(current, 'a test', 'of ours'),
    accepts: (made: string) => readSignedText(accepted, 'a test', made) === 'of ours',
    lasting,
  };
};
const fresh = () => {
  let made = 0;
  return () => `key ${++made}`;
};

test('while one key replaces another, each environment accepts what any other makes, and what was made stays good', () => {
  const next = fresh();
  let text = 'as it was generated';
  const first = environment(text);
  const outstanding = first.make();
  let before = first;
  for (const step of [...rotationSteps, ...rotationSteps]) {
    const isRetired = text !== 'as it was generated' && !before.accepts(outstanding);
    text = ringAfter(step, text, next);
    const after = environment(text);
    for (const maker of [before, after]) {
      for (const reader of [before, after]) expect([step, reader.accepts(maker.make())]).toEqual([step, true]);
    }
    expect([step, after.accepts(outstanding)]).toEqual([step, step !== 'retire' && !isRetired]);
    expect(after.lasting).toBe(first.lasting);
    before = after;
  }
});

test('control: with the first step left out, environments of before refuse what the new key makes', () => {
  const before = environment('old');
  const after = environment(ringAfter('use', ringAfter('prepare', 'old', fresh()), fresh()));
  expect(before.accepts(after.make())).toBe(false);
});

test('a key that somebody knows is replaced at once, and with it what it made; the lasting one stays', () => {
  const text = ringAfter('make', ringAfter('prepare', 'old', fresh()), fresh());
  expect(environment(text).accepts(environment('old').make())).toBe(false);
  expect(readKeyRing(text)).toMatchObject({ accepted: ['key 1'], lasting: 'old' });
});

test('steps come in their turn', () => {
  const steps = (...names: RotationStep[]) => names.reduce((text, step) => ringAfter(step, text, fresh()), 'old');
  expect(() => steps('use')).toThrow('prepare');
  expect(() => steps('prepare', 'retire', 'retire')).toThrow('prepare');
  expect(() => steps('prepare', 'use', 'prepare')).toThrow('retire');
});
