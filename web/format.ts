/** Numbers, money and times as the reader writes them, all in the one language of the page. */
import type { Words } from './words.ts';

export interface Format {
  number(value: number): string;
  money(amount: { readonly amountMinor: number; readonly currency: string }): string;
  /** A point in time, short: without the day if it is today. */
  time(iso: string): string;
  /** A point in time with its day, the zone, and the year if it is not this one. */
  fullTime(iso: string): string;
  /** A point in time with its day and year, and the zone: for what is kept. */
  dated(iso: string): string;
  /** From one point in time to another, with the day, the zone, and the year if it is not this one; what both share is said once. */
  span(from: string, to: string): string;
  /** A time of today to the second. */
  clock(atMs: number): string;
  /** How long it is until a point in time: 1 d 02:03:04. */
  until(iso: string): string;
  /** A length of time in words, such as 2 hours. */
  length(seconds: number): string;
  /** Whether a number takes the singular. */
  isOne(value: number): boolean;
}

const lengths = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
] as const;

/** Formats for a language tag. `now` is the time by the server. */
export function formatFor(
  locale: string,
  words: Pick<Words, 'time'>,
  now: () => number,
  minorDigits: Readonly<Record<string, number>> = {},
): Format {
  // A zero has no sign, whatever it was made of.
  const plain = new Intl.NumberFormat(locale, { signDisplay: 'negative' });
  const plural = new Intl.PluralRules(locale);
  const today = new Intl.DateTimeFormat(locale, { timeStyle: 'short' });
  const exact = new Intl.DateTimeFormat(locale, { timeStyle: 'medium' });
  const short = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' });
  const day = { month: 'short', day: 'numeric', weekday: 'short' } as const;
  const full = { ...day, hour: 'numeric', minute: '2-digit', timeZoneName: 'short' } as const;
  const thisYear = new Intl.DateTimeFormat(locale, full);
  const anyYear = new Intl.DateTimeFormat(locale, { year: 'numeric', ...full });
  const yearOf = (time: number | string) => new Date(time).getFullYear();
  const fitting = (...times: string[]) => (times.every((iso) => yearOf(iso) === yearOf(now())) ? thisYear : anyYear);
  const amounts = new Map<string, Intl.NumberFormat>();

  function amountIn(currency: string, digits: number): Intl.NumberFormat {
    const known = amounts.get(currency);
    if (known) return known;
    const made = new Intl.NumberFormat(locale, {
      ...{ style: 'currency', currency, minimumFractionDigits: digits, maximumFractionDigits: digits },
    });
    amounts.set(currency, made);
    return made;
  }

  return {
    number: (value) => plain.format(value),
    money({ amountMinor, currency }) {
      const digits = minorDigits[currency] ?? 2;
      return amountIn(currency, digits).format(amountMinor / 10 ** digits);
    },
    time(iso) {
      const time = new Date(iso);
      // An hour stays with what says whether it is of the morning.
      if (time.toDateString() === new Date(now()).toDateString()) return today.format(time).replaceAll(' ', '\u00a0');
      return short.format(time);
    },
    fullTime: (iso) => fitting(iso).format(new Date(iso)),
    dated: (iso) => anyYear.format(new Date(iso)),
    span: (from, to) => fitting(from, to).formatRange(new Date(from), new Date(to)),
    clock: (atMs) => exact.format(atMs),
    until(iso) {
      const seconds = Math.max(0, Math.ceil((Date.parse(iso) - now()) / 1_000));
      const days = Math.floor(seconds / 86_400);
      const parts = [Math.floor(seconds / 3_600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
      const text = parts.map((part) => String(part).padStart(2, '0')).join(':');
      return days > 0 ? `${words.time.days(plain.format(days))} ${text}` : text.replace(/^00:/, '');
    },
    length(seconds) {
      const [unit, size] = lengths.find(([, size]) => seconds >= size && seconds % size === 0) ?? ['second', 1];
      return new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'long' }).format(seconds / size);
    },
    isOne: (value) => plural.select(value) === 'one',
  };
}
