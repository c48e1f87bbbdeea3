/**
 * Reconcile: holds MySQL, ledger, mirror and gate against each other, says what differs and why it probably does, and
 * repairs the mirror. MySQL is never changed here: if its own books do not add up, people must look.
 *
 * It is aware of what is in flight. A commit reaches the mirror a moment later, so a difference counts only if it is still
 * the same at a second look; requests that are queued are claims that MySQL does not know yet; and the gate's counters are
 * recounted only while a sale is quiet. Every repair is a compare-and-set against what was seen (invariant I6). A claim
 * that nobody is going to decide is taken back, so that it does not keep others out for ever.
 */
import { z } from 'zod';
import type { StockLevel } from '#events/catalogue.ts';
import { returnForgottenClaim } from '#mirror/gate.ts';
import { claimOf, customerField, idEndOf, ownerOf, reservationField, unpack, writeMirror } from '#mirror/mirror.ts';
import type { Deps } from '#platform/environment/deps.ts';
import type { Delivered, MustRepeat } from '#platform/handlers/queue.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { claimBucket, fromBytes, saleTag, toBytes } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import { measure } from '#platform/kernel/metrics.ts';
import { Id } from '#platform/kernel/shapes.ts';
import type { Sql } from '#platform/mysql/mysql.ts';
import { keys } from '#platform/redis/keys.ts';
import { readOldestMessageAge } from '#platform/redis/oldest-message-age.ts';
import { defineScript, luaSource, type RedisClient } from '#platform/redis/redis.ts';
import { firstIdOf, lastIdOf } from '#reservation/release.store.ts';
import { type ReservationRow, reservationColumns, type StoredReservation, toReservation } from '#reservation/store.ts';
import { readStock } from '#sale/stock.ts';
import { loadTerms } from '#sale/terms.ts';

const repairScript = defineScript('holdfastRepair', luaSource('../mirror/repair.lua', import.meta.url));
const recountScript = defineScript('holdfastRecount', luaSource('../mirror/recount.lua', import.meta.url));

/** How long a commit may take to reach the mirror before the difference counts. */
const inFlightMs = 300;
const rowsPerPage = 2_000;
/** A request that has been undecided for so much longer than its queue is behind is not in flight any more. */
const undecidedForMs = 600_000;

const driftKinds = ['books', 'ledger', 'stock', 'reservation', 'claim', 'gate', 'undecided'] as const;
type DriftKind = (typeof driftKinds)[number];

/** One difference. */
export const Drift = z.object({
  saleId: z.uuid(),
  kind: z.enum(driftKinds),
  /** What differs: a counter, a reservation, a field. */
  what: z.string(),
  expected: z.string(),
  found: z.string(),
  likelyCause: z.string(),
  repaired: z.boolean(),
});
export type Drift = z.infer<typeof Drift>;

export const ReconcileReport = z.object({
  sales: z.number().int(),
  reservations: z.number().int(),
  drifts: z.array(Drift),
  /** False if time ran out before every sale was looked at. */
  complete: z.boolean(),
});
export type ReconcileReport = z.infer<typeof ReconcileReport>;

/** What an operator may ask: one sale or all, and whether MySQL was just restored from a backup. */
export const ReconcileRequest = z.strictObject({
  saleId: Id.optional(),
  restored: z.boolean().default(false),
});
export type ReconcileRequest = z.output<typeof ReconcileRequest>;

type ReconcileDeps = Pick<Deps, 'db' | 'redis' | 'clock'>;

/** What may fire: the rule, or the news that Redis does not know a sale any more. */
export const ReconcileTrigger = z.union([
  z.object({ saleId: z.uuid() }),
  z.object({ 'detail-type': z.literal('Scheduled Event') }),
]);
export type ReconcileTrigger = z.infer<typeof ReconcileTrigger>;

