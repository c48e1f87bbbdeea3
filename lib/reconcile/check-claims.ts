/**
 * The claims of the mirror against the reservations, and the gate's counters against the claims.
 *
 * Queued requests are claims that MySQL does not have yet, and the gate's counters are recounted only while a sale is
 * quiet. A claim that no message is going to decide is taken back, so that it does not block others for ever.
 */

import { customerField, idEndOf, ownerOf, reservationField, unpack } from '#mirror/claims.ts';
import { partialField } from '#mirror/fields.ts';
import { returnForgottenClaim } from '#mirror/gate.ts';
import { writeMirror } from '#mirror/mirror.ts';
import { recountScript } from '#mirror/repair.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { toIso } from '#platform/kernel/clock.ts';
import type { SaleId, SaleTag } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { readOldestMessageAge } from '#platform/redis/oldest-message-age.ts';
import type { RedisClient } from '#platform/redis/redis.ts';
import { pagesOfSale, type ReservationRow } from '#reservation/reservation.store.ts';
import type { StockLevel } from '#sale/sale.shapes.ts';
import { readStock } from '#sale/sale.store.ts';
import { bucketsOf, claimBucket, saleTag } from '#sale/sale-id.ts';
import { unitsAgainstCap } from '#state/reservation-state.ts';
import type { Drift } from './drift.ts';

const rowsPerPage = 2_000;
/** A request that has been undecided for this much longer than its queue's oldest message is no longer in flight. */
const undecidedForMs = 600_000;

/** The dependencies of reconciling. */
export type ReconcileNeeds = Needs<'db' | 'redis' | 'clock'>;

/** The claims in the mirror against the reservations, and the gate's counters against the claims. */
export async function checkClaims(
  deps: ReconcileNeeds,
  saleId: SaleId,
): Promise<{ drifts: Drift[]; reservations: number }> {
  const tag = saleTag(saleId);
  const saleKey = keys.sale(tag);
  const counters = ['line', 'version', 'pendingUnits', 'pendingOver'] as const;
  const before = await deps.redis.hmget(saleKey, ...counters, partialField);
  const partial = before[counters.length] ?? null;
  const buckets = await readBuckets(deps.redis, tag);
  const drifts: Drift[] = [];
  let reservations = 0;

  for await (const rows of pagesOfSale(deps.db, saleId, rowsPerPage)) {
    reservations += rows.length;
    const behind: ReservationRow[] = [];
    for (const row of rows) {
      const bucket = buckets.get(claimBucket(tag, row.customerId)) ?? {};
      const packed = bucket[reservationField(row.reservationId, row.customerId)];
      if (isBehind(packed, row)) behind.push(row);
    }
    if (behind.length === 0) continue;
    const stock = (await readStock(deps.db, [saleId])).get(saleId);
    if (!stock) continue;
    await repairReservations(deps, stock, behind);
    drifts.push(
      ...behind.map((row): Drift => {
        const packed = buckets.get(claimBucket(tag, row.customerId))?.[
          reservationField(row.reservationId, row.customerId)
        ];
        return {
          saleId,
          kind: 'reservation',
          what: row.reservationId,
          expected: `${row.state}, version ${row.version}`,
          found: packed === undefined ? 'missing' : `${unpack(packed).state}, version ${unpack(packed).version}`,
          likelyCause:
            packed === undefined ? 'Redis lost the claim' : 'a worker died between its commit and the mirror',
          repaired: true,
        };
      }),
    );
  }
  // Every decided claim is back; should Redis have lost them once more meanwhile, that has another mark.
  if (partial !== null) await recountScript.run(deps.redis, [saleKey], [partialField, partial, 0]);
  drifts.push(...(await returnForgotten(deps, saleId, buckets)));

  // Counting takes a while; the count is consistent only if nothing changed in the meantime.
  const [after, bucketsAfter] = [await deps.redis.hmget(saleKey, ...counters), await readBuckets(deps.redis, tag)];
  if (before.slice(0, 2).join() === after.slice(0, 2).join()) {
    drifts.push(...(await recountGate(deps.redis, saleId, after, bucketsAfter)));
    drifts.push(...(await recountClaims(deps, saleId, bucketsAfter)));
  }
  return { drifts, reservations };
}

/** Whether a reservation in the mirror is missing or older than the row. */
export function isBehind(packed: string | undefined, row: ReservationRow): boolean {
  return packed === undefined || unpack(packed).version < row.version;
}

/** Writes reservations that are missing from the mirror or outdated there. */
export async function repairReservations(
  deps: ReconcileNeeds,
  stock: StockLevel,
  rows: readonly ReservationRow[],
): Promise<void> {
  await writeMirror(deps, [stock], rows);
}

type Buckets = Map<number, Record<string, string>>;

