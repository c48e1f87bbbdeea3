/**
 * The reader of a notice: language and time zone. Facts store times in ISO 8601; they are formatted for their reader when
 * they are read or pushed.
 */

/** Languages that notices are written in; the first is the default. */
const languages = ['en', 'ko'];

/** How text is written for a reader. */
export interface Reader {
  /** A language tag (BCP 47) of one of the languages, such as en-GB. */
  readonly locale: string;
  /** Formats a time (ISO 8601) in the reader's language and time zone, to the second and with the zone. */
  timeText(iso: string): string;
}

/** Whether this names a time zone (IANA), such as Asia/Seoul. */
export function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

/** A reader of this language, or of English, in this time zone, or in UTC. */
export function readerOf({
  locale = 'en',
  timeZone = 'UTC',
}: {
  readonly locale?: string | undefined;
  readonly timeZone?: string | undefined;
}): Reader {
  const spoken = isSpoken(locale) ? locale : 'en';
  const format = new Intl.DateTimeFormat(spoken, {
    ...{ timeZone, timeZoneName: 'short', year: 'numeric', month: 'short', day: 'numeric' },
    ...{ hour: 'numeric', minute: '2-digit', second: '2-digit' },
  });
  return { locale: spoken, timeText: (iso) => format.format(new Date(iso)) };
}

/** The preferred language tag of an Accept-Language header among the languages that notices are written in. */
export function localeFrom(acceptLanguage = ''): string | undefined {
  return acceptLanguage
    .split(',', 20)
    .flatMap((range) => {
      const [tag = '', weight] = range.trim().split(/\s*;\s*q=/i);
      const quality = weight === undefined ? 1 : Number(weight);
      return quality > 0 && isSpoken(tag) ? [{ tag, quality }] : [];
    })
    .toSorted((one, other) => other.quality - one.quality)
    .at(0)?.tag;
}

/** Whether this is a language tag of a language that notices are written in. */
export function isSpoken(tag: string): boolean {
  if (!/^[a-z]{2,3}(-[a-z0-9]{1,8}){0,3}$/i.test(tag)) return false;
  try {
    return languages.includes(new Intl.Locale(tag).language);
  } catch {
    return false;
  }
}
