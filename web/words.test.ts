import { routes } from '#functions/http/routes.ts';
import { codes } from '#platform/kernel/errors.ts';
import { isAtLeast } from '#platform/security/roles.ts';
import { type ConsoleWords, loadConsoleWords } from './console/words.ts';
import { formatFor } from './format.ts';
import { chosenLocale, languages } from './words.ts';

/** Every text of the words, by its path; what takes arguments is called with them. */
function textsOf(words: object, path = '', given = ['①', '②', '③']): [string, string][] {
  return Object.entries(words).flatMap(([key, value]): [string, string][] => {
    const name = path ? `${path}.${key}` : key;
    if (typeof value === 'string') return [[name, value]];
    if (typeof value === 'function') return [[name, String(value(...given.slice(0, value.length)))]];
    return textsOf(value as object, name, given);
  });
}

let words: Record<(typeof languages)[number], ConsoleWords>;
beforeAll(async () => {
  words = { en: await loadConsoleWords('en'), ko: await loadConsoleWords('ko') };
});

const named = (texts: [string, string][]) => texts.map(([name]) => name).sort();

describe('the words of the shop and of the console', () => {
  test('every language has the same keys', () => {
    const [first, ...others] = languages.map((language) => named(textsOf(words[language])));
    expect(first?.length).toBeGreaterThan(600);
    for (const keys of others) expect(keys).toEqual(first);
  });

  test('no text is empty, and each says what it is given', () => {
    for (const language of languages) {
      const english = new Map(textsOf(words.en));
      for (const [name, text] of textsOf(words[language])) {
        expect([language, name, text.trim()]).not.toEqual([language, name, '']);
        const given = (english.get(name)?.match(/[①②③]/g) ?? []).sort();
        expect([language, name, (text.match(/[①②③]/g) ?? []).sort()]).toEqual([language, name, given]);
      }
    }
  });

  test('one of something is not written as if it were several', () => {
    const ones = textsOf(words.en, '', ['1', '1', '1']).filter(([, text]) => /\b1 ([a-z]{3,}s|are|were)\b/.test(text));
    expect(ones).toEqual([]);
  });

  test('English has no Korean letters; Korean has no words in Latin ones', () => {
    expect(textsOf(words.en).filter(([, text]) => /[가-힣]/.test(text))).toEqual([]);
    // Names of things are the same in both.
    const own = /Holdfast|ada@example\.com|UTC|JPEG|PNG|WebP/g;
    expect(textsOf(words.ko).filter(([, text]) => /[A-Za-z]{2,}/.test(text.replaceAll(own, '')))).toEqual([]);
  });

  test('every act that the trail can name has its words, and nothing else', () => {
    const acts = Object.values(routes)
      .filter(({ auth }) => auth !== 'none' && auth !== 'optional' && isAtLeast(auth, 'operator'))
      .filter(({ method, path }) => method !== 'GET' || /\/export/.test(path))
      .map(({ method, path }) => `${method} ${path}`);
    for (const language of languages)
      expect(Object.keys(words[language].console.acts.did).sort()).toEqual([...acts, 'npm run admin'].sort());
  });

  test('every problem of the API has its words', () => {
    for (const language of languages)
      expect(Object.keys(words[language].problems)).toEqual(expect.arrayContaining(Object.keys(codes)));
  });
});

test.each([
  [null, ['ko-KR', 'en'], 'ko-KR'],
  [null, ['fr-FR', 'en-GB', 'ko'], 'en-GB'],
  [null, ['fr'], 'en'],
  ['ko', ['en-GB'], 'ko'],
  ['en', ['ko-KR', 'en-GB'], 'en'],
  ['ko', ['ko-KR'], 'ko-KR'],
  ['xx', ['ko'], 'ko'],
])('chosen %s, a browser in %j is written to in %s', (chosen, own, locale) => {
  expect(chosenLocale({ getItem: () => chosen }, own)).toBe(locale);
});

