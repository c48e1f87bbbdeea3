/**
 * Times as an operator types them: of a zone, whose clocks may be put forward and back. So a typed time is one moment, none,
 * or two. Pure.
 */

/** How far the clocks of a zone are ahead of UTC at a moment, in milliseconds. */
function offsetAt(ms: number, zone: string): number {
  return Date.parse(`${localTimeOf(ms, zone)}Z`) - Math.floor(ms / 1_000) * 1_000;
}

/** What the clocks of a zone show at a moment, as a `datetime-local` field has it: 2026-03-29T02:30:00. */
export function localTimeOf(ms: number, zone: string): string {
  const parts = new Intl.DateTimeFormat('en-GB', {
    ...{ timeZone: zone, hourCycle: 'h23', year: 'numeric', month: '2-digit', day: '2-digit' },
    ...{ hour: '2-digit', minute: '2-digit', second: '2-digit' },
  }).formatToParts(ms);
  const of = (type: Intl.DateTimeFormatPartTypes) => parts.find((part) => part.type === type)?.value ?? '';
  return `${of('year').padStart(4, '0')}-${of('month')}-${of('day')}T${of('hour')}:${of('minute')}:${of('second')}`;
}

/** With its seconds, which fields leave out where they are zero. */
const whole = (local: string) => (/T\d\d:\d\d$/.test(local) ? `${local}:00` : local);

const dayMs = 86_400_000;

/**
 * The moments at which the clocks of a zone show this: one as a rule, none where they are put forward over it, two where
 * they are put back, the earlier first. Undefined for what is no time.
 */
export function momentsOf(local: string, zone: string): number[] | undefined {
  const asUtc = Date.parse(`${local}Z`);
  if (Number.isNaN(asUtc)) return undefined;
  const offsets = new Set([offsetAt(asUtc - dayMs, zone), offsetAt(asUtc + dayMs, zone)]);
  return [...offsets]
    .map((offset) => asUtc - offset)
    .filter((ms) => localTimeOf(ms, zone) === whole(local))
    .sort((one, other) => one - other);
}

/** The zone's distance to UTC at a moment, as people write it: GMT+9. */
export function offsetName(ms: number, zone: string): string {
  const parts = new Intl.DateTimeFormat('en-GB', { timeZone: zone, timeZoneName: 'shortOffset' }).formatToParts(ms);
  return parts.find(({ type }) => type === 'timeZoneName')?.value ?? '';
}

/** The same moment in UTC, to the second where it has any: 2026-11-29 10:00. */
export function utcTime(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19).replace('T', ' ').replace(/:00$/, '');
}

/** What somebody has typed: a local time, and which of two it is. */
export interface TypedTime {
  readonly local: string;
  readonly which?: 0 | 1 | undefined;
}

export type TimeProblem = 'missing' | 'impossible' | 'ambiguous';

/** The moment that was typed, or why it is none. */
export function momentOf({ local, which }: TypedTime, zone: string): { ms: number } | { problem: TimeProblem } {
  const moments = momentsOf(local, zone);
  if (!moments) return { problem: 'missing' };
  const [first, second] = moments;
  if (first === undefined) return { problem: 'impossible' };
  if (second === undefined) return { ms: first };
  if (which === undefined) return { problem: 'ambiguous' };
  return { ms: which === 0 ? first : second };
}

/** What would be typed for a moment; of two that look the same, the right one. */
export function typedFor(ms: number, zone: string): TypedTime {
  const local = localTimeOf(ms, zone);
  const at = momentsOf(local, zone)?.indexOf(Math.floor(ms / 1_000) * 1_000);
  return momentsOf(local, zone)?.length === 2 && (at === 0 || at === 1) ? { local, which: at } : { local };
}
