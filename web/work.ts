/**
 * Proof of work: what the API asks of a caller when many others come from the same address (ALTCHA, version 2). It takes a
 * moment of this device's time, and lets the call pass.
 */
import { solveChallenge } from 'altcha-lib';
import { deriveKey } from 'altcha-lib/algorithms/web/pbkdf2';
import type { Challenge } from '#platform/security/proof-of-work.ts';

/** Solves a challenge, however long it takes here; returns what the header `X-Proof-Of-Work` has to hold. */
export async function prove(challenge: Challenge): Promise<string> {
  const solution = await solveChallenge({ challenge, deriveKey, timeout: 0 });
  return btoa(JSON.stringify({ challenge, solution }));
}
