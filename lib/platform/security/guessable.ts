/**
 * Passwords that an attacker would guess: those that many people use, patterns of the keyboard, dates, and what the account
 * itself says of its owner (zxcvbn). A long password may be one of them.
 */
import { ZxcvbnFactory } from '@zxcvbn-ts/core';
import { adjacencyGraphs, dictionary } from '@zxcvbn-ts/language-common';

/** zxcvbn's scale has 0 to 4; below 3, a hundred million guesses find it. */
const leastScore = 3;
/** So much of a password is looked at: enough to be a good one, and the time to look grows faster than the length. */
const charactersJudged = 64;

/** Public words of this service, which an attacker tries. */
const publicWords = ['holdfast'];

/** Judges passwords. */
export interface PasswordJudge {
  /**
   * Whether a password is too easily guessed by an attacker who knows these things about its owner. What is left of it without
   * them must be hard to guess as well: a name with a year and dots between is long, and no secret.
   */
  isGuessable(password: string, about: readonly string[]): boolean;
}

/** This environment's judge; kept by `deps.once(passwordJudgeOf)`, because its dictionary takes some time to build. */
export function passwordJudgeOf(): PasswordJudge {
  const zxcvbn = new ZxcvbnFactory({ dictionary, graphs: adjacencyGraphs });
  return { isGuessable: (password, about) => isGuessable(zxcvbn, password, about) };
}

function isGuessable(zxcvbn: ZxcvbnFactory, password: string, about: readonly string[]): boolean {
  const known = [...about, ...publicWords]
    .flatMap((text) => [text, text.replace(/[^\p{L}\p{N}]+/gu, ''), ...text.split(/[^\p{L}\p{N}]+/u)])
    .filter((text) => text.length > 2);
  const judged = password.slice(0, charactersJudged);
  const rest = without(judged, known);
  return [judged, ...(rest === judged ? [] : [rest])].some((text) => zxcvbn.check(text, known).score < leastScore);
}

function without(password: string, known: readonly string[]): string {
  const longestFirst = known.map((text) => text.toLowerCase()).sort((one, other) => other.length - one.length);
  return longestFirst.reduce((rest, text) => rest.replaceAll(text, ''), password.toLowerCase());
}
