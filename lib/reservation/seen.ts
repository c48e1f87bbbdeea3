/**
 * What a worker's environment knows of the reservations it decides and of their customers, so that a queue that repeats
 * itself, and customers who come again, cost little.
 *
 * A reservation that another batch of this environment is deciding right now is left to that batch, and a batch with
 * another reservation of the same customer waits for it: writing at once would only wait for the other's commit and then be
 * refused. What was decided here lately is looked up before it is decided again, and so are the other reservations of
 * customers who were here lately; nothing else is. None of this is the truth. The keys of the table are the inbox and the
 * cap (invariants I3 and I4): what is inserted twice, or under a number that is taken, is refused by them, and the batch is
 * then decided again with every row looked up. After such a surprise everything of its kind is looked up for a while, so
 * that what other environments decided costs one look more and not a second attempt each time.
 */
import type { Clock } from '../platform/clock.ts';
import type { AlreadyDecided } from './store.ts';

/** How many ids of a kind are remembered at least, once there have been so many; they take about 100 bytes each. */
const remembered = 20_000;
/** How long everything of a kind is looked up after a surprise. */
const waryForMs = 30_000;

/** What is remembered of a claim. */
interface Named {
  readonly reservationId: string;
  readonly customerId: string;
}

export interface Seen {
  /** Whether this reservation may have been decided before, as far as this environment knows. */
  reservation(reservationId: string): boolean;
  /** Whether this customer may have other reservations, as far as this environment knows. */
  customer(customerId: string): boolean;
  /** The work that is deciding this reservation now, if there is any; it rejects if that fails. */
  underWay(reservationId: string): Promise<unknown> | undefined;
  /**
   * Runs the work that decides these claims, after what is under way for their customers. They count as under way until
   * it ends. Rejects as the work does.
   */
  during<T>(claims: readonly Named[], work: () => Promise<T>): Promise<T>;
  /** Something was decided elsewhere without anything here having known. */
  surprised(what: AlreadyDecided['what']): void;
}

/** A memory that begins empty. */
export function openSeen(clock: Clock): Seen {
  const current = new Map<string, Promise<unknown>>();
  const known = { reservation: openMemory(clock), customer: openMemory(clock) };

  return {
    reservation: known.reservation.has,
    customer: known.customer.has,
    underWay: (reservationId) => current.get(reservationId),
    async during(claims, work) {
      const earlier = new Set(claims.flatMap(({ customerId }) => current.get(customerId) ?? []));
      // All that is waited for began before this did, so nobody waits in a circle.
      const result = earlier.size === 0 ? work() : Promise.allSettled(earlier).then(work);
      for (const { reservationId, customerId } of claims) {
        current.set(reservationId, result).set(customerId, result);
      }
      try {
        return await result;
      } finally {
        for (const { reservationId, customerId } of claims) {
          // After a failure nobody knows what was committed, so that must be looked up too.
          known.reservation.remember(reservationId);
          known.customer.remember(customerId);
          current.delete(reservationId);
          // By now a later batch may be at work for the same customer.
          if (current.get(customerId) === result) current.delete(customerId);
        }
      }
    },
    surprised: (what) => known[what].distrust(),
  };
}

interface Memory {
  has(id: string): boolean;
  remember(id: string): void;
  /** For a while everything counts as known. */
  distrust(): void;
}

/** The latest ids: two generations, of which the older one is forgotten when the younger one is full. */
function openMemory(clock: Clock): Memory {
  let recent = new Set<string>();
  let older = new Set<string>();
  let waryUntilMs = 0;
  return {
    has: (id) => recent.has(id) || older.has(id) || clock() < waryUntilMs,
    remember(id) {
      recent.add(id);
      if (recent.size < remembered) return;
      older = recent;
      recent = new Set();
    },
    distrust: () => {
      waryUntilMs = clock() + waryForMs;
    },
  };
}
