/**
 * The mirror: the Redis copy of stock and reservation states, written through after each commit.
 *
 * Invariant I6: it equals MySQL at rest and its versions never fall. Every write compares (epoch, version) with what is
 * there, so writers may come late, twice or out of order. It is never the truth: whoever finds it missing reads MySQL.
 *
 * Layout: one hash per sale with terms, stock and the gate's counters; claims in buckets of that sale, each a small hash
 * holding, per reservation, a packed value and, per customer, the units claimed. Values are packed because a launch
 * stores millions of them.
 */
import type { StockLevel } from '#events/catalogue.ts';
import type { Queue } from '#platform/aws/aws.ts';
import type { Clock } from '#platform/kernel/clock.ts';
import { claimBucket, type SaleTag, saleTag, saleTagOf } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import type { Sql } from '#platform/mysql/mysql.ts';
import { keys } from '#platform/redis/keys.ts';
import { defineScript, luaSource, type RedisClient, redisBreaker } from '#platform/redis/redis.ts';
import type { ReservationRow } from '#reservation/store.ts';
import { loadTerms, type MirroredTerms } from '#sale/terms.ts';
import { holdingStates, type ReservationState, waitingStates } from '#state/reservation-state.ts';
import { doubtMirror } from './mirror-trust.ts';

/** The part of a reservation that the mirror keeps. */
export type MirroredReservation = Pick<
  ReservationRow,
  'reservationId' | 'customerId' | 'saleId' | 'state' | 'units' | 'quantity' | 'atLeast' | 'ticket' | 'version'
>;

/** What the mirror says of a reservation; `position` is its place among all requests of the sale. */
export interface MirroredStatus {
  readonly state: ReservationState;
  readonly version: number;
  readonly units: number;
  readonly quantity: number;
  readonly atLeast: number;
  readonly ticket: number;
  readonly position: number | null;
}

const mirrorScript = defineScript('holdfastMirror', luaSource('lib/mirror/mirror.lua'));

/**
 * One letter for each state. A request admitted beyond the available units is `o`, for the gate's own counting, and one
 * that could not be queued is `u`: it claims nothing, and its ticket waits for the customer to try again.
 */
const letters: Record<ReservationState, string> = {
  requested: 'r',
  allocated: 'a',
  waitlisted: 'w',
  rejected: 'x',
  purchased: 'p',
  cancelled: 'c',
  expired: 'e',
  refunded: 'f',
};
const statesByLetter = new Map<string, ReservationState>([
  ...Object.entries(letters).map(([state, letter]) => [letter, state as ReservationState] as const),
  ['o', 'requested'],
]);

/**
 * A reservation's field in its bucket: the last 48 bits of its id, which within a bucket never meet another's, and 24 of
 * its owner's. Others may have claims in the same bucket; without the owner's id nobody can name the field (I10).
 */
export function reservationField(reservationId: string, customerId: string): string {
  return short(reservationDigits(reservationId, customerId));
}

function reservationDigits(reservationId: string, customerId: string): string {
  return reservationId.slice(24) + customerId.slice(24, 30);
}

/** The last 12 hex digits of the id of the reservation that has this field. */
export function idEndOf(field: string): string {
  return bytesOf(field).toString('hex', 0, 6);
}

/**
 * The customer's field that belongs to a reservation's, among the fields of their bucket: both have bits of the same id.
 * Undefined if there is none, or by a rare chance two.
 */
export function ownerOf(field: string, bucket: Iterable<string>): string | undefined {
  const owner = bytesOf(field).subarray(6);
  const fitting = [...bucket].filter(
    (one) => one.startsWith('@') && bytesOf(one.slice(1)).subarray(2, 5).equals(owner),
  );
  return fitting.length === 1 ? fitting[0] : undefined;
}

/** A customer's field in a bucket: bits of the id that do not choose the bucket; the sign keeps it apart. */
export function customerField(customerId: string): string {
  return `@${short(customerDigits(customerId))}`;
}

function customerDigits(customerId: string): string {
  return customerId.slice(19, 23) + customerId.slice(24, 32);
}

