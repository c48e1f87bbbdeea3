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
import type { Clock } from '#platform/kernel/clock.ts';
import type { AlreadyDecided } from './store.ts';

/**
 * Ids are remembered in rows of a table by their last digits, which are random in all of them, a row's latest ones each.
 * Of the latest 20,000 of a kind that forgets less than one in ten thousand, and takes half a megabyte; a set of as many
 * strings would be several, which the garbage collector moves about.
 */
const rows = 1 << 14;
const rowsInPage = 64;
const idsInRow = 7;
const rowLength = 1 + idsInRow;
/** How long everything of a kind is looked up after a surprise. */
const waryForMs = 30_000;

/** What is remembered of a claim. */
export interface Named {
  readonly reservationId: string;
  readonly customerId: string;
}

/** A batch's claims, by what this environment knows of them. */
export interface Share<Claim> {
  /** Those that no other batch here is deciding. */
  readonly own: readonly Claim[];
  /** The work that is deciding each of the others now, by reservation; it rejects if that fails. */
  readonly elsewhere: ReadonlyMap<string, Promise<unknown>>;
  /** Those of its own that may have been decided before. */
  readonly mayBeDecided: readonly Claim[];
  /** Those of its own whose customers may have other reservations. */
  readonly mayHaveOthers: readonly Claim[];
}

export interface Seen {
  /** Sorts the claims of a batch that begins. Their reservations and customers are known from now on. */
  share<Claim extends Named>(claims: readonly Claim[]): Share<Claim>;
  /**
   * Runs the work that decides a batch's own claims, after what is under way for their customers. They count as under way
   * until it ends. Rejects as the work does.
   */
  during<T>(share: Share<Named>, work: () => Promise<T>): Promise<T>;
  /** Something was decided elsewhere without anything here having known. */
  surprised(what: AlreadyDecided['what']): void;
}

/** A batch at work. Who is in it is only looked up of ids that are known, so the sets are made when first asked for. */
interface Running {
  readonly work: Promise<unknown>;
  reservations(): ReadonlySet<string>;
  customers(): ReadonlySet<string>;
}

/** A memory that begins empty. */
export function openSeen(clock: Clock): Seen {
  const running = new Set<Running>();
  const known = { reservation: openMemory(clock), customer: openMemory(clock) };

  const underWay = (reservationId: string): Promise<unknown> | undefined => {
    for (const { reservations, work } of running) if (reservations().has(reservationId)) return work;
    return undefined;
  };

  return {
    share<Claim extends Named>(claims: readonly Claim[]) {
      const [own, mayBeDecided, mayHaveOthers]: [Claim[], Claim[], Claim[]] = [[], [], []];
      const elsewhere = new Map<string, Promise<unknown>>();
      for (const claim of claims) {
        if (known.reservation.meet(claim.reservationId)) {
          const work = underWay(claim.reservationId);
          if (work) {
            elsewhere.set(claim.reservationId, work);
            continue;
          }
          mayBeDecided.push(claim);
        }
        own.push(claim);
        if (known.customer.meet(claim.customerId)) mayHaveOthers.push(claim);
      }
      return { own, elsewhere, mayBeDecided, mayHaveOthers };
    },
    async during({ own, mayHaveOthers }, work) {
      const earlier = [...running].filter(({ customers }) =>
        mayHaveOthers.some((claim) => customers().has(claim.customerId)),
      );
      // All that is waited for began before this did, so nobody waits in a circle.
      const result = earlier.length === 0 ? work() : Promise.allSettled(earlier.map((one) => one.work)).then(work);
      const batch: Running = {
        work: result,
        reservations: once(() => new Set(own.map((claim) => claim.reservationId))),
        customers: once(() => new Set(own.map((claim) => claim.customerId))),
      };
      running.add(batch);
      try {
        return await result;
      } finally {
        running.delete(batch);
      }
    },
    surprised: (what) => known[what].distrust(),
  };
}

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

interface Memory {
  /** Whether this id may have been met before. From now on it has been. */
  meet(id: string): boolean;
  /** For a while everything counts as known. */
  distrust(): void;
}

/** The latest ids. May take one for another once in hundreds of millions, which costs a look-up. */
function openMemory(clock: Clock): Memory {
  // Rows lie together in pages, which are made when first written to. A row begins with the place that is next.
  const pages: (Uint32Array | undefined)[] = new Array(rows / rowsInPage);
  let waryUntilMs = 0;
  return {
    meet(id) {
      const row = hexAt(id, 24, 28) % rows;
      const at = Math.floor(row / rowsInPage);
      const page = pages[at] ?? new Uint32Array(rowsInPage * rowLength);
      pages[at] = page;
      const start = (row % rowsInPage) * rowLength;
      // Zero stands for no id.
      const mark = hexAt(id, 28, 36) || 1;
      for (let place = start + 1; place < start + rowLength; place++) if (page[place] === mark) return true;
      const next = page[start] ?? 0;
      page[start + 1 + next] = mark;
      page[start] = (next + 1) % idsInRow;
      return waryUntilMs > 0 && clock() < waryUntilMs;
    },
    distrust: () => {
      waryUntilMs = clock() + waryForMs;
    },
  };
}

/** The number that up to eight hex digits of an id stand for. Cutting them out and parsing them takes five times as long. */
function hexAt(id: string, from: number, to: number): number {
  let number = 0;
  for (let index = from; index < to; index++) {
    const code = id.charCodeAt(index);
    // The code of a letter ends in its place in the alphabet, that of a digit in the digit.
    number = (number << 4) | ((code & 0xf) + (code > 0x39 ? 9 : 0));
  }
  return number >>> 0;
}
