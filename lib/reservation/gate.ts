/**
 * The gate: one Redis script that says who may try, and gives everyone who may a ticket. Requests that an environment
 * serves at the same time are asked for together, in one round trip.
 *
 * It is advice that saves work: what it refuses never reaches the queue, and what it admits is judged again by the
 * worker. When Redis is away the gate stands open.
 */
import { saleTag } from '../platform/id.ts';
import { keys } from '../platform/keys.ts';
import { defineScript, luaSource, type RedisClient, redisBreaker } from '../platform/redis.ts';
import { together } from '../platform/together.ts';
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

/** How many applicants one call of the script judges at most; each takes Redis some microseconds, and others wait. */
const applicantsPerCall = 100;

type Ask = (applicant: Applicant) => Promise<GateAnswer>;
const askers = new WeakMap<RedisClient, Ask>();

/** Asks the gate. Throws if Redis cannot be reached; the caller then goes on without a ticket. */
export function askGate(redis: RedisClient, applicant: Applicant): Promise<GateAnswer> {
  const known = askers.get(redis);
  if (known) return known(applicant);
  const ask = together<Applicant, GateAnswer>(applicantsPerCall, (applicants) => judge(redis, applicants));
  askers.set(redis, ask);
  return ask(applicant);
}

/** One run of the script for each sale, all in one round trip. The answers stand in the order of the applicants. */
async function judge(redis: RedisClient, applicants: Applicant[]): Promise<(GateAnswer | Error)[]> {
  const bySale = new Map<string, number[]>();
  applicants.forEach(({ saleId }, index) => {
    const sale = bySale.get(saleId);
    if (sale) sale.push(index);
    else bySale.set(saleId, [index]);
  });
  const sales = [...bySale.values()];
  const calls = sales.map((indexes) => callFor(indexes.map((index) => applicants[index] as Applicant)));
  const [only] = calls;
  const results = await redisBreaker.run(async () =>
    only && calls.length === 1 ? [await gateScript.run(redis, only.keys, only.args)] : gateScript.runAll(redis, calls),
  );
  const answers: (GateAnswer | Error)[] = new Array(applicants.length);
  sales.forEach((indexes, sale) => {
    const result = results[sale] as Error | ScriptAnswer[];
    indexes.forEach((index, n) => {
      answers[index] = result instanceof Error ? result : read(result[n] as ScriptAnswer);
    });
  });
  return answers;
}

function callFor(applicants: Applicant[]): { keys: string[]; args: (string | number)[] } {
  const keysOfCall: string[] = [];
  const args: (string | number)[] = [];
  for (const applicant of applicants) {
    const [saleKey, bucketKey, reservation, customer] = place(applicant);
    if (keysOfCall.length === 0) keysOfCall.push(saleKey);
    keysOfCall.push(bucketKey);
    args.push(reservation, customer, applicant.quantity, applicant.atLeast);
  }
  return { keys: keysOfCall, args };
}

type ScriptAnswer = [kind: string, fact: string, position: number];

function read([kind, fact, position]: ScriptAnswer): GateAnswer {
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

/**
 * Takes back the claim of a request whose message is not on its way, found in a bucket by its field and its owner's.
 * Returns false if it has been decided, or taken back, in the meantime. Should the message come after all, it is decided
 * like any other.
 */
export async function returnForgottenClaim(
  redis: RedisClient,
  bucket: { saleKey: string; bucketKey: string },
  reservation: string,
  customer: string,
): Promise<boolean> {
  const { saleKey, bucketKey } = bucket;
  return (await redisBreaker.run(() => unclaimScript.run(redis, [saleKey, bucketKey], [reservation, customer]))) === 1;
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
