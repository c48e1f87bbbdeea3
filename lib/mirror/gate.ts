/**
 * The gate: one Redis script that admits or refuses requests, and gives each admitted request a ticket. Requests that an
 * environment serves at the same time are batched into one round trip.
 *
 * It only saves work: what it refuses never reaches the queue, and what it admits is decided by the worker. When Redis is
 * unavailable the gate fails open.
 */

import type { Needs } from '#platform/environment/deps.ts';
import type { CustomerId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { type Bucket, type Empty, emptyOf, namedBuckets, takeTokensSource } from '#platform/redis/rate-limit.ts';
import { defineScript, luaSource, type RedisClient } from '#platform/redis/redis.ts';
import { batched } from '#platform/resilience/batcher.ts';
import { claimBucket, saleTag } from '#sale/sale-id.ts';
import { claimsKey, customerField, type MirroredStatus, reservationField, unpack } from './claims.ts';

const gateScript = defineScript('holdfastGate', takeTokensSource + luaSource('lib/mirror/gate.lua'));
const returnClaimScript = defineScript('holdfastReturnClaim', luaSource('lib/mirror/return-claim.lua'));

/** A request at the gate. */
export interface GateRequest {
  readonly reservationId: ReservationId;
  readonly saleId: SaleId;
  readonly customerId: CustomerId;
  readonly quantity: number;
  readonly atLeast: number;
  /** What sales may ask of this customer (`standingOf`); nothing by default. */
  readonly standing?: string | undefined;
  /** What the code proves that the customer shows (`accessOf`), if they show one. */
  readonly access?: string | undefined;
  /** A digest of what the shop has noted on it; nothing by default. */
  readonly labelDigest?: string | undefined;
  /** The limits on whoever asks: one token is taken from each bucket, in the same step. None by default. */
  readonly buckets?: readonly Bucket[] | undefined;
}

/** Why the gate refuses a request. */
export const gateRefusals = [
  'sale_not_open',
  'sale_closed',
  'sale_paused',
  'sale_cancelled',
  'over_allotment',
  'not_entitled',
  'over_cap',
  'sold_out',
] as const;
export type GateRefusal = (typeof gateRefusals)[number];

/** Says whether Redis has lost claims of the sale and does not have them back yet, so this may be a repeat of what was made. */
interface OfWhatIsKnown {
  readonly partial: boolean;
}

export type GateAnswer =
  /** Continue to the queue with this ticket (microseconds) and this place among all requests. */
  | ({ readonly kind: 'admitted'; readonly ticket: number; readonly position: number } & OfWhatIsKnown)
  /**
   * This reservation was admitted before; here is what became of it, and the digest of its label, which is kept for a day.
   */
  | { readonly kind: 'repeat'; readonly status: MirroredStatus; readonly labelDigest: string }
  | ({ readonly kind: 'refused'; readonly code: GateRefusal; readonly fact: string } & OfWhatIsKnown)
  /** This request was refused for good before, and is again. Such a refusal is kept for an hour at least. */
  | ({ readonly kind: 'kept'; readonly code: GateRefusal; readonly fact: string } & OfWhatIsKnown)
  /** Another request was refused for good under this key. */
  | ({ readonly kind: 'reused' } & OfWhatIsKnown)
  /** Beyond these limits, and not judged. No token was taken. */
  | { readonly kind: 'limited'; readonly empty: readonly Empty[] }
  /** For this customer there is no such sale: it is not public yet, or asks for a code that they do not show. */
  | { readonly kind: 'hidden' }
  /** The mirror does not have the sale. */
  | { readonly kind: 'unknown' };

/** The most requests in one call of the script; each takes microseconds, during which Redis serves no other client. */
const requestsPerCall = 100;

/** Batches concurrent requests into one round trip. */
const gateCalls = ({ redis }: Needs<'redis'>) =>
  batched<GateRequest, GateAnswer>((requests) => judge(redis, requests), {
    maxBatchSize: requestsPerCall,
    maxInFlight: 1,
  });

/** Asks the gate. Throws if Redis cannot be reached; the caller then continues without a ticket. */
export function askGate(deps: Needs<'redis' | 'once'>, gateRequest: GateRequest): Promise<GateAnswer> {
  return deps.once(gateCalls)(gateRequest);
}

/** One run of the script for each sale, all in one round trip. The answers are in the order of the requests. */
async function judge(redis: RedisClient, requests: readonly GateRequest[]): Promise<(GateAnswer | Error)[]> {
  const bySale = new Map<SaleId, { keys: string[]; texts: string; sizes: number[]; places: number[] }>();
  requests.forEach(({ saleId, reservationId, customerId, quantity, atLeast, ...rest }, place) => {
    const { standing = '', access = '', labelDigest = '', buckets = [] } = rest;
    const tag = saleTag(saleId);
    const sale = bySale.get(saleId) ?? {
      keys: [keys.sale(tag), keys.claimsOf(tag), keys.labelsOf(tag), keys.refusalsOf(tag)],
      texts: '',
      sizes: [],
      places: [],
    };
    if (sale.places.length === 0) bySale.set(saleId, sale);
    sale.places.push(place);
    const bucket = claimBucket(tag, customerId).toString(36);
    // One argument and one answer for all of them: building and parsing many small ones costs more than the script's work.
    const fields = `${reservationField(reservationId, customerId)}\0${customerField(customerId)}`;
    const shown = `${standing}\0${access}\0${labelDigest}`;
    sale.texts += `${bucket}\0${fields}\0${quantity}\0${atLeast}\0${shown}\0${buckets.length}\0`;
    const { names, sizes } = namedBuckets(buckets);
    sale.keys.push(...names);
    sale.sizes.push(...sizes);
  });
  const sales = [...bySale.values()];
  const calls = sales.map((sale) => ({ keys: sale.keys, args: [sale.texts, ...sale.sizes] }));
  const [only] = calls;
  const results = await redis.guarded(async () =>
    only && calls.length === 1 ? [await gateScript.run(redis, only.keys, only.args)] : gateScript.runAll(redis, calls),
  );
  const answers = new Array<GateAnswer | Error>(requests.length);
  sales.forEach(({ places }, index) => {
    const result = results[index];
    const lines = typeof result === 'string' ? result.split('\n') : [];
    places.forEach((place, n) => {
      const line = lines[n];
      if (line !== undefined) answers[place] = read(line, requests[place]?.buckets);
      else answers[place] = result instanceof Error ? result : new Error('the gate gave no answer');
    });
  });
  return answers;
}

function read(line: string, buckets: readonly Bucket[] = []): GateAnswer {
  const [kind = '', fact = '', position, mark] = line.split(' ');
  const isMarked = (word: string | undefined) => word === 'partial';
  if (kind === 'limited') return { kind, empty: emptyOf(buckets, line.split(' ').slice(1).map(Number)) };
  if (kind === 'admitted') {
    return { kind, ticket: Number(fact), position: Number(position), partial: isMarked(mark) };
  }
  if (kind === 'repeat') return { kind, status: unpack(fact), labelDigest: position ?? '' };
  if (kind === 'unknown' || kind === 'hidden') return { kind };
  if (kind === 'reused') return { kind, partial: isMarked(fact) };
  if (kind === 'kept') return { kind, code: fact as GateRefusal, fact: position ?? '', partial: isMarked(mark) };
  return { kind: 'refused', code: kind as GateRefusal, fact, partial: isMarked(position) };
}

/** Takes back the claim of a request that could not be queued. Has no effect if it has been decided after all. */
export async function returnClaim({ redis }: Needs<'redis'>, gateRequest: GateRequest): Promise<void> {
  const { saleId, customerId, reservationId } = gateRequest;
  const tag = saleTag(saleId);
  const fields = [reservationField(reservationId, customerId), customerField(customerId)];
  await redis.guarded(() => returnClaimScript.run(redis, [keys.sale(tag), claimsKey(tag, customerId)], fields));
}

/**
 * Takes back the claim of a request whose message is not in flight, given the fields of the reservation and its owner.
 * Returns false if it has been decided, or taken back, in the meantime. If the message arrives after all, it is decided
 * like any other.
 */
export async function returnForgottenClaim(
  { redis }: Needs<'redis'>,
  bucket: { saleKey: string; bucketKey: string },
  reservation: string,
  customer: string,
): Promise<boolean> {
  const { saleKey, bucketKey } = bucket;
  return (await redis.guarded(() => returnClaimScript.run(redis, [saleKey, bucketKey], [reservation, customer]))) === 1;
}
