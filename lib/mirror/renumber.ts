/**
 * New places in line. A place on the waitlist is counted in bits, one for each place among a sale's requests (`status.lua`).
 * Who was accepted while Redis was away, or before it lost its data, has none, and then nobody's place is known here.
 * Reconcile gives everybody who waits a new place, behind all that were given before.
 *
 * Invariant: later requests first. So at any moment those with new places are behind all others, and whoever is counted
 * meanwhile is counted right.
 */
import type { Needs } from '#platform/environment/deps.ts';
import type { CustomerId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { defineScript, luaSource } from '#platform/redis/redis.ts';
import { claimBucket, saleTag } from '#sale/sale-id.ts';
import { reservationField } from './claims.ts';

const beginScript = defineScript('holdfastBeginRenumbering', luaSource('lib/mirror/begin-renumbering.lua'));
const renumberScript = defineScript('holdfastRenumber', luaSource('lib/mirror/renumber.lua'));

/** The new places of a sale. */
export interface NewPlaces {
  /** The last of the old places. */
  readonly after: number;
  /** The last of the new ones. */
  readonly upTo: number;
  /** Requests with a later ticket have places behind these. */
  readonly upToTicket: number;
}

/** A request that waits, and its new place. */
export interface NewPlace {
  readonly reservationId: ReservationId;
  readonly customerId: CustomerId;
  readonly place: number;
}

/**
 * Sets new places aside for all who wait, if Redis does not know the places of all. Undefined if it does, or while requests
 * are undecided or claims are missing. Throws if Redis cannot be reached.
 */
export async function beginRenumbering({ redis }: Needs<'redis'>, saleId: SaleId): Promise<NewPlaces | undefined> {
  const tag = saleTag(saleId);
  const begun = await redis.guarded(() => beginScript.run(redis, [keys.sale(tag), keys.line(tag)], []));
  const [after, upTo, upToTicket] = String(begun).split(' ').map(Number);
  return upTo === undefined || upToTicket === undefined || after === undefined
    ? undefined
    : { after, upTo, upToTicket };
}

/** Gives some requests their new places, in one step. May be repeated. Throws if Redis cannot be reached. */
export async function renumber({ redis }: Needs<'redis'>, saleId: SaleId, places: readonly NewPlace[]): Promise<void> {
  const tag = saleTag(saleId);
  const texts = places.map(({ reservationId, customerId, place }) => {
    const bucket = claimBucket(tag, customerId).toString(36);
    return `${bucket}\0${reservationField(reservationId, customerId)}\0${place}\0`;
  });
  await redis.guarded(() => renumberScript.run(redis, [keys.claimsOf(tag), keys.line(tag)], [texts.join('')]));
}
