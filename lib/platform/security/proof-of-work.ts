/**
 * Proof of work: what a caller beyond a free rate does instead of being refused, so that many people behind one address are
 * slowed down and not shut out, while a script pays for every further attempt (ALTCHA, version 2).
 *
 * A challenge is signed and kept nowhere. It names the purpose it was made for and when, ends after five minutes, and its solution
 * is good for one attempt: the caller of `read` must accept each `id` once.
 */
import { createHmac } from 'node:crypto';
import { type Challenge, createChallenge, type Payload, verifySolution } from 'altcha-lib';
import { deriveKey } from 'altcha-lib/algorithms/pbkdf2';
import type { Clock } from '#platform/kernel/clock.ts';
import type { KeyRing } from './key-ring.ts';

export type { Challenge } from 'altcha-lib';

/** How long a challenge may be solved and its solution sent. */
export const challengeLifeMs = 300_000;
/** Each guess derives a key with so many rounds, and one of 256 is right: some 55 ms of a fast core, a quarter to half a second on a phone. */
const roundsPerGuess = 1_000;
const solvedPrefix = '00';
/** Longer than any solution of a challenge that was made here. */
const longestProof = 2_048;

/** A solution that is right. The same `id` must not be accepted a second time before `expiresAtMs`. */
export interface Proof {
  readonly id: string;
  /** When its challenge was made: the work was not done before. */
  readonly madeAtMs: number;
  readonly expiresAtMs: number;
}

export interface Work {
  /** A new challenge for one purpose, such as "login". */
  challenge(purpose: string): Promise<Challenge>;
  /** The proof that a header holds; undefined if it is missing, malformed, expired, not ours, or for another purpose. */
  read(header: string | undefined, purpose: string): Promise<Proof | undefined>;
}

/** Opens challenges that are signed with a key derived from the current one, and accepts those of all accepted ones. */
export function openWork({ current, accepted }: Pick<KeyRing, 'current' | 'accepted'>, clock: Clock): Work {
  const derived = (key: string) => createHmac('sha256', key).update('proof of work').digest('base64url');
  const readers = accepted.map(derived);
  return {
    challenge: (purpose) =>
      createChallenge({
        algorithm: 'PBKDF2/SHA-256',
        cost: roundsPerGuess,
        keyPrefix: solvedPrefix,
        deriveKey,
        data: { purpose, madeAtMs: clock() },
        expiresAt: Math.floor((clock() + challengeLifeMs) / 1_000),
        hmacSignatureSecret: derived(current),
      }),
    read: async (header, purpose) => {
      const payload = parse(header);
      if (!payload) return undefined;
      const { challenge, solution } = payload;
      const { data, expiresAt = 0 } = challenge.parameters;
      const madeAtMs = Number(data?.madeAtMs ?? 0);
      if (data?.purpose !== purpose || expiresAt * 1_000 <= clock()) return undefined;
      const results = await Promise.all(
        readers.map((hmacSignatureSecret) =>
          // The library throws for some solutions that a client made up; they are wrong like others.
          verifySolution({ challenge, solution, deriveKey, hmacSignatureSecret }).catch(() => undefined),
        ),
      );
      if (!results.some((result) => result?.verified)) return undefined;
      return { id: challenge.signature ?? '', madeAtMs, expiresAtMs: expiresAt * 1_000 };
    },
  };
}

/** A header is JSON in base64, as ALTCHA's own clients send it. */
function parse(header: string | undefined): Payload | undefined {
  if (!header || header.length > longestProof) return undefined;
  try {
    const payload = JSON.parse(Buffer.from(header, 'base64').toString()) as Partial<Payload> | null;
    const parameters = payload?.challenge?.parameters as unknown;
    return typeof parameters === 'object' && parameters !== null ? (payload as Payload) : undefined;
  } catch {
    return undefined;
  }
}
