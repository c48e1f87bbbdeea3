/**
 * The languages of the shop: which one a reader gets, and its words, of which only those are loaded.
 */
import type { en } from './words/en.ts';

/** What there is to say, in one language. */
export type Words = typeof en;

export const languages = ['en', 'ko'] as const;
export type Language = (typeof languages)[number];

const slot = 'holdfast.language';

/** The language tag in which to write: the one chosen on this browser, or the first of its own that there are words for. */
export function chosenLocale(store: Pick<Storage, 'getItem'>, own: readonly string[]): string {
  const chosen = store.getItem(slot);
  const spoken = own.find((tag) => languageOf(tag) !== undefined);
  if (chosen && languageOf(chosen)) return spoken && languageOf(spoken) === chosen ? spoken : chosen;
  return spoken ?? 'en';
}

/** The language chosen on this browser; undefined if it goes by the browser's own. */
export function chosenLanguage(store: Pick<Storage, 'getItem'>): Language | undefined {
  return languageOf(store.getItem(slot) ?? '');
}

/** Keeps a choice, or forgets it. */
export function chooseLanguage(store: Pick<Storage, 'setItem' | 'removeItem'>, language: Language | undefined): void {
  if (language) store.setItem(slot, language);
  else store.removeItem(slot);
}

/** The language of a tag, such as ko for ko-KR, if there are words for it. */
export function languageOf(tag: string): Language | undefined {
  const [first] = tag.toLowerCase().split('-');
  return languages.find((language) => language === first);
}

/** The words of a language. */
export async function loadWords(language: Language): Promise<Words> {
  return language === 'ko' ? (await import('./words/ko.ts')).ko : (await import('./words/en.ts')).en;
}