/** For each reservation its field and its customer's, for the script. Shortened together, at a fifth of the time. */
function fieldsOf(rows: readonly MirroredReservation[]): (index: number) => string {
  let digits = '';
  for (const { reservationId, customerId } of rows) {
    digits += reservationDigits(reservationId, customerId) + customerDigits(customerId);
  }
  const all = short(digits);
  return (index) => `${all.slice(20 * index, 20 * index + 12)}\0@${all.slice(20 * index + 12, 20 * index + 20)}`;
}

/** Hex digits in two thirds of their length. */
function short(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64url');
}

function bytesOf(shortened: string): Buffer {
  return Buffer.from(shortened, 'base64url');
}

/** The bucket that holds a customer's claims in a sale. */
export function claimsKey(tag: SaleTag, customerId: string): string {
  return keys.claims(tag, claimBucket(tag, customerId));
}

/** The units that a reservation counts against its customer's cap; the Lua script has the same rule. */
export function claimOf(row: Pick<MirroredReservation, 'state' | 'units' | 'quantity'>): number {
  if (waitingStates.includes(row.state)) return row.quantity;
  return holdingStates.includes(row.state) ? row.units : 0;
}

/** Reads a packed value: the ticket is in hex, and the least that the customer takes is left out if it is all. */
export function unpack(packed: string): MirroredStatus {
  const [letter = '', version, units, quantity, atLeast, ticket = '', position] = packed.split(':');
  return {
    state: statesByLetter.get(letter) ?? 'requested',
    version: Number(version),
    units: Number(units),
    quantity: Number(quantity),
    atLeast: Number(atLeast || quantity),
    ticket: Number.parseInt(ticket, 16),
    position: position === '0' ? null : Number(position),
  };
}

/** The packed value, up to the position, which Redis alone knows. */
export function pack(row: MirroredReservation): string {
  const atLeast = row.atLeast === row.quantity ? '' : row.atLeast;
  return `${letters[row.state]}:${row.version}:${row.units}:${row.quantity}:${atLeast}:${inHex(row.ticket)}:`;
}

/** The low 24 bits of a ticket are written from two halves of a table. */
const lowBits = 2 ** 24;
const threeDigits = Array.from({ length: 2 ** 12 }, (_, number) => number.toString(16).padStart(3, '0'));

/** `toString(16)` divides a number of this size by 16 for each digit, in floating point: six times as long. */
function inHex(ticket: number): string {
  if (ticket < lowBits) return ticket.toString(16);
  const high = Math.floor(ticket / lowBits);
  const low = ticket - high * lowBits;
  return `${high.toString(16)}${threeDigits[low >> 12]}${threeDigits[low & 0xfff]}`;
}

/**
 * Copies committed stock and reservations, in one round trip however many sales. Returns the ids of sales that Redis does
 * not know, whose terms the caller should load and mirror. Throws if Redis cannot be reached.
 */
export async function writeMirror(
  redis: RedisClient,
  stocks: StockLevel[],
  reservations: MirroredReservation[],
  terms: ReadonlyMap<string, MirroredTerms> = new Map(),
): Promise<string[]> {
  if (stocks.length === 0) return [];
  const bySale = Map.groupBy(reservations, (row) => row.saleId);
  const scriptKeys: string[] = [];
  const args: string[] = [];
  for (const stock of stocks) {
    const tag = saleTag(stock.saleId);
    const { epoch, version, allotment, available, allocated, sold, waitlisted } = stock;
    // One argument for all reservations: building and parsing thousands of small ones costs more than the work itself.
    const rows = bySale.get(stock.saleId) ?? [];
    const fields = fieldsOf(rows);
    let texts = '';
    rows.forEach((row, index) => {
      const bucket = claimBucket(tag, row.customerId).toString(36);
      texts += `${bucket}\0${fields(index)}\0${row.version}\0${claimOf(row)}\0${pack(row)}\0`;
    });
    scriptKeys.push(keys.sale(tag), keys.claimsOf(tag));
    args.push(
      `${epoch} ${version} ${allotment} ${available} ${allocated} ${sold} ${waitlisted}`,
      termsArgument(stock.saleId, terms.get(stock.saleId)),
      texts,
    );
  }
  const results = (await redisBreaker.run(() => mirrorScript.run(redis, scriptKeys, args))) as number[];
  return stocks.filter((_, index) => results[index] === 0).map((stock) => stock.saleId);
}

