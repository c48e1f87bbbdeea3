/**
 * The status of a reservation from the mirror alone, on real MySQL and a Redis of this file's own, since it is demoted: it is what
 * MySQL would show, it is never older than what was shown before, and where the mirror is not sure MySQL is asked.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { pauseSale } from '#launch/change-sale.ts';
import { rescheduleSale } from '#launch/reschedule.ts';
import { startOwnRedis } from '#local/databases.ts';
import { Supervisor } from '#local/supervisor.ts';
import { readMirroredStatus, writeMirror } from '#mirror/mirror.ts';
import { distrustForMs } from '#mirror/mirror-trust.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { refuse } from '#platform/kernel/errors.ts';
import type { CustomerId, PurchaseId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import type { Empty } from '#platform/redis/rate-limit.ts';
import { openRedis, type RedisClient } from '#platform/redis/redis.ts';
import { requestPurchase } from '#purchase/request.ts';
import { settlePurchases } from '#purchase/settle.ts';
import { allocateBatch } from '#reservation/allocate.ts';
import { cancelReservation } from '#reservation/cancel.ts';
import { getDecidedReservation, getReservation, listReservations, sureView } from '#reservation/read.ts';
import { requestReservation } from '#reservation/request.ts';
import { readReservations } from '#reservation/reservation.store.ts';
import { readStock } from '#sale/sale.store.ts';
import { saleTag } from '#sale/sale-id.ts';
import { newId } from '#test/support/ids.ts';
import { withDeps } from '../support/deps.ts';
import { reconcile } from '../support/reconcile.ts';
import { delivered, givenSale, openBed, type SaleTerms, soon } from '../support/sales.ts';
import { type TestBed, testBed, testStack } from '../support/stack.ts';

const hourMs = 3_600_000;

let folder: string;
let supervisor: Supervisor;
let bed: TestBed;
let deps: Deps;
/** A client of a Redis that is unavailable. */
let nowhere: RedisClient;

beforeAll(async () => {
  folder = mkdtempSync(join(testStack().dir, 'status-'));
  supervisor = new Supervisor(folder, () => undefined);
  bed = await testBed({ registry: { 'redis/main': await startOwnRedis(supervisor) } });
  nowhere = openRedis('redis://127.0.0.1:1');
}, 60_000);

beforeEach(async () => {
  deps = await openBed(bed);
});

afterEach(() => deps?.close());

