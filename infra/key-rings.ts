/**
 * The rings of keys of a stage (`lib/platform/security/key-ring.ts`), and how one key takes the place of another: in the steps of
 * the signing key (`signing-keys.ts`). The lasting key of a ring is never replaced: with another one a person who has
 * had their share would be somebody new.
 *
 * Invariant: between two steps that are a deployment apart, what any environment makes is accepted by every other; and what a key
 * made is accepted until it is retired.
 */
import { readKeyRing, writeKeyRing } from '#platform/security/key-ring.ts';
import { afterStep, type RotationStep } from './signing-keys.ts';

/** The text of the secret after a step; `make` puts a new key in the place of all others at once. Throws for a step out of turn. */
export function ringAfter(step: RotationStep | 'make', text: string, fresh: () => string): string {
  const { accepted, lasting } = readKeyRing(text);
  const { keys } = step === 'make' ? { keys: [fresh()] } : afterStep(step, { keys: accepted }, fresh);
  return writeKeyRing({ accepted: keys, lasting });
}