/** The terms for the script. Numbers travel as text: Redis's JSON would turn times into floating point. */
function termsArgument(saleId: string, terms: MirroredTerms | undefined): string {
  if (!terms) return '';
  return JSON.stringify({
    terms: terms.json,
    opens: String(terms.reserveOpensAtMs),
    closes: String(terms.reserveClosesAtMs),
    status: terms.status,
    cap: String(terms.capPerCustomer),
    waitlistSize: String(terms.waitlistSize),
    id: saleId,
  });
}

/**
 * Refreshes the mirror after a commit. Never throws: a mirror that could not be written is repaired by the next write,
 * the redelivery of the message, or the reconcile job.
 */
export async function refreshMirror(
  deps: RebuildDeps & { db: Sql; clock: Clock },
  stocks: StockLevel[],
  reservations: MirroredReservation[],
): Promise<void> {
  try {
    const unknown = await writeMirror(deps.redis, stocks, reservations);
    if (unknown.length === 0) return;
    const terms = await loadTerms(deps.db, unknown);
    await writeMirror(
      deps.redis,
      stocks.filter((stock) => terms.has(stock.saleId)),
      [],
      terms,
    );
    await requestRebuild(deps, [...terms.keys()]);
  } catch (error) {
    doubtMirror(deps.redis, deps.clock());
    log.warn('the mirror could not be written; it will be repaired', { error, sales: stocks.length });
  }
}

/** What asking for a rebuild needs. */
export interface RebuildDeps {
  readonly redis: RedisClient;
  queue(name: string): Queue;
}

/** One request for a rebuild is enough for this long, however many notice the loss. */
const rebuildOnceInMs = 5_000;

/**
 * Redis did not know these sales: it lost more than what was just written back, so the reconcile job is called at once
 * instead of at its next turn.
 */
export async function requestRebuild(deps: RebuildDeps, saleIds: string[]): Promise<void> {
  for (const saleId of saleIds) {
    const first = await deps.redis.set(keys.running('rebuild', saleId), '1', 'PX', rebuildOnceInMs, 'NX');
    if (first === 'OK') await deps.queue('reconcile').send({ body: { saleId } });
  }
}

/** What the mirror says of a reservation of this customer, and of which sale it is; undefined if there is none. */
export async function readMirroredStatus(
  redis: RedisClient,
  reservationId: string,
  customerId: string,
): Promise<(MirroredStatus & { saleId: string }) | undefined> {
  const tag = saleTagOf(reservationId);
  const [packed, saleId] = await redisBreaker.run(() =>
    Promise.all([
      redis.hget(claimsKey(tag, customerId), reservationField(reservationId, customerId)),
      redis.hget(keys.sale(tag), 'id'),
    ]),
  );
  if (!packed || saleId === null || packed.startsWith('u')) return undefined;
  return { ...unpack(packed), saleId };
}

/** Those of the decided reservations that the mirror still calls requested. Throws if Redis cannot be reached. */
export async function readUndecidedInMirror<Row extends MirroredReservation>(
  redis: RedisClient,
  decided: Row[],
): Promise<Row[]> {
  const byKey = Map.groupBy(decided, (row) => claimsKey(saleTag(row.saleId), row.customerId));
  const behind = await redisBreaker.run(() =>
    Promise.all(
      [...byKey].map(async ([key, rows]) => {
        const fields = rows.map((row) => reservationField(row.reservationId, row.customerId));
        const packed = await redis.hmget(key, ...fields);
        return rows.filter((_, index) => packed[index] && unpack(packed[index]).state === 'requested');
      }),
    ),
  );
  return behind.flat();
}
