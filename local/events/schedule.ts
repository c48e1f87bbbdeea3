/**
 * Schedule expressions of EventBridge rules: `rate(5 minutes)` and the six-field `cron(...)`, both in UTC.
 *
 * Every field is read by AWS's rules and spelled out as plain values before croner computes the dates, so nothing
 * depends on how another cron dialect reads the same text. What is not understood is refused when the rule is put.
 * Called by api.ts (validation) and scheduler.ts (the next firing).
 */
import { Cron } from 'croner';

/** The expression is not one EventBridge accepts, or uses what this emulator does not emulate. */
export class ScheduleError extends Error {
  constructor(reason: string) {
    super(`Parameter ScheduleExpression is not valid. Reason: ${reason}`);
    this.name = 'ScheduleError';
  }
}

export interface Schedule {
  /**
   * The first firing strictly later than `nowMs` (ms since epoch), or undefined when none is left. A rate keeps the
   * phase of `previousMs`, its last firing or the time the rule was made.
   */
  next(previousMs: number, nowMs: number): number | undefined;
}

const UNIT_MS: Record<string, number> = { minute: 60_000, hour: 3_600_000, day: 86_400_000 };

/** Reads a schedule expression. Throws ScheduleError. */
export function parseSchedule(expression: string): Schedule {
  const rate = /^rate\(\s*(\d+)\s+(minute|hour|day)(s?)\s*\)$/.exec(expression);
  if (rate) return parseRate(Number(rate[1]), rate[2] ?? '', rate[3] === 's');
  const cron = /^cron\((.*)\)$/.exec(expression);
  if (cron) return parseCron((cron[1] ?? '').trim().split(/\s+/));
  throw new ScheduleError(`${expression} is neither rate(value unit) nor cron(six fields)`);
}

function parseRate(value: number, unit: string, plural: boolean): Schedule {
  if (!Number.isSafeInteger(value) || value < 1) throw new ScheduleError('a rate must be a positive whole number');
  if (plural !== value > 1) throw new ScheduleError(`write rate(1 ${unit}) or rate(n ${unit}s)`);
  const intervalMs = value * (UNIT_MS[unit] ?? 0);
  return {
    next(previousMs, nowMs) {
      const elapsedIntervals = Math.max(0, Math.floor((nowMs - previousMs) / intervalMs));
      return previousMs + (elapsedIntervals + 1) * intervalMs;
    },
  };
}

interface Field {
  name: string;
  first: number;
  last: number;
  words?: string[];
}

const MONTHS = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];
const WEEKDAYS = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];

const MINUTES: Field = { name: 'Minutes', first: 0, last: 59 };
const HOURS: Field = { name: 'Hours', first: 0, last: 23 };
const DAY_OF_MONTH: Field = { name: 'Day-of-month', first: 1, last: 31 };
const MONTH: Field = { name: 'Month', first: 1, last: 12, words: MONTHS };
const DAY_OF_WEEK: Field = { name: 'Day-of-week', first: 1, last: 7, words: WEEKDAYS };
const YEAR: Field = { name: 'Year', first: 1970, last: 2199 };

function parseCron(fields: string[]): Schedule {
  if (fields.length !== 6) throw new ScheduleError(`a cron expression has six fields, this one has ${fields.length}`);
  const [minutes = '', hours = '', dayOfMonth = '', month = '', dayOfWeek = '', year = ''] = fields;
  if ((dayOfMonth === '?') === (dayOfWeek === '?')) {
    throw new ScheduleError('exactly one of Day-of-month and Day-of-week must be ?');
  }
  const pattern = [
    '0',
    spellOut(minutes, MINUTES),
    spellOut(hours, HOURS),
    spellOutDayOfMonth(dayOfMonth),
    spellOut(month, MONTH),
    spellOutDayOfWeek(dayOfWeek),
    spellOut(year, YEAR),
  ].join(' ');
  // alternativeWeekdays counts Sunday as 1, as AWS does.
  const cron = new Cron(pattern, { mode: '7-part', timezone: 'UTC', alternativeWeekdays: true, paused: true });
  return { next: (_previousMs, nowMs) => cron.nextRun(new Date(nowMs))?.getTime() };
}

function spellOutDayOfMonth(text: string): string {
  if (text === '?') return '*';
  if (text === 'L' || text === 'LW') return text;
  const nearestWeekday = /^(\d+)W$/.exec(text);
  if (nearestWeekday) return `${one(nearestWeekday[1] ?? '', DAY_OF_MONTH)}W`;
  return spellOut(text, DAY_OF_MONTH);
}

function spellOutDayOfWeek(text: string): string {
  if (text === '?') return '*';
  if (text === 'L') return '7';
  const last = /^(\w+)L$/.exec(text);
  if (last) return `${one(last[1] ?? '', DAY_OF_WEEK)}#L`;
  const nth = /^(\w+)#([1-5])$/.exec(text);
  if (nth) return `${one(nth[1] ?? '', DAY_OF_WEEK)}#${nth[2]}`;
  return spellOut(text, DAY_OF_WEEK);
}

/** Turns lists, ranges, steps and names into the comma-separated numbers they stand for; `*` stays. */
function spellOut(text: string, field: Field): string {
  if (text === '*') return '*';
  const values = new Set<number>();
  for (const item of text.split(',')) {
    const [range = '', step, ...rest] = item.split('/');
    if (rest.length > 0 || (step !== undefined && !/^[1-9]\d*$/.test(step))) throw unreadable(text, field);
    const [low = '', high, ...more] = range.split('-');
    if (more.length > 0 || (low === '*' && high !== undefined)) throw unreadable(text, field);
    const from = low === '*' ? field.first : one(low, field);
    // A step without an end runs to the end of the field: 1/10 is 1, 11, 21, …
    const to = high !== undefined ? one(high, field) : low === '*' || step !== undefined ? field.last : from;
    if (to < from) throw new ScheduleError(`${field.name} ${text}: the range runs backwards`);
    for (let value = from; value <= to; value += Number(step ?? 1)) values.add(value);
  }
  return [...values].sort((a, b) => a - b).join(',');
}

function one(text: string, field: Field): number {
  const word = field.words?.indexOf(text.toUpperCase()) ?? -1;
  if (word >= 0) return word + field.first;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < field.first || value > field.last) throw unreadable(text, field);
  return value;
}

function unreadable(text: string, field: Field): ScheduleError {
  return new ScheduleError(`${field.name} "${text}" is not supported; values are ${field.first}-${field.last}`);
}
