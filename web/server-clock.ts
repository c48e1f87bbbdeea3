/**
 * The server's clock, as far as a page can tell: every answer carries the second in which it was made.
 *
 * An answer made in the second D, asked for at `sent` and there at `received`, says that the offset between the server's
 * clock and this machine's stopwatch lies between D − received and D + 1 s − sent. Each answer narrows that down. Times
 * are measured by a stopwatch, so it does not matter what this machine's clock says, or whether somebody sets it.
 *
 * Invariant: a countdown ends by the server's clock, within the time that one answer took.
 */

export interface ServerClock {
  /** The time by the server, in milliseconds since 1970. */
  now(): number;
  /** Takes in the Date header of an answer; `sent` and `received` are readings of `stopwatch`. */
  heard(date: string | null, sent: number, received: number): void;
  /** Milliseconds that only ever grow. */
  stopwatch(): number;
}

/** Makes a clock that goes by this machine's until it hears an answer. */
export function createServerClock(
  own: () => number = Date.now,
  stopwatch: () => number = () => performance.now(),
): ServerClock {
  let least = Number.NEGATIVE_INFINITY;
  let most = Number.POSITIVE_INFINITY;
  let offset = own() - stopwatch();
  return {
    stopwatch,
    now: () => stopwatch() + offset,
    heard(date, sent, received) {
      const second = Date.parse(date ?? '');
      if (Number.isNaN(second)) return;
      const [from, to] = [second - received, second + 1_000 - sent];
      [least, most] = [Math.max(least, from), Math.min(most, to)];
      // The stopwatch stood still while the machine slept, or the server's clock was set: begin anew.
      if (least > most) [least, most] = [from, to];
      offset = (least + most) / 2;
    },
  };
}