/** Sets the gate's counters of undecided requests to the sums of the claims. Returns the differences. */
export async function recountGate(
  redis: RedisClient,
  saleId: SaleId,
  [, , seenUnits, seenOver]: (string | null)[],
  buckets: Buckets,
): Promise<Drift[]> {
  let units = 0;
  let over = 0;
  for (const [field, packed] of fieldsOf(buckets)) {
    if (field.startsWith('@')) continue;
    if (packed.startsWith('r')) units += unpack(packed).quantity;
    if (packed.startsWith('o')) over += 1;
  }
  const drifts: Drift[] = [];
  for (const [what, seen, right] of [
    ['pendingUnits', seenUnits, units],
    ['pendingOver', seenOver, over],
  ] as const) {
    if (Number(seen ?? 0) === right) continue;
    const done = await recountScript.run(redis, [keys.sale(saleTag(saleId))], [what, seen ?? '', right]);
    const likelyCause = 'a claim was lost or written twice while Redis was failing';
    drifts.push({
      saleId,
      kind: 'gate',
      what,
      expected: `${right}`,
      found: seen ?? '0',
      likelyCause,
      repaired: done === 1,
    });
  }
  return drifts;
}

/** What each customer claims, for buckets without undecided requests: there MySQL has all claims. */
async function recountClaims(deps: ReconcileNeeds, saleId: SaleId, buckets: Buckets): Promise<Drift[]> {
  const tag = saleTag(saleId);
  const settled = new Set([...buckets].filter(([, fields]) => !hasPending(fields)).map(([bucket]) => bucket));
  const expected = new Map<string, { bucket: number; units: number }>();
  for await (const rows of pagesOfSale(deps.db, saleId, rowsPerPage)) {
    for (const row of rows) {
      const bucket = claimBucket(tag, row.customerId);
      if (!settled.has(bucket)) continue;
      const field = customerField(row.customerId);
      const known = expected.get(field) ?? { bucket, units: 0 };
      known.units += unitsAgainstCap(row);
      expected.set(field, known);
    }
  }
  for (const bucket of settled) {
    for (const field of Object.keys(buckets.get(bucket) ?? {})) {
      if (field.startsWith('@') && !expected.has(field)) expected.set(field, { bucket, units: 0 });
    }
  }
  const drifts: Drift[] = [];
  for (const [field, { bucket, units }] of expected) {
    const seen = buckets.get(bucket)?.[field];
    if (Number(seen ?? 0) === units) continue;
    const done = await recountScript.run(deps.redis, [keys.claims(tag, bucket)], [field, seen ?? '', units]);
    const likelyCause = 'a claim was lost or written twice while Redis was failing';
    drifts.push({
      saleId,
      kind: 'claim',
      what: field,
      expected: `${units}`,
      found: seen ?? '0',
      likelyCause,
      repaired: done === 1,
    });
  }
  return drifts;
}

/**
 * Takes back claims that are undecided and no longer in flight. Their messages may be in the dead-letter queue, where they
 * can still be redriven, or were never sent, because the function died between gate and queue and the client gave up.
 */
async function returnForgotten(deps: ReconcileNeeds, saleId: SaleId, buckets: Buckets): Promise<Drift[]> {
  const tag = saleTag(saleId);
  const behindMs = (await readOldestMessageAge(deps.redis, 'reservations')) ?? 0;
  const drifts: Drift[] = [];
  for (const [bucket, fields] of buckets) {
    for (const [field, packed] of Object.entries(fields)) {
      if (field.startsWith('@') || !/^[ro]/.test(packed)) continue;
      const requestedAtMs = unpack(packed).ticket / 1000;
      if (deps.clock() - requestedAtMs < undecidedForMs + behindMs) continue;
      const owner = ownerOf(field, Object.keys(fields));
      const place = { saleKey: keys.sale(tag), bucketKey: keys.claims(tag, bucket) };
      drifts.push({
        saleId,
        kind: 'undecided',
        what: `the reservation whose id ends in ${idEndOf(field)}`,
        expected: 'a decision',
        found: `requested at ${toIso(requestedAtMs)}`,
        likelyCause: 'its message is in the dead-letter queue, or was never queued because the client gave up',
        repaired: owner !== undefined && (await returnForgottenClaim(deps, place, field, owner)),
      });
    }
  }
  return drifts;
}

function hasPending(fields: Record<string, string>): boolean {
  return Object.entries(fields).some(([field, packed]) => !field.startsWith('@') && /^[ro]/.test(packed));
}

function* fieldsOf(buckets: Buckets): Generator<[string, string]> {
  for (const fields of buckets.values()) yield* Object.entries(fields);
}

async function readBuckets(redis: RedisClient, tag: SaleTag): Promise<Buckets> {
  const buckets: Buckets = new Map();
  const all = bucketsOf(tag);
  const perRoundTrip = 200;
  for (let start = 0; start < all.length; start += perRoundTrip) {
    const part = all.slice(start, start + perRoundTrip);
    const results = await Promise.all(part.map((bucket) => redis.hgetall(keys.claims(tag, bucket))));
    part.forEach((bucket, index) => {
      buckets.set(bucket, results[index] ?? {});
    });
  }
  return buckets;
}
