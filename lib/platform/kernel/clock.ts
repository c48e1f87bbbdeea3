/**
 * The clock, injected so that tests can control time. Every rule about time takes a `Clock` and never reads the system's.
 */

/** Returns the time in milliseconds since the Unix epoch. */
export type Clock = () => number;

/** The machine's clock. */
export const systemClock: Clock = () => Date.now();

/** Formats a stored time as ISO 8601 in UTC, with milliseconds. */
export function toIso(ms: number): string {
  return new Date(ms).toISOString();
}