/** Reconciles what a batch of triggers speaks of, each sale once. */
export async function reconcileOnTrigger(
  deps: ReconcileDeps,
  batch: Delivered<ReconcileTrigger>[],
  deadlineMs: number,
): Promise<MustRepeat> {
  const named = new Set(batch.map(({ message }) => ('saleId' in message ? message.saleId : undefined)));
  const saleIds = named.has(undefined) ? [undefined] : [...named];
  for (const saleId of saleIds) await reconcile(deps, { saleId, deadlineMs });
  return [];
}

/** How long an operator's call may take; what is left then is said in the report. */
const callLifeMs = 10_000;

/** Reconciles for an operator; after a restore it raises every epoch first. */
export async function reconcileNow(deps: ReconcileDeps, request: ReconcileRequest): Promise<ReconcileReport> {
  const deadlineMs = Date.now() + callLifeMs;
  if (request.restored) await raiseEpochs(deps);
  return reconcile(deps, { saleId: request.saleId, deadlineMs });
}

/** Reconciles one sale, or all of them. Throws if MySQL or Redis cannot be reached. */
export async function reconcile(
  deps: ReconcileDeps,
  options: { saleId?: string | undefined; deadlineMs: number },
): Promise<ReconcileReport> {
  const saleIds = options.saleId ? [options.saleId] : await everySale(deps.db);
  const drifts: Drift[] = [];
  let sales = 0;
  let reservations = 0;
  for (const saleId of saleIds) {
    if (Date.now() >= options.deadlineMs) break;
    drifts.push(...(await checkBooks(deps.db, saleId)), ...(await checkStock(deps, saleId)));
    const claims = await checkClaims(deps, saleId);
    drifts.push(...claims.drifts);
    reservations += claims.reservations;
    sales++;
  }
  for (const drift of drifts) log.warn('drift', { ...drift });
  measure({ Reconciliations: 1, Drifts: drifts.length }, { facts: { sales, reservations } });
  return { sales, reservations, drifts, complete: sales === saleIds.length };
}

/**
 * After MySQL was restored from a backup: raises every epoch, so that nothing written before the restore can win, and
 * forgets the claims of the time that was lost. Reconcile afterwards fills the mirror again.
 */
export async function raiseEpochs(deps: ReconcileDeps): Promise<void> {
  await deps.db.change('UPDATE sales SET epoch = epoch + 1, version = version + 1');
  for (const saleId of await everySale(deps.db)) {
    const tag = saleTag(saleId);
    await deps.redis.unlink(keys.sale(tag), ...bucketsOf(tag).map((bucket) => keys.claims(tag, bucket)));
  }
}

async function everySale(sql: Sql): Promise<string[]> {
  const rows = await sql.rows<{ id: Buffer }>('SELECT id FROM sales ORDER BY id DESC');
  return rows.map((row) => fromBytes(row.id));
}

