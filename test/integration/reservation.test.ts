/** From a click to a committed decision, on real MySQL, Redis and SQS: accept, allocate, mirror, cancel, expire, offer. */

import { ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import { adjustStock } from '#launch/adjust-stock.ts';
import { pauseSale } from '#launch/change-sale.ts';
import { claimsKey } from '#mirror/claims.ts';
import { readMirroredStatus } from '#mirror/mirror.ts';
import { distrustForMs } from '#mirror/mirror-trust.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import { type CustomerId, type ReservationId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { openRedis, type RedisClient } from '#platform/redis/redis.ts';
import { openSaleLock } from '#platform/redis/sale-lock.ts';
import { allocateBatch } from '#reservation/allocate.ts';
import { cancelReservation } from '#reservation/cancel.ts';
import { expireSale } from '#reservation/expire.ts';
import { getReservation, listReservations } from '#reservation/read.ts';
import { requestReservation } from '#reservation/request.ts';
import { recordMovements } from '#sale/ledger.store.ts';
import { saleTag } from '#sale/sale-id.ts';
import { newId } from '#test/support/ids.ts';
import { noLock } from '#test/support/no-lock.ts';
import { openApi } from '../support/api.ts';
import { failingAt, withDeps, withoutQueue } from '../support/deps.ts';
import { delivered, givenSale, openBed, soon } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let deps: Deps;
/** A client of a Redis that is unavailable. */
let nowhere: RedisClient;

beforeAll(async () => {
  bed = await testBed();
  deps = await openBed(bed);
  nowhere = openRedis('redis://127.0.0.1:1');
});

afterAll(async () => {
  nowhere?.disconnect();
  await deps.close();
  await bed.close();
});

const ask = (saleId: SaleId, customerId: CustomerId, key = 'key', quantity = 1) =>
  requestReservation(deps, { customerId }, saleId, key, { quantity, fill: 'all' });

const allocate = (batch: ReturnType<typeof delivered>[], environment = deps) =>
  allocateBatch(environment, batch, soon());

/** The database, with a look at each statement of a transaction before it is made. */
const watching = (look: (sql: string, values?: unknown[]) => unknown): Deps['db'] => ({
  ...deps.db,
  transaction: (work) =>
    deps.db.transaction((tx) =>
      work({
        ...tx,
        rows: async <Row>(sql: string, values?: unknown[]) => {
          await look(sql, values);
          return tx.rows<Row>(sql, values);
        },
        change: async (sql, values) => {
          await look(sql, values);
          return tx.change(sql, values);
        },
      }),
    ),
});

async function stockOf(saleId: SaleId) {
  const [row] = await deps.db.rows<Record<string, number>>(
    'SELECT allotment, available, allocated, sold, waitlisted, version FROM sales WHERE id = ?',
    [toBytes(saleId)],
  );
  return row;
}

/** Two customers whose claims in this sale lie together. */
function twoOfOneBucket(saleId: SaleId): [CustomerId, CustomerId] {
  const first = newId();
  for (;;) {
    const second = newId();
    if (claimsKey(saleTag(saleId), first) === claimsKey(saleTag(saleId), second)) return [first, second];
  }
}

async function statesOf(saleId: SaleId) {
  const rows = await deps.db.rows<{ state: string; units: number; version: number }>(
    'SELECT state, units, version FROM reservations WHERE sale_id = ? ORDER BY ticket',
    [toBytes(saleId)],
  );
  return rows.map(({ state, units, version }) => `${state} ${units} v${version}`);
}

async function mirrorOf(saleId: SaleId) {
  const fields = ['allotment', 'available', 'allocated', 'sold', 'waitlisted', 'version'];
  const values = await deps.redis.hmget(keys.sale(saleTag(saleId)), ...fields);
  return Object.fromEntries(fields.map((field, index) => [field, Number(values[index])]));
}

/** Everything that is in the queue `reservations` now. */
async function queued() {
  const bodies: { reservationId: ReservationId; saleId: SaleId }[] = [];
  for (;;) {
    const { Messages } = await deps.sqs.send(
      new ReceiveMessageCommand({ QueueUrl: deps.queue('reservations').url, MaxNumberOfMessages: 10 }),
    );
    if (!Messages?.length) return bodies;
    bodies.push(...Messages.map((message) => JSON.parse(message.Body ?? '{}')));
  }
}

describe('accept', () => {
  test('I2: an accepted request is in the queue, with its place in line', async () => {
    const saleId = await givenSale(deps);
    const accepted = await ask(saleId, newId());
    expect(accepted).toMatchObject({ state: 'requested', position: 1 });
    expect(await queued()).toContainEqual(expect.objectContaining({ saleId, quantity: 1, atLeast: 1 }));
  });

  test('I3: the same key gets the same answer, another body is refused, another customer is another reservation', async () => {
    const saleId = await givenSale(deps);
    const customerId = newId();
    const first = await ask(saleId, customerId, 'k', 2);
    expect(await ask(saleId, customerId, 'k', 2)).toEqual(first);
    expect(await ask(saleId, customerId, 'k', 3)).toMatchObject({ refused: 'idempotency_key_reused' });
    expect(await ask(saleId, newId(), 'k', 2)).toMatchObject({ position: 2 });
  });

  test('I10: a pending reservation is 404 for another customer, even in the same sale and bucket', async () => {
    const saleId = await givenSale(deps);
    const [owner, other] = twoOfOneBucket(saleId);
    const accepted = await ask(saleId, owner);
    await ask(saleId, other);
    const { reservationId } = accepted as { reservationId: ReservationId };
    expect(await getReservation(deps, owner, reservationId)).toMatchObject({ reservationId, state: 'requested' });
    expect(await getReservation(deps, other, reservationId)).toMatchObject({ refused: 'not_found' });
    expect(await readMirroredStatus(deps, reservationId, other)).toBeUndefined();
  });

  test('the same key gets the same ticket, also with a partial fill (atLeast)', async () => {
    const saleId = await givenSale(deps);
    const partly = { quantity: 3, fill: { atLeast: 2 } };
    const customerId = newId();
    const again = () => requestReservation(deps, { customerId }, saleId, 'k', partly);
    expect(await again()).toEqual(await again());
  });

  test('I4: over the cap is refused at once, also across parallel requests', async () => {
    const saleId = await givenSale(deps, { capPerCustomer: 5 });
    const customerId = newId();
    const answers = await Promise.all([1, 2, 3, 4].map((n) => ask(saleId, customerId, `k${n}`, 2)));
    expect(answers.filter((answer) => 'refused' in answer && answer.refused === 'over_cap')).toHaveLength(2);
  });

  test.each([
    ['before the period', { reserveOpensAtMs: Date.now() + 50_000 }, 'sale_not_open'],
    ['after the period', { reserveClosesAtMs: Date.now() - 1_000 }, 'sale_closed'],
    [
      'within a period that outlasts the purchase window (S11)',
      { purchaseOpensAtMs: Date.now() - 2_000, purchaseClosesAtMs: Date.now() - 1_000 },
      'sale_closed',
    ],
  ])('I8: a request %s is refused and claims nothing', async (_, terms, code) => {
    const now = Date.now();
    const saleId = await givenSale(deps, {
      purchaseOpensAtMs: now + 60_000,
      purchaseClosesAtMs: now + 90_000,
      reserveClosesAtMs: now + 60_000,
      ...terms,
    });
    expect(await ask(saleId, newId())).toMatchObject({ refused: code });
    expect(await deps.redis.hget(keys.sale(saleTag(saleId)), 'line')).toBeNull();
  });

  test('sold out with a full waitlist is refused without touching the queue', async () => {
    const saleId = await givenSale(deps, { allotment: 1, waitlistSize: 1 });
    await ask(saleId, newId());
    await ask(saleId, newId());
    await queued();
    expect(await ask(saleId, newId())).toMatchObject({ refused: 'sold_out' });
    expect(await queued()).toEqual([]);
  });

  test('a failed send returns the claim', async () => {
    const saleId = await givenSale(deps, { capPerCustomer: 1 });
    const customerId = newId();
    const unlucky = withDeps(deps, { queue: withoutQueue(deps, 'reservations', 'no queue') });
    const asked = requestReservation(unlucky, { customerId }, saleId, 'k', { quantity: 1, fill: 'all' });
    await expect(asked).rejects.toThrow('no queue');
    expect(await ask(saleId, customerId, 'other')).toMatchObject({ state: 'requested' });
  });

  test('without the gate a request is still accepted, and judged by the worker', async () => {
    const saleId = await givenSale(deps);
    const gateless = withDeps(deps, { redis: nowhere });
    const accepted = await requestReservation(gateless, { customerId: newId() }, saleId, 'k', {
      quantity: 1,
      fill: 'all',
    });
    expect(accepted).toMatchObject({ state: 'requested', ticket: null, position: null });
    const [queuedOne] = (await queued()).filter((body) => body.saleId === saleId);
    expect(queuedOne).toMatchObject({ saleId, quantity: 1 });
    expect(queuedOne).not.toHaveProperty('ticket');
  });

  test('an unknown sale is not found', async () => {
    expect(await ask(newId(), newId())).toMatchObject({ refused: 'not_found' });
  });
});

describe.each([
  ['with the lock', {}],
  ['without the lock', { lock: noLock }],
])('allocate %s', (_, lock) => {
  /** The environment that most of these tests are about, and others beside it. */
  let own: Deps;
  const another = (overrides: Partial<Deps> = {}) => withDeps(deps, { ...lock, ...overrides });

  beforeAll(() => {
    own = another();
  });

  test('I1: a batch over several sales is decided at once, and stock adds up', async () => {
    const [a, b] = [await givenSale(deps, { allotment: 3 }), await givenSale(deps, { allotment: 2, waitlistSize: 1 })];
    const batch = [1, 2, 3, 4].flatMap((ticket) => [
      delivered(a, { ticket: Date.now() * 1000 + ticket }),
      delivered(b, { ticket: Date.now() * 1000 + ticket }),
    ]);
    expect([...(await allocate(batch, own))]).toEqual([]);
    expect(await stockOf(a)).toMatchObject({ available: 0, allocated: 3, waitlisted: 0 });
    expect(await stockOf(b)).toMatchObject({ available: 0, allocated: 2, waitlisted: 1 });
    expect(await mirrorOf(a)).toEqual(await stockOf(a));
    expect(await mirrorOf(b)).toEqual(await stockOf(b));
  });

  test('I3: a message delivered twice, in one batch or in two, changes nothing the second time', async () => {
    const saleId = await givenSale(deps);
    const message = delivered(saleId, { quantity: 2 });
    await allocate([message, { ...message, messageId: newId() }], own);
    const after = await stockOf(saleId);
    await allocate([message], own);
    expect(await stockOf(saleId)).toEqual(after);
    expect(after).toMatchObject({ allocated: 2 });
  });

  describe('I11: a repeat that did not pass the gate, decided before the message that did,', () => {
    /** A request whose message is stuck, and its repeat a second later, asking for as much unless said otherwise. */
    async function stuckAndRepeated(quantity = 1) {
      const saleId = await givenSale(deps, { allotment: 2, waitlistSize: 10 });
      const customerId = newId();
      const stuck = await ask(saleId, customerId);
      if (isRefusal(stuck) || stuck.ticket === null) throw new Error('the gate gave no ticket');
      const { ticket, reservationId } = stuck;
      const repeat = delivered(saleId, { customerId, quantity, atLeast: quantity, ticket: undefined });
      const later = { ...repeat, sentAtMs: Date.now() + 1_000 };
      const ticketOf = async () => {
        const sql = 'SELECT ticket FROM reservations WHERE id = ?';
        return (await deps.db.rows<{ ticket: number }>(sql, [toBytes(reservationId)]))[0]?.ticket;
      };
      return { later, ticket, ticketOf };
    }

    test('stands at the ticket of the gate', async () => {
      const { later, ticket, ticketOf } = await stuckAndRepeated();
      await allocate([later], own);
      expect(await ticketOf()).toBe(ticket);
    });

    test('stands at its own time if Redis does not answer', async () => {
      const { later, ticketOf } = await stuckAndRepeated();
      await allocate([later], another({ redis: nowhere }));
      expect(await ticketOf()).toBe(later.sentAtMs * 1_000);
    });

    test('stands at its own time if it asks for something else', async () => {
      const { later, ticketOf } = await stuckAndRepeated(2);
      await allocate([later], own);
      expect(await ticketOf()).toBe(later.sentAtMs * 1_000);
    });
  });

  test('I3: a message delivered to two batches at once is decided by one and acknowledged by both', async () => {
    const saleId = await givenSale(deps);
    const message = delivered(saleId, { quantity: 2 });
    const repeated = { ...message, messageId: newId() };
    const batches = [
      [delivered(saleId), message],
      [repeated, delivered(saleId)],
    ];
    const repeats = await Promise.all(batches.map((batch) => allocate(batch, own)));
    expect(repeats.map((ids) => [...ids])).toEqual([[], []]);
    expect(await stockOf(saleId)).toMatchObject({ allocated: 4 });
    expect(await mirrorOf(saleId)).toEqual(await stockOf(saleId));
  });

  test('I3: a request decided by another environment hits the primary key and is looked up', async () => {
    const saleId = await givenSale(deps);
    const message = delivered(saleId, { quantity: 2 });
    await allocate([message], own);
    await allocate([message, delivered(saleId)], another());
    expect(await stockOf(saleId)).toMatchObject({ allocated: 3 });
    expect(await mirrorOf(saleId)).toEqual(await stockOf(saleId));
  });

  test('I3: a repeat whose first delivery is being decided elsewhere waits for it, and its batch is decided once', async () => {
    const saleId = await givenSale(deps);
    const message = delivered(saleId, { quantity: 2 });
    const repeat = { ...message, messageId: newId(), deliveries: 2 };
    const { promise: waits, resolve: nowWaits } = Promise.withResolvers<void>();
    const inserted: number[] = [];
    const second = another({
      db: watching((sql) => {
        if (/INTO reservations/.test(sql)) inserted.push(sql.split('),(').length);
        if (/FROM reservations .*FOR UPDATE/s.test(sql)) nowWaits();
      }),
    });
    let repeats: ReturnType<typeof allocate> | undefined;
    const first = another({
      db: watching(async (sql) => {
        if (!/STRAIGHT_JOIN sales/.test(sql)) return;
        repeats = allocate([repeat, delivered(saleId)], second);
        await waits;
      }),
    });
    expect([...(await allocate([message], first))]).toEqual([]);
    expect([...((await repeats) ?? ['was not delivered'])]).toEqual([]);
    expect(inserted).toEqual([1]);
    expect(await stockOf(saleId)).toMatchObject({ allocated: 3 });
    expect(await mirrorOf(saleId)).toEqual(await stockOf(saleId));
  });

  test('I6: a duplicate refreshes a mirror that the first delivery never reached', async () => {
    const saleId = await givenSale(deps);
    const message = delivered(saleId);
    await allocate([message], another({ redis: nowhere }));
    const { reservationId, customerId } = message.message;
    expect(await readMirroredStatus(deps, reservationId, customerId)).toBeUndefined();
    await allocate([message], own);
    expect(await readMirroredStatus(deps, reservationId, customerId)).toMatchObject({
      state: 'allocated',
      units: 1,
    });
    expect(await mirrorOf(saleId)).toEqual(await stockOf(saleId));
  });

  test('I4: parallel batches of one customer stay within the cap', async () => {
    const saleId = await givenSale(deps, { capPerCustomer: 5 });
    const customerId = newId();
    const batches = Array.from({ length: 8 }, (_, n) => [delivered(saleId, { customerId, key: `k${n}`, quantity: 2 })]);
    await Promise.all(batches.map((batch) => allocate(batch, own)));
    expect(await stockOf(saleId)).toMatchObject({ allocated: 4 });
  });

  test('I4: a customer whom another worker rejects while a batch holds the sale is looked up again', async () => {
    const saleId = await givenSale(deps, { allotment: 1, capPerCustomer: 1 });
    const customerId = newId();
    let isHeld = false;
    let rejected = 0;
    const holder = another({
      db: watching(async (sql) => {
        if (/FROM sales .*FOR UPDATE/s.test(sql)) isHeld = true;
        if (!isHeld || rejected > 0 || !/INTO reservations/.test(sql)) return;
        rejected++;
        await allocate([delivered(saleId, { customerId, key: 'too many', quantity: 2 })], another());
      }),
    });
    expect([...(await allocate([delivered(saleId, { customerId }), delivered(saleId)], holder))]).toEqual([]);
    expect(rejected).toBe(1);
    expect((await statesOf(saleId)).sort()).toEqual(['allocated 1 v1', 'rejected 0 v1', 'rejected 0 v1']);
    expect(await mirrorOf(saleId)).toEqual(await stockOf(saleId));
  });

  test('the outbox is empty once the bus has taken the events', async () => {
    const saleId = await givenSale(deps);
    await allocate([delivered(saleId)], own);
    expect(await deps.db.rows('SELECT id FROM outbox')).toEqual([]);
  });
});

test('a worker with a stale fencing token is rolled back and decides again from current stock', async () => {
  const saleId = await givenSale(deps, { allotment: 1 });
  await deps.db.change('UPDATE sales SET fence = 9e15 WHERE id = ?', [toBytes(saleId)]);
  const grant = { fencingTokens: new Map([[saleTag(saleId), 1]]), release: async () => undefined };
  const stale = { acquire: async () => grant };
  await allocate([delivered(saleId), delivered(saleId)], withDeps(deps, { lock: stale }));
  expect(await statesOf(saleId)).toEqual(['allocated 1 v1', 'rejected 0 v1']);
});

test('a worker that does not get the lock in time goes on without it; each grant has a higher fencing token', async () => {
  const tag = saleTag(newId());
  const [one, other] = [openSaleLock(deps.redis), openSaleLock(deps.redis)];
  const first = await one.acquire([tag], 0);
  expect(first.fencingTokens.get(tag)).toBeGreaterThan(0);
  expect((await other.acquire([tag], 0)).fencingTokens.size).toBe(0);
  const waiting = other.acquire([tag], 1_000);
  await first.release();
  const second = await waiting;
  expect(second.fencingTokens.get(tag)).toBeGreaterThan(first.fencingTokens.get(tag) ?? 0);
  await second.release();
});

describe('what a worker takes the lock for', () => {
  /** A lock that nobody else holds, which notes how long it was waited for and when it was given back. */
  const notedLock = (events: string[]): Deps['lock'] => ({
    acquire: async (_, waitMs) => {
      events.push(`waits ${waitMs > 0 ? 'for' : 'not for'} the lock`);
      return { fencingTokens: new Map(), release: async () => void events.push('released') };
    },
  });

  test('it does not wait while stock is plentiful, and waits once a sale had to be held', async () => {
    const saleId = await givenSale(deps, { allotment: 1 });
    const events: string[] = [];
    const environment = withDeps(deps, { lock: notedLock(events) });
    const waits = () => events.splice(0).filter((event) => event.includes('waits'));
    await allocate([delivered(saleId)], environment);
    expect(waits()).toEqual(['waits not for the lock']);
    await allocate([delivered(saleId)], environment);
    expect(waits()).toEqual(['waits not for the lock']);
    await allocate([delivered(saleId)], environment);
    expect(waits()).toEqual(['waits for the lock']);
    expect(await statesOf(saleId)).toEqual(['allocated 1 v1', 'rejected 0 v1', 'rejected 0 v1']);
  });

  test('it gives the lock back with the commit, before mirror and bus', async () => {
    const saleId = await givenSale(deps);
    const events: string[] = [];
    const bus: Deps['bus'] = {
      publish: async (published) => {
        events.push('published');
        return published.map(() => true);
      },
    };
    await allocate([delivered(saleId)], withDeps(deps, { lock: notedLock(events), bus }));
    expect(events.slice(0, 3)).toEqual(['waits not for the lock', 'released', 'published']);
  });
});

test('I12: a request is decided again if its sale was paused after its terms had been read', async () => {
  const saleId = await givenSale(deps);
  let inserts = 0;
  const db: Deps['db'] = {
    ...deps.db,
    transaction: (work) =>
      deps.db.transaction((tx) =>
        work({
          ...tx,
          change: async (sql, values) => {
            if (/INTO reservations/.test(sql) && ++inserts === 1) await pauseSale(deps, saleId);
            return tx.change(sql, values);
          },
        }),
      ),
  };
  // A request that passed no gate is refused in a pause, so its decision tells by which terms it was made.
  await allocate([delivered(saleId, { ticket: undefined })], withDeps(deps, { db }));
  expect(inserts).toBe(2);
  expect(await statesOf(saleId)).toEqual(['rejected 0 v1']);
});

test('a failed transaction is rolled back and every message of its batch is redelivered', async () => {
  const saleId = await givenSale(deps);
  const before = await stockOf(saleId);
  const failing = withDeps(deps, { db: failingAt(deps.db, /INTO outbox/, 'the disk is full') });
  await expect(allocate([delivered(saleId)], failing)).rejects.toThrow('the disk is full');
  expect(await stockOf(saleId)).toEqual(before);
  expect(await statesOf(saleId)).toEqual([]);
});

test('a statement that fails says where in the code it was asked for', async () => {
  const saleId = await givenSale(deps);
  const failing = deps.db.transaction((tx) => recordMovements(tx, [movement(saleId), movement(saleId)], Date.now()));
  const error: Error = await failing.then(
    () => new Error('it did not fail'),
    (thrown) => thrown,
  );
  expect(error.message).toContain('Duplicate entry');
  expect(error.stack).toContain('recordMovements');
});

const movement = (saleId: SaleId) => ({ subjectId: saleId, kind: 'ADJUST' as const, saleId, units: 1 });

describe('release', () => {
  test('cancelled units go to the waitlist in ticket order, with a deadline, in one commit', async () => {
    const saleId = await givenSale(deps, { allotment: 2, waitlistSize: 5, offerLifeMs: 30_000 });
    const base = Date.now() * 1000;
    const place = (n: number) => delivered(saleId, { ticket: base + n });
    const [first, second, third, fourth] = [place(0), place(1), place(2), place(3)];
    await allocate([first, second, third, fourth]);
    expect(await statesOf(saleId)).toEqual(['allocated 1 v1', 'allocated 1 v1', 'waitlisted 0 v1', 'waitlisted 0 v1']);
    const { reservationId, customerId } = first.message;
    expect(await cancelReservation(deps, customerId, reservationId)).toMatchObject({
      ...{ reservationId, saleId, state: 'cancelled', version: 2, deadline: null },
    });
    expect(await statesOf(saleId)).toEqual(['cancelled 1 v2', 'allocated 1 v1', 'allocated 1 v2', 'waitlisted 0 v1']);
    expect(await mirrorOf(saleId)).toEqual(await stockOf(saleId));
    const view = await getReservation(deps, third.message.customerId, third.message.reservationId);
    expect(Date.parse(String((view as { deadline: string }).deadline)) - Date.now()).toBeGreaterThan(20_000);
  });

  test('I10: only the owner cancels; cancelling twice is once', async () => {
    const saleId = await givenSale(deps);
    const message = delivered(saleId);
    await allocate([message]);
    const { reservationId, customerId } = message.message;
    expect(await cancelReservation(deps, newId(), reservationId)).toMatchObject({ refused: 'not_found' });
    expect(await stockOf(saleId)).toMatchObject({ available: 99, allocated: 1 });
    const cancelled = await cancelReservation(deps, customerId, reservationId);
    expect(cancelled).toMatchObject({ state: 'cancelled', version: 2 });
    expect(await cancelReservation(deps, customerId, reservationId)).toEqual(cancelled);
    expect(await stockOf(saleId)).toMatchObject({ available: 100, allocated: 0 });
  });

  test('an offer that is not bought goes to the next in line; after the window everything ends', async () => {
    const saleId = await givenSale(deps, { allotment: 1, waitlistSize: 5, offerLifeMs: 1_000 });
    const base = Date.now() * 1000;
    const place = (n: number) => delivered(saleId, { ticket: base + n });
    const [first, second, third] = [place(0), place(1), place(2)];
    await allocate([first, second, third]);
    await cancelReservation(deps, first.message.customerId, first.message.reservationId);
    const at = (offsetMs: number) => withDeps(deps, { clock: () => Date.now() + offsetMs });
    expect(await expireSale(at(0), saleId, Date.now() + 60_000)).toBe(0);
    expect(await expireSale(at(5_000), saleId, Date.now() + 60_000)).toBe(1);
    expect(await statesOf(saleId)).toEqual(['cancelled 1 v2', 'expired 1 v3', 'allocated 1 v2']);
    expect(await expireSale(at(4_000_000), saleId, Date.now() + 5_000_000)).toBe(1);
    expect(await stockOf(saleId)).toMatchObject({ available: 1, allocated: 0, waitlisted: 0 });
    expect(await deps.db.rows('SELECT * FROM waitlist WHERE sale_id = ?', [toBytes(saleId)])).toEqual([]);
  });

  test('added stock is offered, and no more can be taken back than is available', async () => {
    const saleId = await givenSale(deps, { allotment: 1, waitlistSize: 5 });
    await allocate([delivered(saleId), delivered(saleId)]);
    const adjust = (units: number) => adjustStock(deps, saleId, units);
    expect(await adjust(3)).toMatchObject({ saleId, stock: { allotment: 4, available: 2, allocated: 2 } });
    expect(await adjust(-3)).toMatchObject({ refused: 'illegal_state' });
    expect(await adjust(-2)).toMatchObject({ stock: { allotment: 2, available: 0 } });
  });

  test('I3: the ledger holds each movement once, and its sums are the stock', async () => {
    const [row] = await deps.db.rows<{ held: number; stock: number }>(
      `SELECT (SELECT CAST(SUM(CASE kind WHEN 'ALLOCATE' THEN units WHEN 'RELEASE' THEN -units ELSE 0 END) AS SIGNED) FROM ledger) AS held,
              (SELECT CAST(SUM(allocated + sold) AS SIGNED) FROM sales) AS stock`,
    );
    expect(row?.held).toBe(row?.stock);
    expect(row?.held).toBeGreaterThan(0);
  });
});

describe('a request that could not be queued', () => {
  const failing = (offered?: (body: unknown) => void) =>
    withDeps(deps, { queue: withoutQueue(deps, 'reservations', 'no answer', offered) });
  const attempt = (environment: Deps, saleId: SaleId, customerId: CustomerId, quantity = 1) =>
    requestReservation(environment, { customerId }, saleId, 'key', { quantity, fill: 'all' });

  test('claims nothing, and keeps its ticket for a retry of the same request', async () => {
    const saleId = await givenSale(deps, { allotment: 2, capPerCustomer: 2 });
    const [customerId, hasty, other] = [newId(), newId(), newId()];
    await ask(saleId, other);
    const tickets: unknown[] = [];
    const noting = failing((body) => tickets.push((body as { ticket?: number }).ticket));
    for (const one of [customerId, hasty]) await expect(attempt(noting, saleId, one)).rejects.toThrow('no answer');
    expect(tickets).toEqual([expect.any(Number), expect.any(Number)]);
    // No unit is held back for them: another customer gets the last one.
    expect(await ask(saleId, newId(), 'other key')).toMatchObject({ state: 'requested' });
    const refusal = await attempt(deps, saleId, hasty);
    expect(refusal).toMatchObject({ refused: 'sold_out' });
    await adjustStock(deps, saleId, 5);
    const accepted = await attempt(deps, saleId, customerId);
    expect(accepted).toMatchObject({ ticket: tickets[0], position: 2 });
    // Who has been refused meanwhile has been answered: that stays the answer to this key.
    expect(await attempt(deps, saleId, hasty)).toEqual(refusal);
  });

  test('is another request if it asks for something else', async () => {
    const saleId = await givenSale(deps, { capPerCustomer: 5 });
    const customerId = newId();
    await ask(saleId, newId());
    await expect(attempt(failing(), saleId, customerId)).rejects.toThrow('no answer');
    expect(await attempt(deps, saleId, customerId, 2)).toMatchObject({ refused: 'idempotency_key_reused' });
  });
});

describe('read', () => {
  test('a pending request is answered from the mirror, a decided one from MySQL, to its owner only', async () => {
    const saleId = await givenSale(deps);
    const customerId = newId();
    const accepted = (await ask(saleId, customerId)) as { reservationId: ReservationId; ticket: number };
    const { reservationId, ticket } = accepted;
    expect(await getReservation(deps, customerId, reservationId)).toMatchObject({
      state: 'requested',
      saleId,
      position: 1,
    });
    expect(await getReservation(deps, newId(), reservationId)).toMatchObject({ refused: 'not_found' });
    await allocate([delivered(saleId, { customerId, ticket })]);
    expect(await getReservation(deps, customerId, reservationId)).toMatchObject({
      state: 'allocated',
      units: 1,
      version: 1,
    });
  });

  test('lists page through a customer’s own reservations, the latest first', async () => {
    const saleId = await givenSale(deps);
    const customerId = newId();
    const base = Date.now() * 1000;
    await allocate(
      [1, 2, 3].map((n) => delivered(saleId, { customerId, key: `k${n}`, ticket: base + n })).concat(delivered(saleId)),
    );
    const first = await listReservations(deps, customerId, { limit: 2 });
    if ('refused' in first) throw new Error(first.detail);
    expect(first.items.map((item) => item.ticket)).toEqual([base + 3, base + 2]);
    const second = await listReservations(deps, customerId, { limit: 2, cursor: first.nextCursor ?? '' });
    expect(second).toMatchObject({ items: [{ ticket: base + 1 }], nextCursor: null });
  });
});

describe('I6: a mirror that missed a decision', () => {
  /** A decided reservation that the mirror still calls requested, as after a worker that died between commit and mirror. */
  async function missed(
    customerId: CustomerId = newId(),
  ): Promise<{ reservationId: ReservationId; customerId: CustomerId; saleId: SaleId }> {
    const saleId = await givenSale(deps);
    const { reservationId, ticket } = (await ask(saleId, customerId)) as {
      reservationId: ReservationId;
      ticket: number;
    };
    await allocate([delivered(saleId, { customerId, ticket })], withDeps(deps, { redis: nowhere }));
    expect(await readMirroredStatus(deps, reservationId, customerId)).toMatchObject({ state: 'requested' });
    return { reservationId, customerId, saleId };
  }

  /** Another process, which knows nothing of this one. */
  async function elsewhere(work: (other: Deps) => Promise<void>, overrides: Partial<Deps> = {}): Promise<void> {
    const other = await openBed(bed, overrides);
    try {
      await work(other);
    } finally {
      await other.close();
    }
  }

  /** While this runs, Redis answers nothing but errors to so many commands of this client. */
  async function withoutRedis<T>(
    { redis }: Deps,
    work: () => Promise<T>,
    commands = Number.POSITIVE_INFINITY,
  ): Promise<T> {
    let left = commands;
    const { sendCommand } = redis;
    redis.sendCommand = (...args) =>
      left-- > 0 ? Promise.reject(new Error('Command timed out')) : sendCommand.apply(redis, args);
    try {
      return await work();
    } finally {
      Reflect.deleteProperty(redis, 'sendCommand');
    }
  }

  test('is repaired by a list before the list is shown, so that no process answers with an older state', async () => {
    const { reservationId, customerId, saleId } = await missed();
    expect(await listReservations(deps, customerId, { limit: 20 })).toMatchObject({ items: [{ version: 1 }] });
    await elsewhere(async (other) => {
      expect(await getReservation(other, customerId, reservationId)).toMatchObject({ state: 'allocated', version: 1 });
    });
    expect(await mirrorOf(saleId)).toEqual(await stockOf(saleId));
    expect(await deps.redis.hget(keys.sale(saleTag(saleId)), 'pendingUnits')).toBe('0');
  });

  test('is not trusted after a read without it, and repaired by the next', () =>
    elsewhere(async (other) => {
      const { reservationId, customerId } = await missed();
      const read = () => getReservation(other, customerId, reservationId);
      expect(await withoutRedis(other, read)).toMatchObject({ version: 1 });
      expect(await read()).toMatchObject({ version: 1 });
      expect(await getReservation(deps, customerId, reservationId)).toMatchObject({ version: 1 });
    }));

  test('is not trusted by the process that could not write it', () =>
    elsewhere(
      async (other) => {
        const saleId = await givenSale(deps);
        const customerId = newId();
        const { reservationId, ticket } = (await ask(saleId, customerId)) as {
          reservationId: ReservationId;
          ticket: number;
        };
        await withoutRedis(other, () => allocate([delivered(saleId, { customerId, ticket })], other));
        expect(await readMirroredStatus(deps, reservationId, customerId)).toMatchObject({ state: 'requested' });
        expect(await getReservation(other, customerId, reservationId)).toMatchObject({ version: 1 });
      },
      { lock: noLock },
    ));

  test('is not trusted after the connection was lost, even without a read in between', () =>
    elsewhere(async (other) => {
      const { reservationId, customerId } = await missed();
      await deps.redis.client('KILL', 'ID', await other.redis.client('ID'));
      await new Promise((resolve) => other.redis.once('ready', resolve));
      expect(await getReservation(other, customerId, reservationId)).toMatchObject({ version: 1 });
    }));

  test('is checked with MySQL while it is not trusted, and answers alone again afterwards', () => {
    let aheadMs = 0;
    return elsewhere(
      async (other) => {
        const saleId = await givenSale(deps);
        const customerId = newId();
        const { reservationId } = (await ask(saleId, customerId)) as { reservationId: ReservationId };
        const read = () => getReservation(other, customerId, reservationId);
        expect(await withoutRedis(other, read)).toMatchObject({ refused: 'status_unknown' });
        expect(await read()).toMatchObject({ state: 'requested', position: 1 });
        other.db.rows = () => Promise.reject(new Error('MySQL was asked'));
        await expect(read()).rejects.toThrow('MySQL was asked');
        aheadMs = distrustForMs;
        expect(await read()).toMatchObject({ state: 'requested' });
      },
      { clock: () => Date.now() + aheadMs },
    );
  });

  test('neither prevents cancelling nor shows in the answer', async () => {
    const api = openApi();
    try {
      const { customerId, token } = await api.customer();
      const first = await missed(customerId);
      const cancel = (reservationId: ReservationId) => api.call(`DELETE /reservations/${reservationId}`, { token });
      const done = { status: 200, body: { state: 'cancelled', version: 2 } };
      expect(await cancel(first.reservationId)).toMatchObject(done);
      // Redis is unavailable for the first read, which is one command, and for the refresh; then it is back.
      const second = await missed(customerId);
      expect(await withoutRedis(await api.deps(), () => cancel(second.reservationId), 2)).toMatchObject(done);
    } finally {
      await api.close();
    }
  });
});
