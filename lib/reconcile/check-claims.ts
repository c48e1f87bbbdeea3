/**
 * The mirror's claims against the reservations, and the gate's counters against the claims; a page at a time, so that memory
 * use does not depend on the size of a sale.
 *
 * First the rows: the mirror must have each, as new as in MySQL. Then the buckets: a customer's claim must be the sum of the
 * customer's own claims, which are in one bucket and changed together with it by every script. Whole buckets are read
 * atomically, so this holds during traffic too. The gate's two counters are sums over all buckets, so they are recounted
 * only if the sale did not change from the first bucket to the last. Queued requests are claims that MySQL does not have
 * yet; a claim whose message is lost is taken back, so that it does not block others for ever.
 */

import {
  customerField,
  idEndOf,
  isOutdated,
  isUndecided,
  ownerBitsOf,
  reservationField,
  unitsOfClaim,
  unpack,
} from '#mirror/claims.ts';
import { partialField } from '#mirror/fields.ts';
import { returnForgottenClaim } from '#mirror/gate.ts';
import { writeMirror } from '#mirror/mirror.ts';
import { recountScript } from '#mirror/repair.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { toIso } from '#platform/kernel/clock.ts';
import type { ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { readOldestMessageAge } from '#platform/redis/oldest-message-age.ts';
import { defineScript, luaSource, type RedisClient } from '#platform/redis/redis.ts';
import { type ReservationRow, readHoldings, readPage } from '#reservation/reservation.store.ts';
import type { StockLevel } from '#sale/sale.shapes.ts';
import { readStock } from '#sale/sale.store.ts';
import { bucketCount, claimBucket, saleTag } from '#sale/sale-id.ts';
import type { Drift } from './drift.ts';
import type { ClaimsPlace, Pending } from './progress.ts';

const mirroredRowsScript = defineScript('holdfastMirroredRows', luaSource('lib/reconcile/mirrored-rows.lua'));

/** A request that has been undecided for this much longer than its queue's oldest message is no longer in flight. */
const undecidedForMs = 600_000;
/** Keys that are read in one round trip, so that it ends within the time limit of a command. */
const keysPerRoundTrip = 500;

/** The dependencies of reconciling. */
export type ReconcileNeeds = Needs<'db' | 'redis' | 'clock'>;

/** The fields of a bucket, or of a part of it. */
type Fields = Map<string, string>;

// Rows

export interface CheckedRows {
  readonly drifts: Drift[];
  readonly rows: number;
  /** The last row of the page; null if there are no more. */
  readonly lastId: ReservationId | null;
}

/**
 * Compares a page of a sale's reservations, starting after `afterId`, with the mirror, and writes those that are missing
 * there, or older. The rows are read first, so a decision that has not reached the mirror yet is at worst counted
 * needlessly.
 */
export async function checkRows(
  deps: ReconcileNeeds,
  saleId: SaleId,
  afterId: ReservationId | null,
  limit: number,
): Promise<CheckedRows> {
  const rows = await readPage(deps.db, saleId, afterId ?? undefined, limit);
  const mirrored = await readMirrored(deps.redis, saleId, rows);
  const behind = rows.flatMap((row, index) => {
    const packed = mirrored[index]?.packed ?? undefined;
    return isBehind(packed, row) ? [{ row, packed }] : [];
  });
  const drifts: Drift[] = [];
  const stock = behind.length > 0 ? (await readStock(deps.db, [saleId])).get(saleId) : undefined;
  if (stock) {
    await repairReservations(
      deps,
      stock,
      behind.map(({ row }) => row),
    );
    drifts.push(...behind.map(({ row, packed }) => driftOf(row, packed)));
  }
  const unclaimed = rows.filter((_, index) => {
    const { packed = null, claim = null } = mirrored[index] ?? {};
    return packed !== null && claim === null && unitsOfClaim(packed) > 0;
  });
  drifts.push(...(await restoreClaims(deps, saleId, unclaimed)));
  return { drifts, rows: rows.length, lastId: rows.length < limit ? null : (rows.at(-1)?.reservationId ?? null) };
}

/** For each row its packed value in the mirror, and what its customer claims there. */
async function readMirrored(
  redis: RedisClient,
  saleId: SaleId,
  rows: readonly ReservationRow[],
): Promise<{ packed: string | null; claim: string | null }[]> {
  const tag = saleTag(saleId);
  const mirrored: { packed: string | null; claim: string | null }[] = [];
  for (let start = 0; start < rows.length; start += keysPerRoundTrip) {
    // A large sale has a bucket for almost each of them, and a command for each bucket costs more than the reading.
    const texts = rows.slice(start, start + keysPerRoundTrip).map(({ reservationId, customerId }) => {
      const bucket = claimBucket(tag, customerId).toString(36);
      return `${bucket}\0${reservationField(reservationId, customerId)}\0${customerField(customerId)}\0`;
    });
    const found = await mirroredRowsScript.run(redis, [keys.claimsOf(tag)], [texts.join('')]);
    for (const [packed, claim] of found as [string | null, string | null][]) mirrored.push({ packed, claim });
  }
  return mirrored;
}

/** Whether a reservation is missing from the mirror, or outdated there. */
export function isBehind(packed: string | undefined, row: ReservationRow): boolean {
  return packed === undefined || isOutdated(unpack(packed), row);
}

/** Writes reservations that are missing from the mirror or outdated there. */
export async function repairReservations(
  deps: ReconcileNeeds,
  stock: StockLevel,
  rows: readonly ReservationRow[],
): Promise<void> {
  await writeMirror(deps, [stock], rows);
}

function driftOf(row: ReservationRow, packed: string | undefined): Drift {
  return {
    saleId: row.saleId,
    kind: 'reservation',
    what: row.reservationId,
    expected: `${row.state}, version ${row.version}${row.purchaseId ? ', of a purchase' : ''}`,
    found: packed === undefined ? 'missing' : `${unpack(packed).state}, version ${unpack(packed).version}`,
    likelyCause: packed === undefined ? 'Redis lost the claim' : 'a worker died between its commit and the mirror',
    repaired: true,
  };
}

/**
 * Writes a customer's claim if the mirror has reservations of the customer, but no sum: only a row names the customer's
 * field. If the sum is not exact, because another row of the customer was missing too, recounting the bucket corrects it.
 */
async function restoreClaims(deps: ReconcileNeeds, saleId: SaleId, rows: readonly ReservationRow[]): Promise<Drift[]> {
  const customerIds = [...new Set(rows.map((row) => row.customerId))];
  const holdings = (await readHoldings(deps.db, [saleId], customerIds)).get(saleId);
  const drifts: Drift[] = [];
  for (const customerId of customerIds) {
    const bucket = claimBucket(saleTag(saleId), customerId);
    const units = holdings?.get(customerId)?.units ?? 0;
    if (units > 0) drifts.push(await setClaim(deps.redis, saleId, bucket, customerField(customerId), undefined, units));
  }
  return drifts;
}

// Buckets

export interface CheckedBuckets {
  readonly drifts: Drift[];
  readonly fields: number;
  /** What the undecided requests of these buckets ask for, without those taken back. */
  readonly pending: Pending;
  /** What was taken back, and so is no longer in the gate's counters. */
  readonly returned: Pending;
  /** Where the next page begins; null if there is none. */
  readonly next: ClaimsPlace | null;
}

/**
 * Checks some buckets of a sale, or a part of a large one: takes back undecided requests that are not in flight, and sets
 * what each customer claims to the sum of the customer's claims.
 */
export async function checkBuckets(
  deps: ReconcileNeeds,
  saleId: SaleId,
  place: ClaimsPlace,
  fieldsPerPage: number,
): Promise<CheckedBuckets> {
  const { redis } = deps;
  const behindMs = (await readOldestMessageAge(redis, 'reservations')) ?? 0;
  const isForgotten = (packed: string) =>
    isUndecided(packed) && deps.clock() - unpack(packed).ticket / 1000 >= undecidedForMs + behindMs;
  const page = await readClaims(redis, saleId, place, fieldsPerPage);
  const drifts: Drift[] = [];
  const pending = { units: 0, over: 0 };
  const returned = { units: 0, over: 0 };
  let count = 0;
  for (const { bucket, fields, again } of page.buckets) {
    count += fields.size;
    const forgotten = [...fields].filter(([field, packed]) => !field.startsWith('@') && isForgotten(packed));
    const owners = forgotten.length > 0 ? ownersOf(fields) : undefined;
    for (const [field, packed] of forgotten) {
      const drift = await returnForgotten(deps, saleId, bucket, fields, field, owners?.get(ownerBitsOf(field)) ?? []);
      drifts.push(drift);
      if (drift.repaired) add(returned, packed);
    }
    for (const [field, packed] of fields) if (!field.startsWith('@') && isUndecided(packed)) add(pending, packed);
    drifts.push(...(await recountClaims(redis, saleId, bucket, fields, again)));
  }
  return { drifts, fields: count, pending, returned, next: page.next };
}

/** Adds what an undecided request asks for, as the gate counts it. */
function add(sums: { units: number; over: number }, packed: string): void {
  if (packed.startsWith('r')) sums.units += unpack(packed).quantity;
  else sums.over += 1;
}

interface Bucket {
  readonly bucket: number;
  readonly fields: Fields;
  /** Reads it again; absent for a bucket that was read atomically. */
  readonly again?: () => Promise<Fields>;
}

async function readClaims(
  redis: RedisClient,
  saleId: SaleId,
  { bucket: first, part, parts }: ClaimsPlace,
  fieldsPerPage: number,
): Promise<{ buckets: Bucket[]; next: ClaimsPlace | null }> {
  const tag = saleTag(saleId);
  const all = bucketCount(tag);
  const from = (bucket: number) => (bucket < all ? { bucket, part: 0, parts: 1 } : null);
  const candidates = Array.from({ length: Math.min(keysPerRoundTrip, all - first) }, (_, n) => first + n);
  const lengths = await inOneTrip<number>(
    redis,
    candidates.map((bucket) => ['hlen', keys.claims(tag, bucket)]),
  );
  const length = lengths[0] ?? 0;
  if (part > 0 || length > fieldsPerPage) {
    const of = part > 0 ? parts : Math.ceil(length / fieldsPerPage);
    const again = () => readPart(redis, keys.claims(tag, first), part, of);
    const next = part + 1 < of ? { bucket: first, part: part + 1, parts: of } : from(first + 1);
    return { buckets: [{ bucket: first, fields: await again(), again }], next };
  }
  let fields = 0;
  const fitting = candidates.filter((_, n) => {
    fields += lengths[n] ?? 0;
    return fields <= fieldsPerPage;
  });
  const buckets = await Promise.all(
    fitting.map(async (bucket) => {
      const read = await redis.hgetall(keys.claims(tag, bucket));
      return { bucket, fields: new Map(Object.entries(read)) };
    }),
  );
  return { buckets, next: from(first + fitting.length) };
}

/** Fields that a scan asks for at once. */
const fieldsPerScan = 1_000;

/**
 * The fields of some of the owners in a bucket. It may change while it is read, but what is there from beginning to end is
 * found.
 */
async function readPart(redis: RedisClient, key: string, part: number, parts: number): Promise<Fields> {
  const fields: Fields = new Map();
  let cursor = '0';
  do {
    const [next, flat] = await redis.hscan(key, cursor, 'COUNT', fieldsPerScan);
    cursor = next;
    for (let i = 0; i < flat.length; i += 2) {
      const field = flat[i] ?? '';
      const owner = Buffer.from(ownerBitsOf(field), 'base64url').readUIntBE(0, 3);
      if (owner % parts === part) fields.set(field, flat[i + 1] ?? '');
    }
  } while (cursor !== '0');
  return fields;
}

/**
 * Takes back a claim that is undecided and no longer in flight. Its message may be in the dead-letter queue, where it can
 * still be redriven, or was never sent, because the function died between gate and queue and the client gave up.
 */
async function returnForgotten(
  deps: ReconcileNeeds,
  saleId: SaleId,
  bucket: number,
  fields: Fields,
  field: string,
  owners: readonly string[],
): Promise<Drift> {
  const tag = saleTag(saleId);
  const packed = fields.get(field) ?? '';
  const [owner] = owners;
  const place = { saleKey: keys.sale(tag), bucketKey: keys.claims(tag, bucket) };
  const isOnly = owner !== undefined && owners.length === 1;
  const repaired = isOnly && (await returnForgottenClaim(deps, place, field, owner));
  if (repaired) {
    const { quantity } = unpack(packed);
    fields.set(field, `u${packed.slice(1)}`);
    const left = Number(fields.get(owner)) - quantity;
    if (left > 0) fields.set(owner, `${left}`);
    else fields.delete(owner);
  }
  return {
    saleId,
    kind: 'undecided',
    what: `the reservation whose id ends in ${idEndOf(field)}`,
    expected: 'a decision',
    found: `requested at ${toIso(unpack(packed).ticket / 1000)}`,
    likelyCause: 'its message is in the dead-letter queue, or was never queued because the client gave up',
    repaired,
  };
}

/** A sum of claims that differs from its owner's field. Several fields if their owners cannot be told apart. */
interface WrongClaim {
  readonly fields: readonly string[];
  readonly seen: readonly string[];
  readonly right: number;
}

/**
 * Sets what each customer claims to the sum of the customer's claims in the bucket. A bucket that was not read atomically is
 * read a second time, and a difference counts only if it is the same again.
 */
async function recountClaims(
  redis: RedisClient,
  saleId: SaleId,
  bucket: number,
  fields: Fields,
  again?: () => Promise<Fields>,
): Promise<Drift[]> {
  let wrong = wrongClaims(fields);
  if (wrong.length > 0 && again) {
    const before = new Set(wrong.map((one) => JSON.stringify(one)));
    wrong = wrongClaims(await again()).filter((one) => before.has(JSON.stringify(one)));
  }
  const drifts: Drift[] = [];
  for (const { fields: names, seen, right } of wrong) {
    const [name = '', ...others] = names;
    if (others.length === 0) {
      drifts.push(await setClaim(redis, saleId, bucket, name, seen[0], right));
      continue;
    }
    const likelyCause = 'a claim was lost or written twice; whose it is cannot be told';
    const what = names.join(' and ');
    drifts.push({
      saleId,
      kind: 'claim',
      what,
      expected: `${right}`,
      found: seen.join(' and '),
      likelyCause,
      repaired: false,
    });
  }
  return drifts;
}

/** The customers' fields of a bucket by the bits that they share with their reservations' fields; rarely more than one. */
function ownersOf(fields: Fields): Map<string, string[]> {
  return Map.groupBy(
    [...fields.keys()].filter((field) => field.startsWith('@')),
    ownerBitsOf,
  );
}

function wrongClaims(fields: Fields): WrongClaim[] {
  const sums = new Map<string, number>();
  for (const [field, packed] of fields) {
    if (field.startsWith('@')) continue;
    const owner = ownerBitsOf(field);
    sums.set(owner, (sums.get(owner) ?? 0) + unitsOfClaim(packed));
  }
  return [...ownersOf(fields)].flatMap(([owner, names]) => {
    const seen = names.map((name) => fields.get(name) ?? '0');
    const right = sums.get(owner) ?? 0;
    return seen.reduce((sum, units) => sum + Number(units), 0) === right ? [] : [{ fields: names, seen, right }];
  });
}

/** Sets a customer's claim, if it has not changed since it was read. */
async function setClaim(
  redis: RedisClient,
  saleId: SaleId,
  bucket: number,
  field: string,
  seen: string | undefined,
  right: number,
): Promise<Drift> {
  const done = await recountScript.run(redis, [keys.claims(saleTag(saleId), bucket)], [field, seen ?? '', right]);
  const likelyCause = 'a claim was lost or written twice while Redis was failing';
  const expected = `${right}`;
  return { saleId, kind: 'claim', what: field, expected, found: seen ?? '0', likelyCause, repaired: done === 1 };
}

// The gate

/** What must not change while the claims are counted, in the order of `readCounters`. */
const counters = ['line', 'version', partialField, 'pendingUnits', 'pendingOver'] as const;
/** The positions of the gate's two counters of undecided requests in it. */
const [unitsAt, overAt] = [3, 4];

/** The gate's counters, and what tells that they have changed. */
export function readCounters(redis: RedisClient, saleId: SaleId): Promise<(string | null)[]> {
  return redis.hmget(keys.sale(saleTag(saleId)), ...counters);
}

/** The counters as they must be after requests were taken back. */
export function countersLess(seen: readonly (string | null)[], { units, over }: Pending): (string | null)[] {
  return seen.map((value, index) => {
    const less = index === unitsAt ? units : index === overAt ? over : 0;
    return less === 0 ? value : String(Number(value ?? 0) - less);
  });
}

/**
 * Sets the gate's counters of undecided requests to the sums of the claims. `seen` are the counters before the claims were
 * counted. Returns the differences; none if the sale changed meanwhile, since the sums are from no single moment then.
 */
export async function recountGate(
  redis: RedisClient,
  saleId: SaleId,
  seen: readonly (string | null)[],
  { units, over }: Pending,
): Promise<Drift[]> {
  const now = await readCounters(redis, saleId);
  if (now.join() !== seen.join()) return [];
  const drifts: Drift[] = [];
  for (const [what, found, right] of [
    ['pendingUnits', now[unitsAt] ?? null, units],
    ['pendingOver', now[overAt] ?? null, over],
  ] as const) {
    if (Number(found ?? 0) === right) continue;
    const done = await recountScript.run(redis, [keys.sale(saleTag(saleId))], [what, found ?? '', right]);
    const likelyCause = 'a claim was lost or written twice while Redis was failing';
    const expected = `${right}`;
    drifts.push({ saleId, kind: 'gate', what, expected, found: found ?? '0', likelyCause, repaired: done === 1 });
  }
  return drifts;
}

/** The mark that claims of a sale are missing in Redis; null if there is none. */
export function readPartial(redis: RedisClient, saleId: SaleId): Promise<string | null> {
  return redis.hget(keys.sale(saleTag(saleId)), partialField);
}

/** Removes that mark when every decided claim is back. If Redis has lost them again meanwhile, the mark is another one. */
export async function clearPartial(redis: RedisClient, saleId: SaleId, partial: string): Promise<void> {
  await recountScript.run(redis, [keys.sale(saleTag(saleId))], [partialField, partial, 0]);
}

/** Commands in one round trip. Throws the first error. */
async function inOneTrip<Result>(redis: RedisClient, commands: (string | number)[][]): Promise<Result[]> {
  const results = (await redis.pipeline(commands).exec()) ?? [];
  return results.map(([error, result]) => {
    if (error) throw error;
    return result as Result;
  });
}
