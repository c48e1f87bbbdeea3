/**
 * Passwords that somebody who guesses would try: those that many people use, patterns of the keyboard, dates, and what the
 * account itself says of its owner (zxcvbn). Length alone does not keep a password from being one of them.
 */
import { ZxcvbnFactory } from '@zxcvbn-ts/core';
import { adjacencyGraphs, dictionary } from '@zxcvbn-ts/language-common';

/** zxcvbn's scale has 0 to 4; below 3, a hundred million guesses find it. */
const leastScore = 3;
/** So much of a password is looked at: enough to be a good one, and the time to look grows faster than the length. */
const charactersJudged = 64;

/** Built on first use: its dictionary takes some time. */
let judge: ZxcvbnFactory | undefined;

/** What everybody knows of this place, and tries. */
const everybodys = ['holdfast'];

/**
 * Whether a password is too easily guessed by somebody who knows these things about its owner. What is left of it without them
 * must be hard to guess as well: a name with a year and dots between is long, and no secret.
 */
export function isGuessable(password: string, about: readonly string[]): boolean {
  judge ??= new ZxcvbnFactory({ dictionary, graphs: adjacencyGraphs });
  const zxcvbn = judge;
  const known = [...about, ...everybodys]
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
