/**
 * Schemas that every room uses: ids, text, money, times.
 *
 * They refuse input that no honest client sends and that two programs may read differently: control characters (CR and
 * LF in a log or a header, NUL in a file name), lone surrogates, invisible characters that change the direction of
 * text, numbers beyond the safe integer range. What passes here is safe to store, log and display.
 */

import * as z from 'zod';
import type { Id as TypedId } from './ids.ts';
import { isCurrency } from './money.ts';
import { isSpoken, isTimeZone } from './reader.ts';

/** An id in a path or a body: a UUID in lower case. */
export const Id = z
  .string()
  .regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/, 'must be an id')
  .meta({ format: 'uuid' });

/** The schema of one kind of id, such as `idOf<SaleId>()`. */
export const idOf = <Kind extends TypedId<string>>() => Id as unknown as z.ZodType<Kind, string>;

/** Control characters, line and paragraph separators, and the marks that reorder or hide the text around them. */
const unsafe = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffd]/u;

const isSafe = (value: string) => value.isWellFormed() && !unsafe.test(value);

/** One line of text: `min` to `max` characters, no leading or trailing whitespace. Every script is allowed. */
export const line = (min: number, max: number) =>
  z
    .string()
    .min(min)
    .max(max)
    .refine(isSafe, 'must be one line without control characters')
    .refine((value) => value.trim() === value, 'must not begin or end with a blank');

/** Text of several lines, at most `max` characters. */
export const text = (max: number) =>
  z
    .string()
    .max(max)
    .refine((value) => isSafe(value.replace(/[\n\t]/g, ' ')), 'must not contain control characters');

export const Currency = z
  .string()
  .regex(/^[A-Z]{3}$/, { error: 'must be three capital letters', abort: true })
  .refine(isCurrency, 'must be a currency of ISO 4217');

/** The highest price, in minor units: far above any price, far below where a sum of many would stop being exact. */
export const maxAmountMinor = 100_000_000_000;

/** An amount of money in minor units (cents). */
export const Money = z
  .strictObject({
    amountMinor: z.int().min(1).max(maxAmountMinor).describe('In minor units, such as cents'),
    currency: Currency.describe('ISO 4217'),
  })
  .meta({ id: 'Money' });
export type Money = z.infer<typeof Money>;

/** A point in time in an answer: ISO 8601, UTC. */
export const Time = z.iso.datetime();

/** A time zone of IANA's, such as Asia/Seoul. */
export const TimeZone = z.string().max(64).refine(isTimeZone, 'must be a time zone such as Asia/Seoul');

/** A language tag (BCP 47) of a language that notices are written in, such as ko-KR. */
export const Locale = z.string().max(35).refine(isSpoken, 'must be a tag of English or Korean, such as en-GB or ko-KR');

/** The years within which a time given by a client must lie. */
const earliestMs = Date.UTC(2000, 0, 1);
/** No time of a sale lies later. */
export const latestMs = Date.UTC(2100, 0, 1);

/**
 * A point in time in a request: ISO 8601 with a zone, so that it is unambiguous.
 * Leap seconds, ISO week dates and local times without a zone are refused.
 */
export const Instant = z.iso
  .datetime({ offset: true, error: 'must be an ISO 8601 time with a zone, such as 2026-01-31T18:00:00Z', abort: true })
  .max(35)
  .refine((value) => {
    const ms = Date.parse(value);
    return ms >= earliestMs && ms < latestMs;
  }, 'must lie between the years 2000 and 2100');