describe('formats', () => {
  const now = Date.parse('2030-05-01T12:00:00Z');
  const format = (locale: 'en' | 'ko') => formatFor(locale, words[locale], () => now, { KRW: 0 });

  test('money has the digits of its currency, and is written as its reader does', () => {
    const won = { amountMinor: 189_000, currency: 'KRW' };
    expect([format('en').money(won), format('ko').money(won)]).toEqual(['₩189,000', '₩189,000']);
    expect(format('en').money({ amountMinor: 4_999, currency: 'EUR' })).toBe('€49.99');
  });

  test('a countdown goes by the time it is given', () => {
    const left = (iso: string) => [format('en').until(iso), format('ko').until(iso)];
    expect(left('2030-05-01T12:01:05Z')).toEqual(['01:05', '01:05']);
    expect(left('2030-05-03T13:00:00Z')).toEqual(['2 d 01:00:00', '2일 01:00:00']);
    expect(left('2030-05-01T11:00:00Z')).toEqual(['00:00', '00:00']);
  });

  test('within a sentence it has units, so that it is no time of day; the two greatest are enough', () => {
    const left = (iso: string) => [format('en').left(iso), format('ko').left(iso)];
    expect(left('2030-05-01T12:01:05Z')).toEqual(['1 min 5 sec', '1분 5초']);
    expect(left('2030-05-01T13:59:59Z')).toEqual(['1 hr 59 min', '1시간 59분']);
    expect(left('2030-05-03T13:00:00Z')).toEqual(['2 days 1 hr', '2일 1시간']);
    expect(left('2030-05-01T12:00:05Z')).toEqual(['5 sec', '5초']);
    expect(left('2030-05-01T11:00:00Z')).toEqual(['0 sec', '0초']);
  });

  test('a deadline names its zone, its day if that is not today, and its year if that is another one', () => {
    const zone = /(UTC|GMT.*|[A-Z]{3,4})$/;
    const [soon, later, far] = ['2030-05-01T12:30:00Z', '2030-05-04T12:30:00Z', '2031-05-04T12:30:00Z'].map((iso) =>
      format('en').deadline(iso),
    );
    for (const text of [soon, later, far]) expect(text).toMatch(zone);
    expect([soon, later, far].map((text) => [/May/.test(text ?? ''), /203\d/.test(text ?? '')])).toEqual([
      [false, false],
      [true, false],
      [true, true],
    ]);
  });

  test('a line ends between a day and a time, and within neither', () => {
    const iso = '2031-05-04T12:30:00Z';
    const pieces = (['en', 'ko'] as const).flatMap((locale) => {
      const { deadline, fullTime } = format(locale);
      return [deadline(iso).split(' '), fullTime(iso).split(' '), deadline('2030-05-01T12:30:00Z').split(' ')];
    });
    expect(pieces.map(({ length }) => length)).toEqual([2, 2, 1, 2, 2, 1]);
    for (const [day] of pieces.filter(({ length }) => length === 2)) expect(day).toContain('4');
  });

  test.each(['en', 'ko'] as const)('no time in %s is parted from its half of the day or its zone', (locale) => {
    const { time, dated, span, clock } = format(locale);
    const [soon, later, day] = ['2030-05-01T12:30:00Z', '2030-05-01T20:30:00Z', '2030-05-04T20:30:00Z'] as const;
    const said = [time(soon), dated(day), clock(now), span(soon, later), span(soon, day)];
    for (const text of said) expect(text).not.toMatch(/ (AM|PM|GMT|UTC)|(오전|오후) /);
    for (const text of [span(soon, later), span(soon, day)]) expect(text.match(/GMT|UTC/g)).toHaveLength(1);
  });

  test('a zero has no sign', () => {
    expect([format('en').number(-0), format('ko').number(-0), format('en').number(-3)]).toEqual(['0', '0', '-3']);
  });

  test('a time names its year unless it is this one, and what is kept always does; a span says once what both ends share', () => {
    const { fullTime, dated, span } = format('en');
    expect(fullTime('2030-06-01T12:00:00Z')).not.toContain('2030');
    expect([fullTime('2031-06-01T12:00:00Z'), dated('2030-06-01T12:00:00Z')]).toEqual([
      expect.stringContaining('2031'),
      expect.stringContaining('2030'),
    ]);
    expect(span('2030-06-01T12:00:00Z', '2030-06-01T13:00:00Z').match(/Jun/g)).toHaveLength(1);
    expect(span('2030-12-31T12:00:00Z', '2031-01-02T13:00:00Z')).toContain('2031');
  });

  test('lengths of time are in whole units', () => {
    expect([3_600, 5_400, 172_800, 59].map(format('en').length)).toEqual([
      '1 hour',
      '90 minutes',
      '2 days',
      '59 seconds',
    ]);
    expect(format('ko').length(600)).toBe('10분');
  });
});
