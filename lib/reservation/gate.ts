/**
 * The gate: one Redis script that says who may try, and gives everyone who may a ticket.
 *
 * It is advice that saves work: what it refuses never reaches the queue, and what it admits is judged again by the
 * worker. When Redis is away the gate stands open.
 */
import { saleTag } from '../platform/id.ts';
import { keys } from '../platform/keys.ts';
import { defineScript, luaSource, type RedisClient, redisBreaker } from '../platform/redis.ts';
import { claimsKey, customerField, type MirroredStatus, reservationField, unpack } from './mirror.ts';

const gateScript = defineScript('holdfastGate', luaSource('./gate.lua', import.meta.url));
const unclaimScript = defineScript('holdfastUnclaim', luaSource('./unclaim.lua', import.meta.url));

/** A request at the gate. */
export interface Applicant {
  readonly reservationId: string;
  readonly saleId: string;
  readonly customerId: string;
  readonly quantity: number;
  readonly atLeast: number;
}

export type GateRefusal = 'sale_not_open' | 'sale_closed' | 'sale_paused' | 'sale_cancelled' | 'over_cap' | 'sold_out';

export type GateAnswer =
  /** Go on to the queue with this ticket (microseconds) and place among all requests. */
  | { readonly kind: 'admitted'; readonly ticket: number; readonly position: number }
  /** This reservation was admitted before; here is what became of it. */
  | { readonly kind: 'repeat'; readonly status: MirroredStatus }
  | { readonly kind: 'refused'; readonly code: GateRefusal; readonly fact: string }
  /** The mirror does not know the sale. */
  | { readonly kind: 'unknown' };

/** Asks the gate. Throws if Redis cannot be reached; the caller then goes on without a ticket. */
export async function askGate(redis: RedisClient, applicant: Applicant): Promise<GateAnswer> {
  const [saleKey, bucketKey, reservation, customer] = place(applicant);
  const answer = (await redisBreaker.run(() =>
    gateScript.run(redis, [saleKey, bucketKey], [reservation, customer, applicant.quantity, applicant.atLeast]),
  )) as [string, string, number];
  const [kind, fact, position] = answer;
  if (kind === 'admitted') return { kind, ticket: Number(fact), position };
  if (kind === 'repeat') return { kind, status: unpack(fact) };
  if (kind === 'unknown') return { kind };
  return { kind: 'refused', code: kind as GateRefusal, fact };
}

/** Takes back the claim of a request that could not be queued. Harmless if it has been decided after all. */
export async function returnClaim(redis: RedisClient, applicant: Applicant): Promise<void> {
  const [saleKey, bucketKey, reservation, customer] = place(applicant);
  await redisBreaker.run(() => unclaimScript.run(redis, [saleKey, bucketKey], [reservation, customer]));
}

function place(applicant: Applicant): [string, string, string, string] {
  const tag = saleTag(applicant.saleId);
  const { customerId, reservationId } = applicant;
  return [
    keys.sale(tag),
    claimsKey(tag, customerId),
    reservationField(reservationId, customerId),
    customerField(customerId),
  ];
}
