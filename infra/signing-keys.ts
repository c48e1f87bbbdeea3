/**
 * The keys that sign access tokens, and how one takes the place of another while tokens of both are accepted.
 *
 *   prepare   a new key is verified everywhere and signs nothing; the old one goes on signing
 *   use       the new key signs; tokens of the old one are verified until they expire
 *   retire    only the key that signs is left
 *
 * Invariant: between two steps that are a deployment and the life of a token apart, every token that is issued by any
 * environment is accepted by every other.
 */
import type { JWK } from 'jose';

/** Keys of one kind; the first is used. */
export interface Keys<Key> {
  readonly keys: readonly Key[];
}

/** Private keys; the first signs. The form of the secret. */
export type SigningKeys = Keys<JWK>;

export const rotationSteps = ['prepare', 'use', 'retire'] as const;
export type RotationStep = (typeof rotationSteps)[number];

/** The keys after a step; `fresh` is a new private key, for the step that needs one. Throws for a step out of turn. */
export function afterStep<Key>(step: RotationStep, { keys }: Keys<Key>, fresh: () => Key): Keys<Key> {
  const [current, next, ...others] = keys;
  if (!current) throw new Error('there is no key yet: make one with make');
  if (step === 'prepare') {
    if (next) throw new Error('another key is being replaced: finish with use and retire');
    return { keys: [current, fresh()] };
  }
  if (!next || others.length > 0) throw new Error('no key waits: begin with prepare');
  return { keys: step === 'use' ? [next, current] : [current] };
}

/** The public halves, for those who verify. */
export function publicHalves({ keys }: SigningKeys): SigningKeys {
  return { keys: keys.map(({ d: _private, ...half }) => half) };
}
