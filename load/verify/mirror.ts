/**
 * The verifier's own reading of the mirror in Redis.
 *
 * What it knows of the layout it knows from the documents, not from the workers' code. The last 12 hex digits of a
 * sale's id are its tag; `sale:{tag}` is a hash with stock, terms and the gate's counters. The last digit of the tag says
 * as a power of two over how many buckets the claims are spread: `claims:{tag}:<bucket in base 36>`, chosen by the low
 * bits of the customer's id. A bucket is a hash. It has a field for each reservation, named by the last 12 hex digits of
 * its id and the first 6 of the last 12 of its customer's, with state:version:units:quantity:atLeast:ticket:position,
 * where the ticket is in hex and atLeast is empty if it is the quantity; and a field for each customer, named by `@` and
 * the 12 hex digits of its id before the last four, with the units that count against the cap. Digits in these names
 * are written in base64url.
 */
import { Redis } from 'ioredis';
import type { ReservationRow, SaleRow, Store } from './store.ts';
import { Tally } from './tally.ts';

/** What Redis holds of one sale. */
interface Mirrored {
  sale: Record<string, string>;
  /** Fields of all buckets, as bucket and field name. */
  claims: Map<string, string>;
}

const stateLetters: Record<string, string> = {
  r: 'requested',
  o: 'requested',
  a: 'allocated',
  w: 'waitlisted',
  x: 'rejected',
  p: 'purchased',
  c: 'cancelled',
  e: 'expired',
  f: 'refunded',
};
/** Which states count against the cap, and by what. */
const countsAs: Record<string, 'quantity' | 'units'> = {
  requested: 'quantity',
  waitlisted: 'quantity',
  allocated: 'units',
  purchased: 'units',
};

const bucketsPerRound = 500;
/** The mirror is written after the commit: a difference counts only if a second look still finds it. */
const looks = 4;
const lookAgainMs = 400;

export class MirrorReader {
  readonly #redis: Redis;
  readonly #prefix: string;

  private constructor(redis: Redis, prefix: string) {
    this.#redis = redis;
    this.#prefix = prefix;
  }

  static async open(url: string, prefix: string): Promise<MirrorReader> {
    const redis = new Redis(url, { lazyConnect: true, connectTimeout: 5_000, commandTimeout: 10_000 });
    redis.on('error', () => undefined);
    await redis.connect();
    return new MirrorReader(redis, prefix);
  }

  close(): void {
    this.#redis.disconnect();
  }

  async read(saleId: string): Promise<Mirrored> {
    const tag = tagOf(saleId);
    const sale = await this.#redis.hgetall(`${this.#prefix}sale:{${tag}}`);
    const claims = new Map<string, string>();
    const buckets = bucketsOf(tag);
    for (let start = 0; start < buckets; start += bucketsPerRound) {
      const pipeline = this.#redis.pipeline();
      const end = Math.min(buckets, start + bucketsPerRound);
      for (let bucket = start; bucket < end; bucket++) {
        pipeline.hgetall(`${this.#prefix}claims:{${tag}}:${bucket.toString(36)}`);
      }
      const answers = (await pipeline.exec()) ?? [];
      for (const [index, [error, fields]] of answers.entries()) {
        if (error) throw error;
        for (const [field, value] of Object.entries(fields as Record<string, string>)) {
          claims.set(`${start + index}/${field}`, value);
        }
      }
    }
    return { sale, claims };
  }
}

/** I6: the mirror of every sale equals MySQL. A difference counts only if it stays. */
export async function checkMirror(store: Store, reader: MirrorReader, report: (line: string) => void): Promise<Tally> {
  const total = new Tally();
  await store.snapshot();
  let left = [...(await store.sales()).keys()];
  for (let look = 1; left.length > 0; look++) {
    if (look > 1) {
      report(`${left.length} sales differ from their mirror; looking again`);
      await new Promise((resolve) => setTimeout(resolve, lookAgainMs));
      await store.snapshot();
    }
    const sales = await store.sales();
    const differing: string[] = [];
    for (const saleId of left) {
      const sale = sales.get(saleId);
      if (!sale) continue;
      const tally = await compareSale(store, reader, sale);
      if (tally.violations > 0 && look < looks) differing.push(saleId);
      else total.add(tally);
    }
    left = differing;
  }
  return total;
}

