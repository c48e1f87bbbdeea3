/**
 * The clock, injected so that tests can move it. Every rule about time takes a `Clock`, never the system's own.
 */

/** Returns the time in milliseconds since the Unix epoch. */
export type Clock = () => number;

/** The machine's clock. */
export const systemClock: Clock = () => Date.now();

/** Renders a stored time for people and programs: ISO 8601 in UTC, with milliseconds. */
export function toIso(ms: number): string {
  return new Date(ms).toISOString();
}
