/**
 * What a worker's environment knows of the reservations it decides, so that a queue that repeats itself costs little.
 *
 * A reservation that another batch of this environment is deciding right now is left to that batch: writing it too would
 * only wait for the other's commit and then be refused. One that was decided here lately is looked up before it is
 * decided; others are not. None of this is the truth. The primary key is the inbox (invariant I3): what is inserted twice
 * is refused by it, and the batch is then decided again with every row looked up. After such a surprise everything is
 * looked up for a while, so that repeats from other environments cost one look more and not a second attempt each time.
 */
import type { Clock } from '../platform/clock.ts';

/** How many ids are remembered at least, once there have been so many; they take about 100 bytes each. */
const remembered = 20_000;
/** How long everything is looked up after a surprise. */
const waryForMs = 30_000;

export interface Seen {
  /** Whether this reservation may have been decided before, as far as this environment knows. */
  has(reservationId: string): boolean;
  /** The work that is deciding this reservation now, if there is any; it rejects if that fails. */
  underWay(reservationId: string): Promise<unknown> | undefined;
  /** Runs the work that decides these reservations, which count as under way until it ends. Rejects as it does. */
  during<T>(reservationIds: readonly string[], work: () => Promise<T>): Promise<T>;
  /** A reservation was decided elsewhere without anything here having known. */
  surprised(): void;
}

/** A memory that begins empty. */
export function openSeen(clock: Clock): Seen {
  const current = new Map<string, Promise<unknown>>();
  let recent = new Set<string>();
  let older = new Set<string>();
  let waryUntilMs = 0;

  const remember = (reservationIds: readonly string[]): void => {
    for (const reservationId of reservationIds) recent.add(reservationId);
    if (recent.size < remembered) return;
    older = recent;
    recent = new Set();
  };

  return {
    has: (reservationId) => clock() < waryUntilMs || recent.has(reservationId) || older.has(reservationId),
    underWay: (reservationId) => current.get(reservationId),
    async during(reservationIds, work) {
      const result = work();
      for (const reservationId of reservationIds) current.set(reservationId, result);
      try {
        return await result;
      } finally {
        // After a failure nobody knows what was committed, so that must be looked up too.
        remember(reservationIds);
        for (const reservationId of reservationIds) current.delete(reservationId);
      }
    },
    surprised: () => {
      waryUntilMs = clock() + waryForMs;
    },
  };
}