async function compareSale(store: Store, reader: MirrorReader, sale: SaleRow): Promise<Tally> {
  const tally = new Tally();
  const mirrored = await reader.read(sale.id);
  compareStock(tally, sale, mirrored.sale);
  const claimed = new Map<string, number>();
  for await (const row of store.reservations(tagOf(sale.id))) {
    if (row.saleId !== sale.id) continue;
    compareReservation(tally, row, mirrored.claims);
    const counts = countsAs[row.state];
    if (counts) {
      const name = customerClaim(sale.id, row.customerId);
      claimed.set(name, (claimed.get(name) ?? 0) + row[counts]);
    }
  }
  for (const [name, units] of claimed) {
    const held = Number(mirrored.claims.get(name) ?? 0);
    tally.expect(held === units, () => `sale ${sale.id}: the mirror counts ${held} units for ${name}, MySQL ${units}`);
    mirrored.claims.delete(name);
  }
  // The remaining fields have no row in MySQL.
  for (const [name, value] of mirrored.claims) {
    // A request that could not be queued claims nothing; only its ticket is kept.
    const harmless = name.includes('/@') ? Number(value) === 0 : value.startsWith('u:');
    tally.expect(harmless, () => `sale ${sale.id}: the mirror has ${name} = ${value}, MySQL has nothing of the kind`);
  }
  return tally;
}

function compareStock(tally: Tally, sale: SaleRow, mirrored: Record<string, string>): void {
  const expected: Record<string, string | number> = {
    epoch: sale.epoch,
    version: sale.version,
    allotment: sale.allotment,
    available: sale.available,
    allocated: sale.allocated,
    sold: sale.sold,
    waitlisted: sale.waitlisted,
    opens: sale.reserveOpensAtMs,
    // The gate admits nobody who could not buy any more.
    closes: Math.min(sale.reserveClosesAtMs, sale.purchaseClosesAtMs),
    status: sale.status,
    cap: sale.cap,
    waitlistSize: sale.waitlistSize,
  };
  for (const [field, value] of Object.entries(expected)) {
    tally.expect(
      mirrored[field] === String(value),
      () => `sale ${sale.id}: ${field} is ${mirrored[field]} in the mirror and ${value} in MySQL`,
    );
  }
  // Nothing is in flight at rest, so the gate's counters must be zero.
  for (const field of ['pendingUnits', 'pendingOver']) {
    const pending = Number(mirrored[field] ?? 0);
    tally.expect(pending === 0, () => `sale ${sale.id}: the gate still counts ${field} = ${pending}`);
  }
}

function compareReservation(tally: Tally, row: ReservationRow, claims: Map<string, string>): void {
  const field = base64url(digits(row.id).slice(-12) + digits(row.customerId).slice(-12, -6));
  const name = `${bucketOf(tagOf(row.saleId), row.customerId)}/${field}`;
  const packed = claims.get(name);
  claims.delete(name);
  const [letter = '', version, units, quantity, atLeast, ticket] = (packed ?? '').split(':');
  const same =
    stateLetters[letter] === row.state &&
    Number(version) === row.version &&
    Number(units) === row.units &&
    Number(quantity) === row.quantity &&
    Number(atLeast || quantity) === row.atLeast &&
    Number(`0x${ticket}`) === row.ticket;
  tally.expect(
    same,
    () =>
      `reservation ${row.id} is ${packed ?? 'missing'} in the mirror and ${row.state} at version ${row.version} with ${row.units} units in MySQL`,
  );
}

function customerClaim(saleId: string, customerId: string): string {
  return `${bucketOf(tagOf(saleId), customerId)}/@${base64url(digits(customerId).slice(-16, -4))}`;
}

function tagOf(saleId: string): string {
  return saleId.slice(-12);
}

function bucketsOf(tag: string): number {
  return 2 ** Number.parseInt(tag.slice(-1), 16);
}

function bucketOf(tag: string, customerId: string): number {
  return Number.parseInt(customerId.slice(-6), 16) % bucketsOf(tag);
}

function base64url(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64url');
}

function digits(id: string): string {
  return id.replaceAll('-', '');
}
