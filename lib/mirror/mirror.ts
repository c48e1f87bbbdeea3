/**
 * The mirror: the copy of stock and reservation states in Redis, written through after each commit.
 *
 * Invariant I6: it equals MySQL at rest and its versions never fall. Every write compares (epoch, version) with what is
 * stored, for stock and for terms, so writes may be late, repeated or out of order. It is never the truth: where it has no
 * entry, MySQL is read.
 *
 * Layout: one hash per sale (`fields.ts`), claims in buckets of that sale (`claims.ts`), and a bit for each place among its
 * requests, set while that request waits in line.
 */

import { LRUCache } from 'lru-cache';
import type { Needs } from '#platform/environment/deps.ts';
import type { CustomerId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { warnUnlessOutage } from '#platform/redis/outage-log.ts';
import { type Bucket, type Empty, emptyOf, namedBuckets, takeTokensSource } from '#platform/redis/rate-limit.ts';
import { defineScript, luaSource, type RedisClient } from '#platform/redis/redis.ts';
import { batched } from '#platform/resilience/batcher.ts';
import { asksOf } from '#sale/eligibility.ts';
import type { StockLevel } from '#sale/sale.shapes.ts';
import { readSales, type SaleRow } from '#sale/sale.store.ts';
import { claimBucket, saleTag, saleTagOf } from '#sale/sale-id.ts';
import { termsView } from '#sale/terms.ts';
import { visibilityOf } from '#sale/visibility.ts';
import { unitsAgainstCap } from '#state/reservation-state.ts';
import {
  claimsKey,
  countedByLetter,
  customerField,
  isOutdated,
  type MirroredReservation,
  type MirroredStatus,
  pack,
  reservationField,
  unpack,
} from './claims.ts';
import type { termFields } from './fields.ts';
import { mirrorTrust } from './mirror-trust.ts';

const mirrorScript = defineScript('holdfastMirror', luaSource('lib/mirror/mirror.lua'));
const statusScript = defineScript('holdfastStatus', takeTokensSource + luaSource('lib/mirror/status.lua'));

/**
 * Copies committed stock and reservations in one round trip, for any number of sales. `terms` are the sales whose terms are
 * written too; with `lost`, sales that Redis does not know are marked as having lost their claims. Returns the ids of sales
 * that Redis does not know; the caller should load and mirror their terms. Throws if Redis cannot be reached.
 */
export async function writeMirror(
  { redis }: Needs<'redis'>,
  stocks: readonly StockLevel[],
  reservations: readonly MirroredReservation[],
  terms: readonly SaleRow[] = [],
  options: { lost?: boolean } = {},
): Promise<SaleId[]> {
  if (stocks.length === 0) return [];
  const bySale = Map.groupBy(reservations, (row) => row.saleId);
  const termsOf = new Map(terms.map((sale) => [sale.saleId, sale]));
  const scriptKeys: string[] = [];
  const args: string[] = [];
  for (const stock of stocks) {
    const tag = saleTag(stock.saleId);
    const { epoch, version, allotment, available, allocated, sold, waitlisted } = stock;
    // One argument for all reservations: building and parsing thousands of small ones costs more than the work itself.
    let texts = '';
    for (const row of bySale.get(stock.saleId) ?? []) {
      const { reservationId, customerId } = row;
      const bucket = claimBucket(tag, customerId).toString(36);
      const fields = `${reservationField(reservationId, customerId)}\0${customerField(customerId)}`;
      texts += `${bucket}\0${fields}\0${row.version}\0${unitsAgainstCap(row)}\0${pack(row)}\0`;
    }
    scriptKeys.push(keys.sale(tag), keys.claimsOf(tag), keys.line(tag));
    args.push(
      `${epoch} ${version} ${allotment} ${available} ${allocated} ${sold} ${waitlisted}`,
      termsArgument(termsOf.get(stock.saleId), options.lost ?? false),
      texts,
    );
  }
  args.push(JSON.stringify(countedByLetter));
  const results = (await redis.guarded(() => mirrorScript.run(redis, scriptKeys, args))) as number[];
  return stocks.filter((_, index) => results[index] === 0).map((stock) => stock.saleId);
}

/** The terms for the script. */
function termsArgument(sale: SaleRow | undefined, lost: boolean): string {
  return sale ? JSON.stringify({ ...mirroredTerms(sale), ...(lost ? { lost } : {}) }) : '';
}

/** A sale's terms as the mirror has them. Numbers travel as text: Redis's JSON would turn times into floating point. */
export function mirroredTerms(sale: SaleRow): Record<(typeof termFields)[number], string> {
  const pausedAtMs = sale.status === 'paused' ? sale.pausedAtMs : null;
  const { publicFromMs, access } = visibilityOf(sale);
  return {
    terms: JSON.stringify(termsView(sale)),
    opens: String(sale.reserveOpensAtMs),
    // No customer could buy after the window, so later requests are refused at once; older sales may have a longer reservation
    // period.
    closes: String(Math.min(sale.reserveClosesAtMs, sale.purchaseClosesAtMs)),
    status: sale.status,
    cap: String(sale.capPerCustomer),
    asks: asksOf(sale),
    waitlistSize: String(sale.waitlistSize),
    id: sale.saleId,
    public: String(publicFromMs ?? '-'),
    access,
    clock: `${sale.purchaseOpensAtMs} ${sale.purchaseClosesAtMs} ${sale.clockOffsetMs} ${pausedAtMs ?? '-'}`,
  };
}

/** What refreshing the mirror needs. */
export type MirrorNeeds = Needs<'db' | 'redis' | 'clock' | 'queue' | 'once'>;

/**
 * Refreshes the mirror after a commit. Never throws: if it could not be written, the next write, the redelivery of the
 * message, or the reconcile job repairs it.
 */
export async function refreshMirror(
  deps: MirrorNeeds,
  stocks: readonly StockLevel[],
  reservations: readonly MirroredReservation[],
  terms: readonly SaleRow[] = [],
): Promise<void> {
  try {
    const unknown = await writeMirror(deps, stocks, reservations, terms);
    if (unknown.length > 0) await teachSales(deps, unknown);
  } catch (error) {
    deps.once(mirrorTrust).failed();
    warnUnlessOutage(error, 'the mirror could not be written; it will be repaired', { sales: stocks.length });
  }
}

/** Writes sales that Redis does not have, and requests a rebuild of the claims that it lost with them. */
async function teachSales(deps: MirrorNeeds, saleIds: SaleId[]): Promise<void> {
  const sales = [...(await readSales(deps.db, saleIds)).values()];
  await writeMirror(deps, sales, [], sales, { lost: true });
  await requestRebuild(
    deps,
    sales.map((sale) => sale.saleId),
  );
}

/** How long, and for how many ids, it is remembered that no sale has the id. */
const unknownForMs = 5_000;
const rememberedUnknown = 10_000;

/**
 * Ids that no sale has. A sale's id is random and unknown before the sale exists, so no caller can have asked for it earlier.
 */
const unknownSales = ({ clock }: Needs<'clock'>) =>
  new LRUCache<SaleId, true>({
    max: rememberedUnknown,
    ttl: unknownForMs,
    perf: { now: clock },
    ttlResolution: 0,
  });

/**
 * Reads a sale from MySQL and writes it into the mirror, so that the gate and the next reader find it there. Undefined if
 * there is no such sale; that is remembered for `unknownForMs`. Throws if MySQL cannot be reached.
 */
export async function primeMirror(deps: MirrorNeeds, saleId: SaleId): Promise<SaleRow | undefined> {
  const unknown = deps.once(unknownSales);
  if (unknown.has(saleId)) return undefined;
  const sale = (await readSales(deps.db, [saleId])).get(saleId);
  if (!sale) {
    unknown.set(saleId, true);
    return undefined;
  }
  try {
    await writeMirror(deps, [sale], [], [sale], { lost: true });
    await requestRebuild(deps, [saleId]);
  } catch (error) {
    warnUnlessOutage(error, 'the sale could not be mirrored', { saleId });
  }
  return sale;
}

/** Within this time only one rebuild of a sale is requested, however many processes notice the loss. */
const rebuildOnceInMs = 5_000;

/**
 * Redis did not have these sales, so it lost more than what was just written back: the reconcile job is triggered at once
 * instead of at its next scheduled run.
 */
export async function requestRebuild(deps: Needs<'redis' | 'queue'>, saleIds: SaleId[]): Promise<void> {
  for (const saleId of saleIds) {
    const first = await deps.redis.set(keys.running('rebuild', saleId), '1', 'PX', rebuildOnceInMs, 'NX');
    if (first === 'OK') await deps.queue('reconcile').send({ body: { saleId } });
  }
}

/** By which clock the deadlines of a sale run. */
export type MirroredClock = Pick<SaleRow, 'purchaseClosesAtMs' | 'clockOffsetMs' | 'status' | 'pausedAtMs'>;

/** A reservation and what is needed to show it. */
export interface MirroredAnswer extends MirroredStatus {
  readonly saleId: SaleId;
  /** Null if an older build mirrored the sale. */
  readonly clock: MirroredClock | null;
  /** Its place on the waitlist, from 1; null if it does not wait, or Redis does not have all who wait. */
  readonly placeInLine: number | null;
}

/** A question about a reservation: its id, who asks, and the limits on whoever does. */
interface Asked {
  readonly reservationId: ReservationId;
  readonly customerId: CustomerId;
  readonly buckets?: readonly Bucket[];
}

/** A question beyond these limits, which was not answered. No token was taken. */
interface Unasked {
  readonly empty: readonly Empty[];
}

/** The most questions in one call of the script; each takes microseconds, during which Redis serves no other client. */
const questionsPerCall = 16;
/** With several, this process works on some answers while Redis works on the next; with one, both wait for each other. */
const callsInFlight = 4;

/** Questions that are read together, or come while all calls are under way, share a call. */
const statusCalls = ({ redis }: Needs<'redis'>) =>
  batched<Asked, MirroredAnswer | Unasked | 'unknown'>((questions) => askStatuses(redis, questions), {
    maxBatchSize: questionsPerCall,
    maxInFlight: callsInFlight,
  });

/**
 * A reservation of this customer as the mirror has it, and its sale; undefined if there is none. Throws if Redis cannot be
 * reached, or is a replica: one that was demoted would go on showing what it had.
 */
export async function readMirroredStatus(
  deps: Needs<'redis' | 'once'>,
  reservationId: ReservationId,
  customerId: CustomerId,
): Promise<MirroredAnswer | undefined> {
  const answer = await readStatusWithin(deps, { reservationId, customerId });
  if (answer && 'empty' in answer) throw new Error('a question without limits was beyond one');
  return answer;
}

/** The same within limits: one token is taken from each bucket in the same step, and without them nothing is told. */
export async function readStatusWithin(
  deps: Needs<'redis' | 'once'>,
  asked: Asked,
): Promise<MirroredAnswer | Unasked | undefined> {
  const answer = await deps.once(statusCalls)(asked);
  return answer === 'unknown' ? undefined : answer;
}

/** One run of the script for each sale, all in one round trip. The answers are in the order of the questions. */
async function askStatuses(
  redis: RedisClient,
  questions: readonly Asked[],
): Promise<(MirroredAnswer | Unasked | 'unknown' | Error)[]> {
  const bySale = [...Map.groupBy(questions.keys(), (index) => saleTagOf((questions[index] as Asked).reservationId))];
  const calls = bySale.map(([tag, indexes]) => {
    // One argument and one answer for all of them, as at the gate.
    let texts = '';
    const limits: Bucket[] = [];
    for (const index of indexes) {
      const { reservationId, customerId, buckets = [] } = questions[index] as Asked;
      const bucket = claimBucket(tag, customerId).toString(36);
      texts += `${bucket}\0${reservationField(reservationId, customerId)}\0${buckets.length}\0`;
      limits.push(...buckets);
    }
    const { names, sizes } = namedBuckets(limits);
    return { keys: [keys.sale(tag), keys.claimsOf(tag), keys.line(tag), ...names], args: [texts, ...sizes] };
  });
  const [only] = calls;
  const results = await redis.guarded(async () =>
    only && calls.length === 1
      ? [await statusScript.run(redis, only.keys, only.args)]
      : statusScript.runAll(redis, calls),
  );
  const answers = new Array<MirroredAnswer | Unasked | 'unknown' | Error>(questions.length);
  bySale.forEach(([, indexes], call) => {
    const result = results[call];
    const [sale = '', ...lines] = typeof result === 'string' ? result.split('\n') : [];
    const [saleId, ...clock] = sale.split(' ');
    indexes.forEach((index, n) => {
      const line = lines[n];
      if (line === undefined)
        answers[index] = result instanceof Error ? result : new Error('the mirror gave no answer');
      else answers[index] = answerOf(saleId as SaleId, clock, line, questions[index]?.buckets);
    });
  });
  return answers;
}

function answerOf(
  saleId: SaleId,
  clock: readonly string[],
  line: string,
  buckets: readonly Bucket[] = [],
): MirroredAnswer | Unasked | 'unknown' {
  const [packed = '', placeInLine = ''] = line.split(' ');
  if (packed === 'limited') return { empty: emptyOf(buckets, line.split(' ').slice(1).map(Number)) };
  // Only `mirror.lua` writes the sale's id, always that of a sale; without it the sale is not here.
  if (packed === '' || (saleId as string) === '' || packed.startsWith('u')) return 'unknown';
  return {
    ...unpack(packed),
    saleId,
    clock: clock.length < 4 ? null : clockOf(clock),
    placeInLine: placeInLine === '' ? null : Number(placeInLine),
  };
}

function clockOf(texts: readonly string[]): MirroredClock {
  const [, purchaseClosesAtMs = 0, clockOffsetMs = 0] = texts.map(Number);
  const pausedAtMs = texts[3] === '-' ? null : Number(texts[3]);
  // Of the status only a pause matters to a clock.
  const status = pausedAtMs === null ? 'active' : 'paused';
  return { purchaseClosesAtMs, clockOffsetMs, status, pausedAtMs };
}

/** Those of the reservations of which the mirror is outdated. Throws if Redis cannot be reached. */
export async function readBehindInMirror<Row extends MirroredReservation>(
  { redis }: Needs<'redis'>,
  shown: readonly Row[],
): Promise<Row[]> {
  const byKey = Map.groupBy(shown, (row) => claimsKey(saleTag(row.saleId), row.customerId));
  const behind = await redis.guarded(() =>
    Promise.all(
      [...byKey].map(async ([key, rows]) => {
        const fields = rows.map((row) => reservationField(row.reservationId, row.customerId));
        const packed = await redis.hmget(key, ...fields);
        return rows.filter((row, index) => packed[index] && isOutdated(unpack(packed[index]), row));
      }),
    ),
  );
  return behind.flat();
}