afterAll(async () => {
  nowhere?.disconnect();
  await bed?.close();
  await supervisor?.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface One {
  readonly reservationId: ReservationId;
  readonly customerId: CustomerId;
}

/** Asks for units and has it decided. */
async function decided(saleId: SaleId, quantity = 1): Promise<One> {
  const customerId = newId() as CustomerId;
  const answer = await requestReservation(deps, { customerId }, saleId, 'key', { quantity, fill: 'all' });
  if ('refused' in answer) throw new Error(answer.detail);
  const { ticket } = answer;
  if (ticket === null) throw new Error('accepted without the gate');
  await allocateBatch(deps, [delivered(saleId, { customerId, ticket, quantity })], soon());
  return { reservationId: answer.reservationId, customerId };
}

async function decidedAll(saleId: SaleId, count: number): Promise<One[]> {
  const all: One[] = [];
  for (let n = 0; n < count; n++) all.push(await decided(saleId));
  return all;
}

/** A sale whose purchase window opens in an hour. */
const givenEarlySale = (terms: Partial<SaleTerms> = {}) =>
  givenSale(deps, {
    reserveOpensAtMs: Date.now() - hourMs,
    reserveClosesAtMs: Date.now() + hourMs / 2,
    purchaseOpensAtMs: Date.now() + hourMs,
    purchaseClosesAtMs: Date.now() + 2 * hourMs,
    ...terms,
  });

/** The same environment without MySQL. */
function withoutMysql(environment: Deps): Deps {
  return withDeps(environment, { db: { ...environment.db, rows: () => Promise.reject(new Error('MySQL was asked')) } });
}

const status = (environment: Deps, { customerId, reservationId }: One) =>
  getReservation(environment, customerId, reservationId);
const inMysql = ({ customerId, reservationId }: One) => getDecidedReservation(deps, customerId, reservationId);

test('every state that the mirror is sure of is shown without MySQL, exactly as MySQL shows it', async () => {
  const saleId = await givenEarlySale({ allotment: 3, waitlistSize: 12, payWithinMs: 600_000 });
  const all = await decidedAll(saleId, 15);
  // Some of the line leave it, one who holds units does, and who is first in line follows.
  for (const place of [1, 6, 9]) {
    await cancelReservation(deps, all[place]?.customerId as CustomerId, all[place]?.reservationId as ReservationId);
  }
  const late = delivered(saleId);
  await allocateBatch(deps, [delivered(saleId), delivered(saleId), delivered(saleId)], soon());
  await allocateBatch(deps, [late], soon());
  const states = new Set<string>();
  for (const one of [...all, late.message]) {
    const right = await inMysql(one);
    if ('refused' in right) throw new Error(right.detail);
    states.add(right.state);
    const mirrored = await readMirroredStatus(deps, one.reservationId, one.customerId);
    const view = mirrored && sureView(one.reservationId, mirrored, Date.now(), false);
    // Whoever did not pass the gate has no place that the mirror knows, so the line is not known either.
    if (right.state === 'waitlisted') continue;
    expect(view).toEqual(right);
    expect(await status(withoutMysql(deps), one)).toEqual(right);
  }
  expect([...states].sort()).toEqual(['allocated', 'cancelled', 'rejected', 'waitlisted']);
});

test('beyond a rate nothing is told, whoever else asks in the same round trip', async () => {
  const saleId = await givenEarlySale({ allotment: 3 });
  const [one, other] = (await decidedAll(saleId, 2)) as [One, One];
  const passageOf = (who: string) => ({
    buckets: [{ what: 'status', who, rate: { burst: 2, perMinute: 1 } }],
    refuse: async (empty: readonly Empty[]) =>
      refuse('too_many_requests', `Wait for ${empty[0]?.what}.`, { retryAfterSeconds: empty[0]?.retryAfterSeconds }),
  });
  const ask = ({ customerId, reservationId }: One, who: string) =>
    getReservation(withoutMysql(deps), customerId, reservationId, '', passageOf(who));
  const [quick, calm] = [newId(), newId()];
  const answers = await Promise.all([
    ...[ask(one, quick), ask(one, quick), ask(one, quick), ask(other, calm), ask(one, quick)],
    ...[status(withoutMysql(deps), other), ask(other, calm), ask(other, calm)],
  ]);
  const told = answers.map((answer) => ('refused' in answer ? answer.refused : answer.reservationId));
  const no = 'too_many_requests';
  const [a, b] = [one.reservationId, other.reservationId];
  expect(told).toEqual([a, a, no, b, no, b, b, no]);
  expect(answers[2]).toMatchObject({ detail: 'Wait for status.', facts: { retryAfterSeconds: expect.any(Number) } });
});

test('a place in line is counted in Redis, as MySQL counts it, whoever leaves', async () => {
  const saleId = await givenEarlySale({ allotment: 1, waitlistSize: 40 });
  const [, ...line] = await decidedAll(saleId, 31);
  const left = new Set<One>();
  for (const place of [0, 7, 8, 15, 29, 16, 22]) {
    const one = line[place] as One;
    await cancelReservation(deps, one.customerId, one.reservationId);
    left.add(one);
    for (const waiting of line.filter((other) => !left.has(other))) {
      expect(await status(withoutMysql(deps), waiting)).toEqual(await inMysql(waiting));
    }
  }
  const last = (await inMysql(line[28] as One)) as { position: number };
  expect(last.position).toBe(23);
  // A list has the same places, and counts nobody in MySQL either.
  const asked: string[] = [];
  const rows: Deps['db']['rows'] = (sql, values) => {
    asked.push(sql);
    return deps.db.rows(sql, values);
  };
  const listing = withDeps(deps, { db: { ...deps.db, rows } });
  for (const waiting of line.filter((other) => !left.has(other))) {
    const list = await listReservations(listing, waiting.customerId, { limit: 20 });
    expect(list).toMatchObject({ items: [await inMysql(waiting)] });
  }
  expect(asked.length).toBeGreaterThan(0);
  expect(asked.filter((sql) => sql.includes('COUNT(*)'))).toEqual([]);
});

test('a place in line is read from MySQL if Redis does not have everybody who waits', async () => {
  const saleId = await givenEarlySale({ allotment: 1, waitlistSize: 10 });
  const [, first, second] = (await decidedAll(saleId, 3)) as [One, One, One];
  await deps.redis.setbit(keys.line(saleTag(saleId)), 2, 0);
  await expect(status(withoutMysql(deps), second)).rejects.toThrow('MySQL was asked');
  expect(await status(deps, second)).toMatchObject({ state: 'waitlisted', position: 2 });
  expect(await status(deps, first)).toMatchObject({ state: 'waitlisted', position: 1 });
  expect(await listReservations(deps, second.customerId, { limit: 20 })).toMatchObject({ items: [{ position: 2 }] });
});

test('in a pause, a deadline is shown from the mirror as from MySQL, as if the sale were resumed now', async () => {
  const saleId = await givenEarlySale({ payWithinMs: 600_000 });
  const one = await decided(saleId);
  const before = (await inMysql(one)) as { deadline: string };
  await pauseSale(deps, saleId);
  const nowMs = Date.now() + 60_000;
  const later = withDeps(deps, { clock: () => nowMs });
  const shown = await status(withoutMysql(later), one);
  expect(shown).toEqual(await getDecidedReservation(later, one.customerId, one.reservationId));
  expect(Date.parse((shown as { deadline: string }).deadline)).toBeGreaterThan(Date.parse(before.deadline) + 50_000);
});

/** A purchase of this reservation, asked for under a key; it is not paid. */
async function bought(environment: Deps, one: One, units?: number, key = 'key'): Promise<string> {
  const item = { reservationId: one.reservationId, rest: 'keep' as const, ...(units === undefined ? {} : { units }) };
  const answer = await requestPurchase(environment, one.customerId, key, { items: [item], paymentToken: 'tok_ok' });
  if ('refused' in answer) throw new Error(answer.detail);
  return answer.purchaseId;
}

describe('in an open window', () => {
  const givenOpenSale = (terms: Partial<SaleTerms> = {}) =>
    givenEarlySale({ purchaseOpensAtMs: Date.now() - 1_000, ...terms });
  const alone = (one: One) => status(withoutMysql(deps), one);

  test('an allocation is shown without MySQL, until a purchase pays for it', async () => {
    const [one, other] = (await decidedAll(await givenOpenSale(), 2)) as [One, One];
    expect(await alone(one)).toMatchObject({ state: 'allocated', purchaseId: null });
    const purchaseId = await bought(deps, one);
    await expect(alone(one)).rejects.toThrow('MySQL was asked');
    expect(await status(deps, one)).toMatchObject({ state: 'allocated', purchaseId });
    expect(await alone(other)).toEqual(await inMysql(other));
  });

  test('what was written about it earlier does not show it again', async () => {
    const one = await decided(await givenOpenSale());
    const [row] = [...(await readReservations(deps.db, [one.reservationId])).values()];
    if (!row) throw new Error('no row');
    await bought(deps, one);
    const stock = await readStock(deps.db, [row.saleId]);
    await writeMirror(deps, [...stock.values()], [row]);
    await expect(alone(one)).rejects.toThrow('MySQL was asked');
  });

  test('of one that is bought in part, neither what is paid for nor the rest is shown as it was', async () => {
    const saleId = await givenOpenSale({ capPerCustomer: 5 });
    const one = await decided(saleId, 3);
    const purchaseId = await bought(deps, one, 2);
    await expect(alone(one)).rejects.toThrow('MySQL was asked');
    expect(await status(deps, one)).toMatchObject({ state: 'allocated', units: 2, version: 2, purchaseId });
    const list = await listReservations(deps, one.customerId, { limit: 20 });
    if ('refused' in list) throw new Error(list.detail);
    expect(list.items.map(({ units, purchaseId: payer }) => [units, payer]).sort()).toEqual([
      [1, null],
      [2, purchaseId],
    ]);
  });

  test('when the payment is declined, it is shown as free again, from MySQL', async () => {
    const one = await decided(await givenOpenSale());
    const purchaseId = (await bought(deps, one)) as PurchaseId;
    await settlePurchases(deps, [{ purchaseId, answer: { outcome: 'declined', reason: 'card_declined' } }]);
    expect(await status(deps, one)).toMatchObject({ state: 'allocated', purchaseId: null, version: 1 });
    expect(await bought(deps, one, undefined, 'again')).not.toBe(purchaseId);
  });

  describe('if the request died between its commit and the mirror', () => {
    /** Bound in MySQL, and free in the mirror. */
    async function missed(): Promise<{ one: One; purchaseId: string; saleId: SaleId }> {
      const saleId = await givenOpenSale();
      const one = await decided(saleId);
      const purchaseId = await bought(withDeps(deps, { redis: nowhere }), one);
      expect(await alone(one)).toMatchObject({ state: 'allocated', purchaseId: null });
      return { one, purchaseId, saleId };
    }

    test('its repetition brings the mirror up to date before it answers', async () => {
      const { one, purchaseId } = await missed();
      expect(await bought(deps, one)).toBe(purchaseId);
      await expect(alone(one)).rejects.toThrow('MySQL was asked');
    });

    test('so does one while the claim of the first is still there', async () => {
      const { one, purchaseId } = await missed();
      await deps.redis.set(keys.running('purchase', purchaseId), '1');
      expect(await bought(deps, one)).toBe(purchaseId);
      await expect(alone(one)).rejects.toThrow('MySQL was asked');
    });

    test('so does a list', async () => {
      const { one, purchaseId } = await missed();
      expect(await listReservations(deps, one.customerId, { limit: 20 })).toMatchObject({ items: [{ purchaseId }] });
      await expect(alone(one)).rejects.toThrow('MySQL was asked');
    });

    test('so does reconcile, which reports it', async () => {
      const { one, saleId } = await missed();
      // Of a sale that a test has made, the ledger does not know the allotment.
      const found = async () => (await reconcile(deps, saleId)).drifts.filter(({ kind }) => kind === 'reservation');
      expect(await found()).toMatchObject([
        {
          what: one.reservationId,
          expected: 'allocated, version 1, of a purchase',
          found: 'allocated, version 1',
          repaired: true,
        },
      ]);
      await expect(alone(one)).rejects.toThrow('MySQL was asked');
      expect(await found()).toEqual([]);
    });
  });

  test('before a window opens again, what a purchase has paid for since is not shown as free', async () => {
    const saleId = await givenOpenSale();
    const [one, other] = (await decidedAll(saleId, 2)) as [One, One];
    const purchaseId = await bought(deps, one);
    const purchaseOpensAt = toIso(Math.ceil(Date.now() / 1_000) * 1_000 + 600_000);
    expect(await rescheduleSale(deps, saleId, { purchaseOpensAt, dryRun: false })).toMatchObject({
      sale: { purchaseOpensAt },
    });
    await expect(alone(one)).rejects.toThrow('MySQL was asked');
    expect(await status(deps, one)).toMatchObject({ state: 'allocated', purchaseId });
    expect(await alone(other)).toEqual(await inMysql(other));
  });
});

describe('never older than what was shown', () => {
  /** Cancelled in MySQL, and allocated in the mirror. */
  async function missed(): Promise<One & { saleId: SaleId }> {
    const saleId = await givenEarlySale();
    const one = await decided(saleId);
    const blind = withDeps(deps, { redis: nowhere });
    await cancelReservation(blind, one.customerId, one.reservationId);
    const mirrored = await readMirroredStatus(deps, one.reservationId, one.customerId);
    // What a reader that only believed the mirror would say.
    expect(mirrored && sureView(one.reservationId, mirrored, Date.now(), false)).toMatchObject({ state: 'allocated' });
    return { ...one, saleId };
  }

  test('a list brings the mirror up to date before it is shown, in whatever state that was', async () => {
    const one = await missed();
    expect(await listReservations(deps, one.customerId, { limit: 20 })).toMatchObject({
      items: [{ state: 'cancelled', version: 2 }],
    });
    const other = await openBed(bed);
    try {
      expect(await status(withoutMysql(other), one)).toEqual(await inMysql(one));
    } finally {
      await other.close();
    }
  });

  test('the answer to DELETE does so too', async () => {
    const one = await missed();
    expect(await cancelReservation(deps, one.customerId, one.reservationId)).toMatchObject({ state: 'cancelled' });
    expect(await status(withoutMysql(deps), one)).toMatchObject({ state: 'cancelled', version: 2 });
  });

  test('after a failure of Redis what may change is read from MySQL, and what is final is not', async () => {
    const one = await missed();
    const saleId = await givenEarlySale({ allotment: 1 });
    await decided(saleId);
    const customerId = newId() as CustomerId;
    const refused = delivered(saleId, { customerId });
    await allocateBatch(deps, [refused], soon());
    const other = await openBed(bed);
    try {
      await deps.redis.client('KILL', 'ID', await other.redis.client('ID'));
      await new Promise((resolve) => other.redis.once('ready', resolve));
      expect(await status(withoutMysql(other), refused.message)).toMatchObject({
        state: 'rejected',
        reason: 'sold_out',
      });
      expect(await status(other, one)).toMatchObject({ state: 'cancelled', version: 2 });
      // That read has repaired the mirror.
      expect(await status(withoutMysql(other), one)).toMatchObject({ state: 'cancelled', version: 2 });
    } finally {
      await other.close();
    }
  });

  test('when Redis has lost its memory, MySQL is asked until the mirror is back', async () => {
    const saleId = await givenEarlySale({ allotment: 1, waitlistSize: 5 });
    const [holder, ...line] = (await decidedAll(saleId, 4)) as [One, ...One[]];
    const before = await Promise.all([holder, ...line].map(inMysql));
    await deps.redis.flushdb();
    for (const [index, one] of [holder, ...line].entries()) {
      await expect(status(withoutMysql(deps), one)).rejects.toThrow('MySQL was asked');
      expect(await status(deps, one)).toEqual(before[index]);
    }
    await reconcile(deps, saleId);
    expect(await status(withoutMysql(deps), holder)).toEqual(before[0]);
    // Places among all requests are lost with Redis: MySQL counts the line from now on, also beside newcomers.
    const newcomer = await decided(saleId);
    for (const [index, one] of line.entries()) expect(await status(deps, one)).toEqual(before[index + 1]);
    expect(await status(deps, newcomer)).toMatchObject({ state: 'waitlisted', position: 4 });
  });

  test('who asks again after a loss keeps the place in line that the ticket gives', async () => {
    const saleId = await givenEarlySale({ allotment: 1, waitlistSize: 5 });
    const [holder, first, second] = (await decidedAll(saleId, 3)) as [One, One, One];
    await deps.redis.flushdb();
    // The second comes first now, and each is delivered once more.
    for (const one of [holder, second, first]) {
      await requestReservation(deps, { customerId: one.customerId }, saleId, 'key', { quantity: 1, fill: 'all' });
    }
    await reconcile(deps, saleId);
    expect(await status(deps, first)).toMatchObject({ state: 'waitlisted', position: 1 });
    expect(await status(deps, second)).toMatchObject({ state: 'waitlisted', position: 2 });
  });

  test('a Redis that was demoted is not believed, although it goes on answering reads', async () => {
    const one = await missed();
    const admin = new Redis(bed.registry['redis/main'] ?? '');
    await admin.replicaof('127.0.0.1', 1);
    const other = await openBed(bed);
    try {
      expect(await other.redis.hget(keys.sale(saleTag(one.saleId)), 'status')).toBe('active');
      expect(await status(other, one)).toMatchObject({ state: 'cancelled', version: 2 });
      await sleep(10);
      expect(await status(other, one)).toMatchObject({ state: 'cancelled', version: 2 });
    } finally {
      await admin.replicaof('NO', 'ONE');
      admin.disconnect();
      await other.close();
    }
  });

  test('it is believed again after a while', async () => {
    const saleId = await givenEarlySale();
    const one = await decided(saleId);
    let aheadMs = 0;
    const other = await openBed(bed, { clock: () => Date.now() + aheadMs });
    try {
      await deps.redis.client('KILL', 'ID', await other.redis.client('ID'));
      await new Promise((resolve) => other.redis.once('ready', resolve));
      await expect(status(withoutMysql(other), one)).rejects.toThrow('MySQL was asked');
      aheadMs = distrustForMs;
      expect(await status(withoutMysql(other), one)).toMatchObject({ state: 'allocated' });
    } finally {
      await other.close();
    }
  });
});
