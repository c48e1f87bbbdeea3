/** Numbers, money and times as the reader writes them, all in the one language of the page. */
import type { Words } from './words.ts';

export interface Format {
  number(value: number): string;
  money(amount: { readonly amountMinor: number; readonly currency: string }): string;
  /** A point in time, short: without the day if it is today. */
  time(iso: string): string;
  /** A point in time by which something is to be done: with the zone, and without the day if it is today. */
  deadline(iso: string): string;
  /** A point in time with its day, the zone, and the year if it is not this one. */
  fullTime(iso: string): string;
  /** A point in time with its day and year, and the zone: for what is kept. */
  dated(iso: string): string;
  /** From one point in time to another, with the day, the zone, and the year if it is not this one; what both share is said once. */
  span(from: string, to: string): string;
  /** A time of today to the second. */
  clock(atMs: number): string;
  /** How long it is until a point in time, for where it stands alone: 1 d 02:03:04. */
  until(iso: string): string;
  /** The same within a sentence, where 18:59 would be a time of day: 18 min 59 sec. The two greatest units are enough. */
  left(iso: string): string;
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

const ofTime: ReadonlySet<string | undefined> = new Set(['dayPeriod', 'hour', 'minute', 'second', 'timeZoneName']);

/**
 * Points in time in which a line may end between the day and the time, between one point and the other, and nowhere else: an hour
 * stays with its zone.
 */
function held(parts: readonly { readonly type: string; readonly value: string }[]): string {
  const isBetween = (at: number) =>
    (!ofTime.has(parts[at - 1]?.type) && ofTime.has(parts[at + 1]?.type)) || /[–~]/.test(parts[at]?.value ?? '');
  return parts.map(({ value }, at) => (isBetween(at) ? value : value.replaceAll(' ', '\u00a0'))).join('');
}

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
  const zoned = { hour: 'numeric', minute: '2-digit', timeZoneName: 'short' } as const;
  const full = { month: 'short', day: 'numeric', weekday: 'short', ...zoned } as const;
  const inZone = new Intl.DateTimeFormat(locale, zoned);
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

  const isToday = (iso: string) => new Date(iso).toDateString() === new Date(now()).toDateString();
  const written = (form: Intl.DateTimeFormat, iso: string) => held(form.formatToParts(new Date(iso)));
  const secondsUntil = (iso: string) => Math.max(0, Math.ceil((Date.parse(iso) - now()) / 1_000));
  const inUnit = (unit: string, unitDisplay: 'short' | 'long', value: number) =>
    new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay }).format(value);

  return {
    number: (value) => plain.format(value),
    money({ amountMinor, currency }) {
      const digits = minorDigits[currency] ?? 2;
      return amountIn(currency, digits).format(amountMinor / 10 ** digits);
    },
    time: (iso) => (isToday(iso) ? written(today, iso) : short.format(new Date(iso))),
    deadline: (iso) => written(isToday(iso) ? inZone : fitting(iso), iso),
    fullTime: (iso) => written(fitting(iso), iso),
    dated: (iso) => written(anyYear, iso),
    span(from, to) {
      const parts = fitting(from, to).formatRangeToParts(new Date(from), new Date(to));
      const [zone, other] = parts.flatMap(({ type }, at) => (type === 'timeZoneName' ? [at] : []));
      // Over several days each end has its zone; it is another one only where the clocks were set in between.
      if (zone === undefined || other === undefined || parts[zone]?.value !== parts[other]?.value) return held(parts);
      return held(parts.filter((_, at) => at !== zone - 1 && at !== zone));
    },
    clock: (atMs) => held(exact.formatToParts(atMs)),
    left(iso) {
      let rest = secondsUntil(iso);
      const from = lengths.findIndex(([, size]) => rest >= size || size === 1);
      const parts = lengths.slice(from, from + 2).map(([unit, size]) => {
        const whole = Math.floor(rest / size);
        rest %= size;
        return inUnit(unit, 'short', whole);
      });
      return parts.join(' ');
    },
    until(iso) {
      const seconds = secondsUntil(iso);
      const days = Math.floor(seconds / 86_400);
      const parts = [Math.floor(seconds / 3_600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
      const text = parts.map((part) => String(part).padStart(2, '0')).join(':');
      return days > 0 ? `${words.time.days(plain.format(days))} ${text}` : text.replace(/^00:/, '');
    },
    length(seconds) {
      const [unit, size] = lengths.find(([, size]) => seconds >= size && seconds % size === 0) ?? ['second', 1];
      return inUnit(unit, 'long', seconds / size);
    },
    isOne: (value) => plural.select(value) === 'one',
  };
}
