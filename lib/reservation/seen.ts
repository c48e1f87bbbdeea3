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

/**
 * Ids are remembered in rows of a table by their last digits, which are random in all of them, a row's latest ones each.
 * Of the latest 20,000 of a kind that forgets less than one in ten thousand, and takes half a megabyte; a set of as many
 * strings would be several, which the garbage collector moves about.
 */
const rows = 1 << 14;
const rowsInPage = 64;
const idsInRow = 8;
const rowLength = 1 + idsInRow;
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
      const earlier = new Set<Promise<unknown>>();
      for (const { customerId } of claims) {
        const other = current.get(customerId);
        if (other) earlier.add(other);
      }
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

/** The latest ids. May take one for another once in hundreds of millions, which costs a look-up. */
function openMemory(clock: Clock): Memory {
  // Rows lie together in pages, which are made when first written to. A row begins with the place that is next.
  const pages: (Uint32Array | undefined)[] = new Array(rows / rowsInPage);
  let waryUntilMs = 0;
  return {
    has(id) {
      const number = numberOf(id);
      const row = number % rows;
      const page = pages[Math.floor(row / rowsInPage)];
      if (page) {
        const mark = markOf(number);
        const start = (row % rowsInPage) * rowLength + 1;
        for (let place = start; place < start + idsInRow; place++) if (page[place] === mark) return true;
      }
      return clock() < waryUntilMs;
    },
    remember(id) {
      const number = numberOf(id);
      const row = number % rows;
      const at = Math.floor(row / rowsInPage);
      const page = pages[at] ?? new Uint32Array(rowsInPage * rowLength);
      pages[at] = page;
      const start = (row % rowsInPage) * rowLength;
      const next = page[start] ?? 0;
      page[start + 1 + next] = markOf(number);
      page[start] = (next + 1) % idsInRow;
    },
    distrust: () => {
      waryUntilMs = clock() + waryForMs;
    },
  };
}

/** The last 48 bits of an id. */
function numberOf(id: string): number {
  return Number.parseInt(id.slice(-12), 16);
}

/** What stands for an id in its row; zero stands for none. */
function markOf(number: number): number {
  return Math.floor(number / rows) >>> 0 || 1;
}
