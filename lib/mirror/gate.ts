/**
 * The gate: one Redis script that says who may try, and gives everyone who may a ticket. Requests that an environment
 * serves at the same time are asked for together, in one round trip.
 *
 * It is advice that saves work: what it refuses never reaches the queue, and what it admits is judged again by the
 * worker. When Redis is away the gate stands open.
 */

import type { Needs } from '#platform/environment/deps.ts';
import type { CustomerId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { defineScript, luaSource, type RedisClient } from '#platform/redis/redis.ts';
import { batched } from '#platform/resilience/batcher.ts';
import { claimBucket, saleTag } from '#sale/sale-id.ts';
import { claimsKey, customerField, type MirroredStatus, reservationField, unpack } from './claims.ts';

const gateScript = defineScript('holdfastGate', luaSource('lib/mirror/gate.lua'));
const unclaimScript = defineScript('holdfastUnclaim', luaSource('lib/mirror/return-claim.lua'));

/** A request at the gate. */
export interface Applicant {
  readonly reservationId: ReservationId;
  readonly saleId: SaleId;
  readonly customerId: CustomerId;
  readonly quantity: number;
  readonly atLeast: number;
}

export type GateRefusal =
  | 'sale_not_open'
  | 'sale_closed'
  | 'sale_paused'
  | 'sale_cancelled'
  | 'over_allotment'
  | 'over_cap'
  | 'sold_out';

export type GateAnswer =
  /** Go on to the queue with this ticket (microseconds) and place among all requests. */
  | { readonly kind: 'admitted'; readonly ticket: number; readonly position: number }
  /** This reservation was admitted before; here is what became of it. */
  | { readonly kind: 'repeat'; readonly status: MirroredStatus }
  | { readonly kind: 'refused'; readonly code: GateRefusal; readonly fact: string }
  /** The mirror does not know the sale. */
  | { readonly kind: 'unknown' };

/** How many applicants one call of the script judges at most; each takes Redis some microseconds, and others wait. */
const applicantsPerCall = 100;

/** Asks for the applicants of one moment together. */
const gateCalls = ({ redis }: Needs<'redis'>) =>
  batched<Applicant, GateAnswer>((applicants) => judge(redis, applicants), {
    maxBatchSize: applicantsPerCall,
    maxInFlight: 1,
  });

/** Asks the gate. Throws if Redis cannot be reached; the caller then goes on without a ticket. */
export function askGate(deps: Needs<'redis' | 'once'>, applicant: Applicant): Promise<GateAnswer> {
  return deps.once(gateCalls)(applicant);
}

/** One run of the script for each sale, all in one round trip. The answers stand in the order of the applicants. */
async function judge(redis: RedisClient, applicants: readonly Applicant[]): Promise<(GateAnswer | Error)[]> {
  const bySale = new Map<string, { keys: string[]; texts: string; places: number[] }>();
  applicants.forEach(({ saleId, reservationId, customerId, quantity, atLeast }, place) => {
    const tag = saleTag(saleId);
    const sale = bySale.get(saleId) ?? { keys: [keys.sale(tag), keys.claimsOf(tag)], texts: '', places: [] };
    if (sale.places.length === 0) bySale.set(saleId, sale);
    sale.places.push(place);
    const bucket = claimBucket(tag, customerId).toString(36);
    // One argument for all of them, and one answer: building and parsing many small ones costs more than the judging.
    const fields = `${reservationField(reservationId, customerId)}\0${customerField(customerId)}`;
    sale.texts += `${bucket}\0${fields}\0${quantity}\0${atLeast}\0`;
  });
  const sales = [...bySale.values()];
  const calls = sales.map((sale) => ({ keys: sale.keys, args: [sale.texts] }));
  const [only] = calls;
  const results = await redis.guarded(async () =>
    only && calls.length === 1 ? [await gateScript.run(redis, only.keys, only.args)] : gateScript.runAll(redis, calls),
  );
  const answers = new Array<GateAnswer | Error>(applicants.length);
  sales.forEach(({ places }, index) => {
    const result = results[index];
    const lines = typeof result === 'string' ? result.split('\n') : [];
    places.forEach((place, n) => {
      const line = lines[n];
      if (line !== undefined) answers[place] = read(line);
      else answers[place] = result instanceof Error ? result : new Error('the gate gave no answer');
    });
  });
  return answers;
}

function read(line: string): GateAnswer {
  const [kind = '', fact = '', position] = line.split(' ');
  if (kind === 'admitted') return { kind, ticket: Number(fact), position: Number(position) };
  if (kind === 'repeat') return { kind, status: unpack(fact) };
  if (kind === 'unknown') return { kind };
  return { kind: 'refused', code: kind as GateRefusal, fact };
}

/** Takes back the claim of a request that could not be queued. Harmless if it has been decided after all. */
export async function returnClaim({ redis }: Needs<'redis'>, applicant: Applicant): Promise<void> {
  const { saleId, customerId, reservationId } = applicant;
  const tag = saleTag(saleId);
  const fields = [reservationField(reservationId, customerId), customerField(customerId)];
  await redis.guarded(() => unclaimScript.run(redis, [keys.sale(tag), claimsKey(tag, customerId)], fields));
}

/**
 * Takes back the claim of a request whose message is not on its way, found in a bucket by its field and its owner's.
 * Returns false if it has been decided, or taken back, in the meantime. Should the message come after all, it is decided
 * like any other.
 */
export async function returnForgottenClaim(
  { redis }: Needs<'redis'>,
  bucket: { saleKey: string; bucketKey: string },
  reservation: string,
  customer: string,
): Promise<boolean> {
  const { saleKey, bucketKey } = bucket;
  return (await redis.guarded(() => unclaimScript.run(redis, [saleKey, bucketKey], [reservation, customer]))) === 1;
}
