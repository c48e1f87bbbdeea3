/**
 * Which reservations and customers this environment decided recently, so that most of a batch need not be looked up.
 *
 * A reservation that was decided here is looked up before it is decided again, and so are the other reservations of
 * customers seen here; nothing else is. This is only an optimization. The unique keys of the table are the inbox and
 * enforce the cap (invariants I3 and I4): a duplicate insert, or one with a number that is taken, fails, and the batch is
 * decided again with every row looked up. After such a miss everything of its kind is looked up for a while, so that
 * decisions of other environments cost a look-up and not a second attempt each time.
 */

import type { Needs } from '#platform/environment/deps.ts';
import { type CustomerId, hexAt, type ReservationId } from '#platform/kernel/ids.ts';
import type { AlreadyDecided } from './reservation.store.ts';

/** How many ids of each kind are remembered at least: about ten full batches. At most, it is twice as many. */
const rememberedIds = 20_000;
/** So many that a mark is found after one or two looks. */
const placesOfMarks = 2 ** 16;
/**
 * How long everything of a kind is looked up after a miss. A second attempt costs as much as ten batches of look-ups, so it
 * pays only while misses are frequent.
 */
const waryForMs = 2_000;

/** What is remembered of a claim. */
interface Named {
  readonly reservationId: ReservationId;
  readonly customerId: CustomerId;
}

/** The claims of a batch that must be looked up. */
export interface Suspects<Claim> {
  /** Those that may have been decided before. */
  readonly mayBeDecided: readonly Claim[];
  /** Those whose customers may have other reservations. */
  readonly mayHaveOthers: readonly Claim[];
}

export interface RecentlyDecided {
  /** Returns which claims of a batch must be looked up, and remembers all of them. */
  meet<Claim extends Named>(claims: readonly Claim[]): Suspects<Claim>;
  /** Records a miss: something was decided elsewhere and was not looked up here. */
  surprised(what: AlreadyDecided['what']): void;
}

/** The memory of this environment; kept by `deps.once(recentlyDecided)`. It begins empty. */
export function recentlyDecided({ clock }: Needs<'clock'>): RecentlyDecided {
  const kinds = { reservation: openMemory(), customer: openMemory() };

  function openMemory() {
    return { ids: new RecentIds(), waryUntilMs: 0 };
  }
  /** Those of the claims whose ids of this kind were met before; all of them while this kind surprises. */
  const suspects = <Claim>(kind: AlreadyDecided['what'], claims: readonly Claim[], idOf: (claim: Claim) => string) => {
    const { ids, waryUntilMs } = kinds[kind];
    const met = claims.filter((claim) => ids.meet(idOf(claim)));
    return clock() < waryUntilMs ? claims : met;
  };

  return {
    meet: (claims) => ({
      mayBeDecided: suspects('reservation', claims, ({ reservationId }) => reservationId),
      mayHaveOthers: suspects('customer', claims, ({ customerId }) => customerId),
    }),
    surprised: (what) => {
      kinds[what].waryUntilMs = clock() + waryForMs;
    },
  };
}

/**
 * The latest ids, in two generations: when the younger is full, the older is forgotten. A worker meets each id of a batch
 * once, and a cache that orders every entry cost it a tenth of its time.
 *
 * Of each id its last 32 bits are kept, which are random in every kind of id. An id that shares them with another is looked
 * up needlessly.
 */
class RecentIds {
  #younger = new Marks();
  #older = new Marks();

  /** Whether this id was remembered; from now on it is. */
  meet(id: string): boolean {
    const mark = hexAt(id, 28, 36) || 1;
    if (this.#younger.has(mark)) return true;
    if (this.#younger.size >= rememberedIds) {
      this.#older = this.#younger;
      this.#younger = new Marks();
    }
    this.#younger.add(mark);
    return this.#older.has(mark);
  }
}

/** A set of 32-bit numbers other than zero. It takes half the time of a `Set`, since it makes no objects and never grows. */
class Marks {
  size = 0;
  readonly #places = new Uint32Array(placesOfMarks);

  has(mark: number): boolean {
    return this.#places[this.#placeOf(mark)] === mark;
  }

  /** Adds a mark that it does not have. */
  add(mark: number): void {
    this.#places[this.#placeOf(mark)] = mark;
    this.size++;
  }

  /** Where it is, or would be: the first of the places after its own that has it, or nothing. */
  #placeOf(mark: number): number {
    let place = mark % placesOfMarks;
    while (this.#places[place] !== mark && this.#places[place] !== 0) place = (place + 1) % placesOfMarks;
    return place;
  }
}
