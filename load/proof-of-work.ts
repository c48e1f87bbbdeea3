/**
 * The proof of work from a client's side: solving challenges, and what that costs.
 */
import { solveChallenge } from 'altcha-lib';
import { deriveKey } from 'altcha-lib/algorithms/pbkdf2';
import { readKeyRing } from '#platform/security/key-ring.ts';
import { type Challenge, openWork } from '#platform/security/proof-of-work.ts';

/** How many times slower phones are than a fast desktop, by Lighthouse's table: middling and cheap ones. */
const slowerPhones = { middling: 4, cheap: 10 };
/** How many guesses a challenge takes on average. */
const guessesOnAverage = 256;
const challengesMeasured = 20;

/** The header that proves the work. */
export async function solve(challenge: Challenge): Promise<string> {
  const solution = await solveChallenge({ challenge, deriveKey });
  return Buffer.from(JSON.stringify({ challenge, solution })).toString('base64');
}

/** What one proof of work costs, in milliseconds of one core. */
export interface CostOfWork {
  readonly hereMs: number;
  readonly middlingPhoneMs: number;
  readonly cheapPhoneMs: number;
}

/** Measures the processor time of an average proof here, whatever else runs, and scales it to phones. */
export async function measureWork(): Promise<CostOfWork> {
  const works = openWork(readKeyRing('measured'), () => Date.now());
  const challenges = await Promise.all(Array.from({ length: challengesMeasured }, () => works.challenge('measured')));
  let guesses = 0;
  const before = process.cpuUsage();
  for (const challenge of challenges) {
    const solution = await solveChallenge({ challenge, deriveKey });
    guesses += (solution?.counter ?? 0) + 1;
  }
  const { user, system } = process.cpuUsage(before);
  const hereMs = ((user + system) / 1_000 / guesses) * guessesOnAverage;
  return {
    hereMs,
    middlingPhoneMs: hereMs * slowerPhones.middling,
    cheapPhoneMs: hereMs * slowerPhones.cheap,
  };
}
