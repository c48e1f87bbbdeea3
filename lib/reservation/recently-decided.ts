/**
 * Which reservations and customers this environment has decided lately, so that most of a batch need not be looked up.
 *
 * What was decided here is looked up before it is decided again, and so are the other reservations of customers who were
 * here; nothing else is. None of this is the truth. The keys of the table are the inbox and the cap (invariants I3 and
 * I4): what is inserted twice, or under a number that is taken, is refused by them, and the batch is then decided again
 * with every row looked up. After such a surprise everything of its kind is looked up for a while, so that what other
 * environments decided costs one look-up more and not a second attempt each time.
 */

import { LRUCache } from 'lru-cache';
import type { Needs } from '#platform/environment/deps.ts';
import type { CustomerId, ReservationId } from '#platform/kernel/ids.ts';
import type { AlreadyDecided } from './reservation.store.ts';

/** How many ids of a kind are remembered: some ten full batches. */
const rememberedIds = 20_000;
/** How long everything of a kind is looked up after a surprise. */
const waryForMs = 30_000;

/** What is remembered of a claim. */
interface Named {
  readonly reservationId: ReservationId;
  readonly customerId: CustomerId;
}

/** Those claims of a batch that must be looked up. */
export interface Suspects<Claim> {
  /** Those that may have been decided before. */
  readonly mayBeDecided: readonly Claim[];
  /** Those whose customers may have other reservations. */
  readonly mayHaveOthers: readonly Claim[];
}

export interface RecentlyDecided {
  /** Says which claims of a batch must be looked up. All of them are known from now on. */
  meet<Claim extends Named>(claims: readonly Claim[]): Suspects<Claim>;
  /** Something was decided elsewhere without anything here having known. */
  surprised(what: AlreadyDecided['what']): void;
}

/** The memory of this environment; kept by `deps.once(recentlyDecided)`. It begins empty. */
export function recentlyDecided({ clock }: Needs<'clock'>): RecentlyDecided {
  const kinds = { reservation: openMemory(), customer: openMemory() };

  function openMemory() {
    return { ids: new LRUCache<string, true>({ max: rememberedIds }), waryUntilMs: 0 };
  }
  const isSuspect = (kind: AlreadyDecided['what'], id: string): boolean => {
    const { ids, waryUntilMs } = kinds[kind];
    const known = ids.has(id);
    if (!known) ids.set(id, true);
    return known || clock() < waryUntilMs;
  };

  return {
    meet: (claims) => ({
      mayBeDecided: claims.filter(({ reservationId }) => isSuspect('reservation', reservationId)),
      mayHaveOthers: claims.filter(({ customerId }) => isSuspect('customer', customerId)),
    }),
    surprised: (what) => {
      kinds[what].waryUntilMs = clock() + waryForMs;
    },
  };
}
