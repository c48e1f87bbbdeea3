/**
 * The ids of sales and what can be read from them: a sale's tag, and the buckets over which its claims are spread in Redis.
 *
 * Invariant: the last digit of a tag says how many buckets a sale has, from its creation on. Whoever has the sale's id, or
 * that of one of its reservations, finds a claim without asking.
 */
import { type CustomerId, newId, type ReservationId, type SaleId, type SaleTag } from '#platform/kernel/ids.ts';

/** How many bytes of an id a tag is: the last of its sale's, the first of its reservations'. */
export const tagBytes = 6;

/** Small enough for a bucket to stay a listpack, with room for a sale twice as popular as expected. */
const claimsPerBucket = 24;
const maxBucketExponent = 15;

/** A fresh id for a sale. The last digit of its tag is the binary logarithm of the number of its buckets. */
export function newSaleId(expectedReservations: number, nowMs: number): SaleId {
  const wanted = Math.ceil(Math.log2(Math.max(1, expectedReservations / claimsPerBucket)));
  const exponent = Math.min(maxBucketExponent, Math.max(0, wanted));
  return (newId(nowMs).slice(0, -1) + exponent.toString(16)) as SaleId;
}

/** The tag of a sale, given the sale's id. */
export function saleTag(saleId: SaleId): SaleTag {
  return saleId.slice(-12) as SaleTag;
}

/** The tag of the sale that a reservation belongs to, given the reservation's id. */
export function saleTagOf(reservationId: ReservationId): SaleTag {
  return (reservationId.slice(0, 8) + reservationId.slice(9, 13)) as SaleTag;
}

/** In which bucket of a sale the claims of a customer are. */
export function claimBucket(tag: SaleTag, customerId: CustomerId): number {
  // The end of a UUID is random in every version; its start would put customers of one minute together.
  return Number.parseInt(customerId.slice(-6), 16) & (bucketCount(tag) - 1);
}

/** The numbers of all buckets of a sale. */
export function bucketsOf(tag: SaleTag): number[] {
  return Array.from({ length: bucketCount(tag) }, (_, bucket) => bucket);
}

/** How many buckets a sale has: a power of two. */
function bucketCount(tag: SaleTag): number {
  return 1 << Number.parseInt(tag.slice(-1), 16);
}