/** MySQL against itself: stock, reservations, waitlist and ledger, in one statement and so of one moment. */
async function checkBooks(sql: Sql, saleId: string): Promise<Drift[]> {
  const id = toBytes(saleId);
  const of = (what: string, table: string, where: string) =>
    `(SELECT COALESCE(${what}, 0) FROM ${table} WHERE ${where})`;
  const range = `id > ? AND id <= ? AND sale_id = ?`;
  const first = toBytes(firstIdOf(saleId));
  const last = lastIdOf(saleId);
  const subjects = 'subject_id > ? AND subject_id <= ? AND sale_id = ?';
  const [row] = await sql.rows<Record<string, string | number>>(
    `SELECT allotment, available, allocated, sold, waitlisted,
       ${of('SUM(units)', 'reservations', `${range} AND state = 'allocated'`)} AS allocatedUnits,
       ${of('SUM(units)', 'reservations', `${range} AND state = 'purchased'`)} AS purchasedUnits,
       ${of('COUNT(*)', 'reservations', `${range} AND state = 'waitlisted'`)} AS waiting,
       ${of("SUM(IF(kind = 'ADJUST', units, 0))", 'ledger', subjects)} AS adjusted,
       ${of("SUM(CASE kind WHEN 'ALLOCATE' THEN units WHEN 'RELEASE' THEN -units ELSE 0 END)", 'ledger', subjects)} AS heldByLedger
     FROM sales WHERE id = ?`,
    [...Array.from({ length: 5 }, () => [first, last, id]).flat(), id],
  );
  if (!row) return [];
  const value = (name: string) => Number(row[name]);
  const drift = (kind: DriftKind, what: string, expected: number, found: number, likelyCause: string): Drift[] =>
    expected === found
      ? []
      : [{ saleId, kind, what, expected: `${expected}`, found: `${found}`, likelyCause, repaired: false }];
  const byHand = 'rows were changed outside Holdfast; do not sell on before someone has looked';
  return [
    ...drift('books', 'allocated', value('allocatedUnits'), value('allocated'), byHand),
    ...drift('books', 'sold', value('purchasedUnits'), value('sold'), byHand),
    ...drift('books', 'waitlisted', value('waiting'), value('waitlisted'), byHand),
    ...drift('ledger', 'allotment', value('adjusted'), value('allotment'), byHand),
    ...drift('ledger', 'held', value('heldByLedger'), value('allocated') + value('sold'), byHand),
  ];
}

const counters = ['epoch', 'version', 'allotment', 'available', 'allocated', 'sold', 'waitlisted'] as const;

/** The mirror's stock against the row. */
async function checkStock(deps: ReconcileDeps, saleId: string): Promise<Drift[]> {
  const differing = async () => {
    const row = (await readStock(deps.db, [saleId])).get(saleId);
    const mirrored = await deps.redis.hmget(keys.sale(saleTag(saleId)), ...counters);
    if (!row) return undefined;
    const wrong = counters.filter((name, index) => mirrored[index] !== String(row[name]));
    return wrong.length > 0 ? { row, mirrored, wrong } : undefined;
  };
  const first = await differing();
  if (!first) return [];
  await new Promise((resolve) => setTimeout(resolve, inFlightMs));
  const second = await differing();
  // A mirror that moved between the two looks is being written; it is on its way, not adrift.
  if (!second || second.mirrored.join() !== first.mirrored.join()) return [];

  const { row, mirrored, wrong } = second;
  const repaired = await repairStock(deps, row, mirrored[1] ?? null);
  const likelyCause = causeOf(row, Number(mirrored[0]), mirrored[1] ?? null);
  return wrong.map((name) => ({
    saleId,
    kind: 'stock',
    what: name,
    expected: String(row[name]),
    found: mirrored[counters.indexOf(name)] ?? 'missing',
    likelyCause,
    repaired,
  }));
}

function causeOf(row: StockLevel, epoch: number, version: string | null): string {
  if (version === null) return 'Redis lost the sale';
  if (epoch < row.epoch) return 'MySQL was restored and the mirror is from before';
  if (Number(version) < row.version)
    return 'a worker died between its commit and the mirror, or Redis came back with old data';
  if (Number(version) > row.version) return 'MySQL lost commits, or the mirror was changed by hand';
  return 'the mirror was changed by hand';
}

async function repairStock(deps: ReconcileDeps, row: StockLevel, seenVersion: string | null): Promise<boolean> {
  if (seenVersion === null) {
    await writeMirror(deps.redis, [row], [], await loadTerms(deps.db, [row.saleId]));
    return true;
  }
  const values = counters.map((name) => row[name]);
  return (await repairScript.run(deps.redis, [keys.sale(saleTag(row.saleId))], [seenVersion, ...values])) === 1;
}

