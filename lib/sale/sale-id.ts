/**
 * The ids of sales and what they encode: a sale's tag, and the number of buckets over which its claims are spread in Redis.
 *
 * Invariant: the last digit of a tag fixes the number of buckets at the sale's creation. So the sale's id, or that of one
 * of its reservations, is enough to find a claim, without a look-up.
 */
import { type CustomerId, hexAt, newId, type ReservationId, type SaleId, type SaleTag } from '#platform/kernel/ids.ts';

/** The length of a tag in bytes: the last of its sale's id, the first of its reservations' ids. */
export const tagBytes = 6;

/** Small enough for a bucket to stay a listpack, with room for a sale twice as popular as expected. */
const claimsPerBucket = 24;
const maxBucketExponent = 15;

/** A new id for a sale. The last digit of its tag is the binary logarithm of the number of its buckets. */
export function newSaleId(expectedReservations: number, nowMs: number): SaleId {
  const wanted = Math.ceil(Math.log2(Math.max(1, expectedReservations / claimsPerBucket)));
  const exponent = Math.min(maxBucketExponent, Math.max(0, wanted));
  return (newId(nowMs).slice(0, -1) + exponent.toString(16)) as SaleId;
}

/** When a sale was made: its id begins with the time. */
export function createdAtMs(saleId: SaleId): number {
  return Number.parseInt(saleId.slice(0, 8) + saleId.slice(9, 13), 16);
}

/** The tag of a sale, given the sale's id. */
export function saleTag(saleId: SaleId): SaleTag {
  return saleId.slice(-12) as SaleTag;
}

/** The tag of the sale that a reservation belongs to, given the reservation's id. */
export function saleTagOf(reservationId: ReservationId): SaleTag {
  return (reservationId.slice(0, 8) + reservationId.slice(9, 13)) as SaleTag;
}

/** The number of the bucket that holds a customer's claims in a sale. */
export function claimBucket(tag: SaleTag, customerId: CustomerId): number {
  // The end of a UUID is random in every version; its start is the time, so customers of one minute would share a bucket.
  return hexAt(customerId, 30, 36) & (bucketCount(tag) - 1);
}

/** The numbers of all buckets of a sale. */
export function bucketsOf(tag: SaleTag): number[] {
  return Array.from({ length: bucketCount(tag) }, (_, bucket) => bucket);
}

/** How many buckets a sale has: a power of two. */
export function bucketCount(tag: SaleTag): number {
  return 1 << Number.parseInt(tag.slice(-1), 16);
}
