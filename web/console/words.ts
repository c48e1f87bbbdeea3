/** The words of the console: the shop's, and its own, in one language. */
import { type Language, loadWords, type Words } from '../words.ts';
import type { en } from './words/en.ts';

/** What only the console says. */
export type OwnWords = typeof en;

/** What there is to say in the console, in one language. */
export type ConsoleWords = Words & { readonly console: OwnWords };

/** The words of a language. */
export async function loadConsoleWords(language: Language): Promise<ConsoleWords> {
  const [shared, own] = await Promise.all([
    loadWords(language),
    language === 'ko'
      ? import('./words/ko.ts').then(({ ko }): OwnWords => ko)
      : import('./words/en.ts').then(({ en }) => en),
  ]);
  return { ...shared, console: own };
}
