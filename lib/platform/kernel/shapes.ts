/**
 * Schemas that every room uses: ids, text, money, times.
 *
 * They refuse input that no honest client sends and that two programs may read differently: control characters (CR and
 * LF in a log or a header, NUL in a file name), lone surrogates, invisible characters that change the direction of
 * text, numbers beyond the safe integer range. What passes here is safe to store, log and display.
 */

import * as z from 'zod';
import type { Id as TypedId } from './ids.ts';
import { currencies } from './money.ts';
import { isSpoken, isTimeZone } from './reader.ts';

/**
 * Marks a check that the documents of the API state too, as `minProperties` or `uniqueItems`: what breaks it is malformed (400).
 * A check without the mark is a rule in words, about fields that do not go together or names that do not exist (422).
 */
export const stated = { documented: true } as const;

/** An id in a path or a body: a UUID in lower case. */
export const Id = z
  .string()
  .regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/, 'must be an id')
  .meta({ format: 'uuid' });

/** The schema of one kind of id, such as `idOf<SaleId>()`. */
export const idOf = <Kind extends TypedId<string>>() => Id as unknown as z.ZodType<Kind, string>;

/**
 * Text of `min` to `max` characters. Each counts as one, as JSON Schema and MySQL count, also where JavaScript has two units for
 * it; half of one is refused.
 */
export const characters = (min: number, max: number) =>
  z
    .string()
    .check(({ value, issues }) => {
      const length = value.length > 2 * max ? value.length : [...value].length;
      const bound = { origin: 'string', inclusive: true, input: value } as const;
      if (!value.isWellFormed()) {
        issues.push({ code: 'invalid_format', format: 'text', input: value, message: 'must be text' });
      }
      if (length < min)
        issues.push({ ...bound, code: 'too_small', minimum: min, message: `must have ${min} or more characters` });
      if (length > max)
        issues.push({ ...bound, code: 'too_big', maximum: max, message: `must have at most ${max} characters` });
    })
    .meta({ ...(min > 0 ? { minLength: min } : {}), maxLength: max });

/** Line and paragraph separators, and the marks that reorder or hide the text around them. */
const marks = '\\u007f-\\u009f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ufeff\\ufffd';
const unsafe = `\\u0000-\\u001f${marks}`;
const blank = ' \\u00a0\\u1680\\u2000-\\u200a\\u202f\\u205f\\u3000';
const oneLine = new RegExp(`^(?:[^${unsafe}${blank}](?:[^${unsafe}]*[^${unsafe}${blank}])?)?$`);
const severalLines = new RegExp(`^[^\\u0000-\\u0008\\u000b-\\u001f${marks}]*$`);

/** One line of text: `min` to `max` characters, no leading or trailing whitespace. Every script is allowed. */
export const line = (min: number, max: number) =>
  characters(min, max).regex(oneLine, 'must be one line without control characters, and not begin or end with a blank');

/** Text of several lines, at most `max` characters. */
export const text = (max: number, min = 0) =>
  characters(min, max).regex(severalLines, 'must not contain control characters');

/** An object of which at least one field is given. */
export const notEmpty = <Shape extends z.ZodObject>(shape: Shape) =>
  shape
    .refine((value) => Object.keys(value).length > 0, { message: 'must change something', params: stated })
    .meta({ minProperties: 1 });

/** A list that has nothing twice. */
export const distinct = <Item extends z.ZodType<string>>(list: z.ZodArray<Item>, message: string) =>
  list
    .refine((values) => new Set(values).size === values.length, { message, params: stated })
    .meta({ uniqueItems: true });

/** A whole number in a query, which may be left out. The query itself is text; its document says what that text is. */
export const wholeNumber = (min: number, max: number, byDefault: number) =>
  z
    .string()
    .regex(/^(?:0|[1-9][0-9]{0,8})$/, `must be a number from ${min} to ${max}`)
    .transform(Number)
    .pipe(z.int().min(min).max(max))
    .default(byDefault)
    .meta({ override: { type: 'integer', minimum: min, maximum: max, default: byDefault } });

/** A currency in which something can be priced. */
export const Currency = z
  .enum(currencies, { error: 'must be a currency of ISO 4217' })
  .meta({ id: 'Currency', description: 'ISO 4217' });

/** The highest price, in minor units: far above any price, far below where a sum of many would stop being exact. */
export const maxAmountMinor = 100_000_000_000;

/** An amount of money in minor units (cents), as a client gives it. */
export const Money = z
  .strictObject({
    amountMinor: z.int().min(1).max(maxAmountMinor).describe('In minor units, such as cents'),
    currency: Currency,
  })
  .meta({ id: 'NewPrice', description: 'A price' });
export type Money = z.infer<typeof Money>;

/** An amount of money in an answer: a price, or a sum of prices. */
export const Amount = z
  .object({ amountMinor: z.int().describe('In minor units, such as cents'), currency: z.string().describe('ISO 4217') })
  .meta({ id: 'Amount', description: 'An amount of money' });

/** A point in time in an answer: ISO 8601, UTC. */
export const Time = z.iso.datetime();

/** A time zone of IANA's, such as Asia/Seoul. */
export const TimeZone = z
  .string()
  .regex(/^[A-Za-z0-9_+:/-]{1,64}$/, { error: 'must be a time zone such as Asia/Seoul', abort: true })
  .refine(isTimeZone, 'must be a time zone such as Asia/Seoul');

/** A language tag (BCP 47) of a language that notices are written in, such as ko-KR. */
export const Locale = z
  .string()
  .regex(/^(?:[Ee][Nn]|[Kk][Oo])(?:-[A-Za-z0-9]{1,8}){0,3}$/, {
    error: 'must be a tag of English or Korean, such as en-GB or ko-KR',
    abort: true,
  })
  .refine(isSpoken, 'must be a tag of English or Korean, such as en-GB or ko-KR');

/** No time of a sale lies later. */
export const latestMs = Date.UTC(2100, 0, 1);

const days =
  '20[0-9]{2}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))';
const leapDays = '20(?:[02468][048]|[13579][26])-02-29';
const hours = '(?:[01][0-9]|2[0-3]):[0-5][0-9]';
const instant = new RegExp(`^(?:${days}|${leapDays})T${hours}:[0-5][0-9](?:\\.[0-9]{1,9})?(?:Z|[+-]${hours})$`);

/**
 * A point in time in a request: RFC 3339 with a zone, so that it is unambiguous, in the years 2000 to 2099.
 * Leap seconds, ISO week dates and local times without a zone are refused.
 */
export const Instant = z
  .string()
  .regex(instant, {
    error: 'must be a time of the years 2000 to 2099 with a zone, such as 2026-01-31T18:00:00Z',
    abort: true,
  })
  .refine((value) => Date.parse(value) < latestMs, 'must lie before the year 2100')
  .meta({ format: 'date-time' });