/** The claims in the mirror against the reservations, and the gate's counters against the claims. */
async function checkClaims(deps: ReconcileDeps, saleId: string): Promise<{ drifts: Drift[]; reservations: number }> {
  const tag = saleTag(saleId);
  const saleKey = keys.sale(tag);
  const gateFields = ['line', 'version', 'pendingUnits', 'pendingOver'] as const;
  const before = await deps.redis.hmget(saleKey, ...gateFields);
  const buckets = await readBuckets(deps.redis, tag);
  const drifts: Drift[] = [];
  let reservations = 0;

  for await (const rows of pagesOf(deps.db, saleId)) {
    reservations += rows.length;
    const behind: ReservationRow[] = [];
    for (const row of rows) {
      const bucket = buckets.get(claimBucket(tag, row.customerId)) ?? {};
      const packed = bucket[reservationField(row.reservationId, row.customerId)];
      const seen = packed === undefined ? undefined : unpack(packed);
      if (seen && seen.version >= row.version) continue;
      behind.push(row);
    }
    if (behind.length === 0) continue;
    const stock = (await readStock(deps.db, [saleId])).get(saleId);
    if (!stock) continue;
    await writeMirror(deps.redis, [stock], behind);
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
  drifts.push(...(await returnForgotten(deps, saleId, buckets)));

  // Counting takes a while; only if nothing at all happened meanwhile is the count of one moment.
  const [after, bucketsAfter] = [await deps.redis.hmget(saleKey, ...gateFields), await readBuckets(deps.redis, tag)];
  if (before.slice(0, 2).join() === after.slice(0, 2).join()) {
    drifts.push(...(await recountGate(deps.redis, saleId, after, bucketsAfter)));
    drifts.push(...(await recountClaims(deps, saleId, bucketsAfter)));
  }
  return { drifts, reservations };
}

type Buckets = Map<number, Record<string, string>>;

async function recountGate(
  redis: RedisClient,
  saleId: string,
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

/** What each customer claims, where no request of the bucket is undecided: then MySQL knows all of it. */
async function recountClaims(deps: ReconcileDeps, saleId: string, buckets: Buckets): Promise<Drift[]> {
  const tag = saleTag(saleId);
  const settled = new Set([...buckets].filter(([, fields]) => !hasPending(fields)).map(([bucket]) => bucket));
  const expected = new Map<string, { bucket: number; units: number }>();
  for await (const rows of pagesOf(deps.db, saleId)) {
    for (const row of rows) {
      const bucket = claimBucket(tag, row.customerId);
      if (!settled.has(bucket)) continue;
      const field = customerField(row.customerId);
      const known = expected.get(field) ?? { bucket, units: 0 };
      known.units += claimOf(row);
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
 * Takes back claims that are undecided and not in flight any more. Their messages may be among the dead letters, to be
 * redriven some day, or were never sent: by a function that died between gate and queue, for a client who gave up.
 */
async function returnForgotten(deps: ReconcileDeps, saleId: string, buckets: Buckets): Promise<Drift[]> {
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
        likelyCause: 'its message is among the dead letters, or was never queued because the client gave up',
        repaired: owner !== undefined && (await returnForgottenClaim(deps.redis, place, field, owner)),
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

function bucketsOf(tag: string): number[] {
  return Array.from({ length: 1 << Number.parseInt(tag.slice(-1), 16) }, (_, bucket) => bucket);
}

async function readBuckets(redis: RedisClient, tag: string): Promise<Buckets> {
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

async function* pagesOf(sql: Sql, saleId: string): AsyncGenerator<ReservationRow[]> {
  let afterId = toBytes(firstIdOf(saleId));
  const last = lastIdOf(saleId);
  for (;;) {
    const stored = await sql.rows<StoredReservation>(
      `SELECT ${reservationColumns} FROM reservations WHERE id > ? AND id <= ? AND sale_id = ? ORDER BY id LIMIT ?`,
      [afterId, last, toBytes(saleId), rowsPerPage],
    );
    if (stored.length > 0) yield stored.map(toReservation);
    const end = stored.at(-1);
    if (!end || stored.length < rowsPerPage) return;
    afterId = end.id;
  }
}
