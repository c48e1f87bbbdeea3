/** Runs of reconcile: bounded steps over any number of invocations, with the same result however often one of them dies. */

import { handler as reconcileFunction } from '#functions/schedule/reconcile.ts';
import { claimsKey, customerField, ownerBitsOf, pack, reservationField } from '#mirror/claims.ts';
import { partialField } from '#mirror/fields.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { type CustomerId, type ReservationId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import type { Sql } from '#platform/mysql/mysql.ts';
import { keys } from '#platform/redis/keys.ts';
import type { RedisClient } from '#platform/redis/redis.ts';
import { checkLargeBooks } from '#reconcile/check-books.ts';
import { type BooksPlace, defaultSizes, type Sizes } from '#reconcile/progress.ts';
import { idOfTrigger, type ReconcileTrigger, reconcileOnTrigger } from '#reconcile/reconcile.ts';
import { findReconciliation, listRunning, type ReconciliationId } from '#reconcile/reconciliation.store.ts';
import { startReconciliation } from '#reconcile/reconciliation.ts';
import { deriveReservationId } from '#reservation/reservation-id.ts';
import { saleTag } from '#sale/sale-id.ts';
import { newId } from '#test/support/ids.ts';
import { type Api, openApi } from '../support/api.ts';
import { deliver } from '../support/deliver.ts';
import { withDeps } from '../support/deps.ts';
import { reconcile, reconcileTrigger } from '../support/reconcile.ts';
import { givenSale } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;

beforeAll(async () => {
  bed = await testBed();
  api = openApi();
  deps = await api.deps();
});

afterAll(async () => {
  await api?.close();
  await bed?.close();
});

/** Small enough for a handful of rows to take many steps. */
const tiny: Sizes = { rowsPerPage: 3, fieldsPerPage: 4, rowsInOneSum: 4, rowsPerSum: 4, workPerStep: 1, stepMs: 1_500 };

interface Holder {
  readonly reservationId: ReservationId;
  readonly customerId: CustomerId;
}

/** A sale with so many holders of one unit each, in MySQL only: its books are right. Written in bulk. */
async function givenHolders(count: number, allotment = count): Promise<{ saleId: SaleId; holders: Holder[] }> {
  const saleId = await givenSale(deps, { allotment });
  const id = toBytes(saleId);
  const holders = Array.from({ length: count }, () => {
    const customerId: CustomerId = newId();
    return { customerId, reservationId: deriveReservationId(saleId, customerId, 'key') };
  });
  for (let start = 0; start < count; start += 5_000) {
    const part = holders.slice(start, start + 5_000);
    await deps.db.change(
      `INSERT INTO reservations (id, sale_id, customer_id, nth, ticket, quantity, at_least, state, units, version,
         accepted_at_ms, decided_at_ms) VALUES ?`,
      [
        part.map(({ reservationId, customerId }, n) => [
          ...[toBytes(reservationId), id, toBytes(customerId), 0, 1_000_000 + start + n, 1, 1, 'allocated', 1, 1, 1, 1],
        ]),
      ],
    );
    await deps.db.change(`INSERT INTO ledger (subject_id, kind, sale_id, units, at_ms) VALUES ?`, [
      part.map(({ reservationId }) => [toBytes(reservationId), 'ALLOCATE', id, 1, 1]),
    ]);
  }
  await deps.db.change(`INSERT INTO ledger (subject_id, kind, sale_id, units, at_ms) VALUES (?, 'ADJUST', ?, ?, 0)`, [
    Buffer.concat([id.subarray(10), Buffer.alloc(10, 7)]),
    ...[id, allotment],
  ]);
  await deps.db.change(`UPDATE sales SET allocated = ?, available = available - ?, version = 2 WHERE id = ?`, [
    ...[count, count, id],
  ]);
  return { saleId, holders };
}

/** The same, in the mirror too. */
async function givenMirrored(count: number, allotment = count) {
  const given = await givenHolders(count, allotment);
  await reconcile(deps, given.saleId);
  return given;
}

const bucketOf = (saleId: SaleId, { customerId }: Holder) => claimsKey(saleTag(saleId), customerId);
const fieldOf = ({ reservationId, customerId }: Holder) => reservationField(reservationId, customerId);
const claimOf = (saleId: SaleId, holder: Holder) =>
  deps.redis.hget(bucketOf(saleId, holder), customerField(holder.customerId));

async function mirrorIsWhole(saleId: SaleId, holders: readonly Holder[]): Promise<boolean> {
  const found = await Promise.all(
    holders.map((one) => deps.redis.hmget(bucketOf(saleId, one), fieldOf(one), customerField(one.customerId))),
  );
  return found.every(([packed, claim]) => packed?.startsWith('a:1:1:1:') && claim === '1');
}

/** An environment that notes the commands it sends instead of sending them. */
function noting(): { deps: Deps; sent: ReconcileTrigger[] } {
  const sent: ReconcileTrigger[] = [];
  const queue = () => ({
    url: '',
    send: async ({ body }: { body: unknown }) => void sent.push(body as ReconcileTrigger),
    sendAll: async () => undefined,
  });
  return { deps: withDeps(deps, { queue }), sent };
}

/** Makes a run to its end with one step for each invocation. Returns the number of invocations. */
async function oneStepEach(environment: Deps, sent: ReconcileTrigger[], sizes: Sizes): Promise<number> {
  let invocations = 0;
  for (let next = sent.shift(); next; next = sent.shift()) {
    await reconcileOnTrigger(environment, [reconcileTrigger(next)], 0, sizes);
    invocations++;
  }
  return invocations;
}

const runOf = async (id: ReconciliationId) => {
  const run = await findReconciliation(deps.db, id);
  if (!run) throw new Error('there is no such run');
  return run;
};

test('the call answers 202 with the address of its status, and the queue’s message does the work', async () => {
  const { saleId, holders } = await givenHolders(5);
  const token = await api.operator();
  const started = await api.call('POST /ops/reconcile', { token, json: { saleId } });
  expect([started.status, started.headers.location]).toEqual([202, started.body.statusUrl]);
  expect(started.body).toMatchObject({ saleId, state: 'running', driftsFound: 0, at: { part: 'sales' } });

  const status = () => api.call(`GET ${started.body.statusUrl}`, { token });
  const body = JSON.stringify({ reconciliation: { id: started.body.reconciliationId, steps: 0 } });
  expect(await deliver(reconcileFunction, [{ messageId: newId(), body }])).toEqual([]);
  expect((await status()).body).toMatchObject({ state: 'done', at: null, reservations: 5, driftsFound: 12 });
  expect(await mirrorIsWhole(saleId, holders)).toBe(true);

  const { body: list } = await api.call('GET /ops/reconciliations', { token });
  expect(list.items[0]).toMatchObject({ reconciliationId: started.body.reconciliationId, state: 'done' });
});

test('a sale or a run that does not exist is 404, and begins nothing', async () => {
  const token = await api.operator();
  expect((await api.call('POST /ops/reconcile', { token, json: { saleId: newId() } })).status).toBe(404);
  expect((await api.call(`GET /ops/reconciliations/${newId()}`, { token })).status).toBe(404);
  expect(await listRunning(deps.db, 10)).toEqual([]);
});

test('a run goes on over as many invocations as it takes, and each says where it is', async () => {
  const { saleId, holders } = await givenHolders(10);
  const { deps: environment, sent } = noting();
  await reconcileOnTrigger(environment, [reconcileTrigger({ saleId })], 0, tiny);
  const parts = new Set<string>();
  let invocations = 1;
  for (let next = sent.shift(); next; next = sent.shift()) {
    if (!('reconciliation' in next)) throw new Error('another command was sent');
    parts.add((await runOf(next.reconciliation.id)).progress.part);
    await reconcileOnTrigger(environment, [reconcileTrigger(next)], 0, tiny);
    invocations++;
  }
  expect([...parts]).toEqual(['rows', 'claims', 'line', 'books']);
  expect(invocations).toBeGreaterThan(8);
  expect(await mirrorIsWhole(saleId, holders)).toBe(true);
});

/** An environment that dies at the call with this number: neither it nor any later call is made. */
function dyingAt(call: number): { deps: Deps; died: () => boolean } {
  let calls = 0;
  const live = () => {
    if (++calls >= call) throw new Error('killed');
  };
  const mortal = (sql: Sql): Sql => ({
    ...sql,
    rows: async (...args) => {
      live();
      return sql.rows(...args);
    },
    change: async (...args) => {
      live();
      return sql.change(...args);
    },
  });
  const { db } = deps;
  const redis = new Proxy(deps.redis, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        if (['hget', 'hmget', 'hgetall', 'hscan', 'pipeline', 'get'].includes(String(name))) live();
        if (String(name).startsWith('holdfast')) live();
        return value.apply(target, args);
      };
    },
  }) as RedisClient;
  const environment = withDeps(noting().deps, {
    redis,
    db: {
      ...mortal(db),
      close: db.close,
      snapshot: (read) => db.snapshot((sql) => read(mortal(sql as Sql))),
      transaction: (work) =>
        db.transaction(async (tx) => {
          const result = await work({ ...tx, ...mortal(tx) });
          live();
          return result;
        }),
    },
  });
  return { deps: environment, died: () => calls >= call };
}

/**
 * How many calls a run with `tiny` sizes makes at least in a sale with one bucket, which has lost its claims and whose gate
 * counts wrongly. A page that finds nothing makes no step of its own, so it depends on the customers' ids whether there is a
 * step less: an owner's fields are all in one of the parts in which the bucket is read.
 */
function callsOfRun(holders: readonly Holder[]): number {
  const rowPages = Math.floor(holders.length / tiny.rowsPerPage) + 1;
  // A customer has two fields, the reservation and the claim.
  const parts = Math.ceil((2 * holders.length) / tiny.fieldsPerPage);
  const partOf = ({ customerId }: Holder) =>
    Buffer.from(ownerBitsOf(customerField(customerId)), 'base64url').readUIntBE(0, 3) % parts;
  const found = new Set(holders.map(partOf)).size;
  const calls = {
    begin: 1,
    // Stock, terms, and the mark of lost claims.
    sale: 5,
    // The rows, their claims, the stock, and the repair.
    rows: 4 * rowPages,
    // The mark is removed, and the gate's counters are read.
    rowsEnd: 2,
    // The age of the queue, the sizes, and the fields.
    claims: 3 * parts,
    // The counters again, and the wrong one.
    gate: 2,
    books: 1,
    // The run is locked, written and committed. With the sale and the books, and without pages that find nothing.
    steps: 3 * (2 + rowPages + found),
  };
  return Object.values(calls).reduce((sum, count) => sum + count, 0);
}

test('killed at any call, and begun again by the same message, a run ends as if nothing had happened', async () => {
  const { saleId, holders } = await givenMirrored(4, 10);
  const buckets = [...new Set(holders.map((one) => bucketOf(saleId, one)))];
  const [first, second] = holders as [Holder, Holder];
  let kills = 0;
  for (let call = 1; ; call++) {
    await deps.redis.del(...buckets);
    await deps.redis.hset(keys.sale(saleTag(saleId)), 'pendingUnits', 17, partialField, 'lost');
    const trigger = reconcileTrigger({ saleId });
    const { deps: mortal, died } = dyingAt(call);
    await reconcileOnTrigger(mortal, [trigger], Date.now() + 20_000, tiny).catch(() => undefined);
    if (!died()) break;
    kills++;
    const later = withDeps(deps, { clock: () => Date.now() + 65_000 });
    await reconcileOnTrigger(later, [trigger], later.clock() + 20_000, tiny);
    const { state, reservations, sales } = await runOf(idOfTrigger(trigger));
    expect({ call, state, reservations, sales }).toEqual({ call, state: 'done', reservations: 4, sales: 1 });
    expect(await mirrorIsWhole(saleId, holders)).toBe(true);
    expect(await deps.redis.hmget(keys.sale(saleTag(saleId)), 'pendingUnits', partialField)).toEqual([null, null]);
  }
  expect(kills).toBeGreaterThanOrEqual(callsOfRun(holders));
  expect([await claimOf(saleId, first), await claimOf(saleId, second)]).toEqual(['1', '1']);
});

test('two at once make each step once, and find each difference once', async () => {
  const { saleId, holders } = await givenMirrored(12);
  await deps.redis.del(...new Set(holders.map((one) => bucketOf(saleId, one))));
  const { deps: environment, sent } = noting();
  const run = await startReconciliation(environment, { saleId, restored: false });
  const command = sent[0] as ReconcileTrigger;
  const invoke = () => reconcileOnTrigger(environment, [reconcileTrigger(command)], Date.now() + 20_000, tiny);
  await Promise.all([invoke(), invoke()]);
  const id = 'reconciliationId' in run ? run.reconciliationId : undefined;
  expect(await runOf(id as ReconciliationId)).toMatchObject({
    state: 'done',
    sales: 1,
    reservations: 12,
    driftsFound: 12,
  });
  expect(await mirrorIsWhole(saleId, holders)).toBe(true);
});

test('a command that comes twice, or late, starts nothing that another has gone on with', async () => {
  const { saleId } = await givenMirrored(5);
  const { deps: environment, sent } = noting();
  await startReconciliation(environment, { saleId, restored: false });
  const command = sent.shift() as ReconcileTrigger;
  await reconcileOnTrigger(environment, [reconcileTrigger(command)], 0, tiny);
  await reconcileOnTrigger(environment, [reconcileTrigger(command)], 0, tiny);
  expect(sent).toHaveLength(1);
  expect(await oneStepEach(environment, sent, tiny)).toBeGreaterThan(2);
});

test('the rule goes on with what stands still, and begins nothing over all sales while that is under way', async () => {
  const { saleId } = await givenMirrored(5);
  const { deps: environment, sent } = noting();
  const tick = () => reconcileTrigger({ 'detail-type': 'Scheduled Event' });
  const ofAll = tick();
  await reconcileOnTrigger(environment, [ofAll], 0, tiny);
  const ofOne = reconcileTrigger({ saleId });
  await reconcileOnTrigger(environment, [ofOne], 0, tiny);
  sent.length = 0;

  await reconcileOnTrigger(environment, [tick()], 0, tiny);
  expect([sent, (await listRunning(deps.db, 10)).length]).toEqual([[], 2]);

  const later = withDeps(environment, { clock: () => Date.now() + 40_000 });
  await reconcileOnTrigger(later, [tick()], 0, tiny);
  const ids = sent.map((one) => ('reconciliation' in one ? one.reconciliation.id : undefined));
  expect(ids.sort()).toEqual([idOfTrigger(ofAll), idOfTrigger(ofOne)].sort());
  await oneStepEach(later, sent, tiny);
  expect(await listRunning(deps.db, 10)).toEqual([]);
  expect(await runOf(idOfTrigger(ofAll))).toMatchObject({ saleId: null, state: 'done' });
});

test('after a restore every epoch rises once, and what Redis has from before is forgotten, also if it dies between', async () => {
  const { saleId, holders } = await givenMirrored(6);
  const [holder] = holders as [Holder];
  await deps.redis.hset(bucketOf(saleId, holder), fieldOf(holder), 'p:9:1:1::1:1', 'AAAAAAAAAAAA', 'p:9:5:5::1:1');
  const epoch = async () =>
    (await deps.db.rows<{ epoch: number }>('SELECT epoch FROM sales WHERE id = ?', [toBytes(saleId)]))[0]?.epoch;
  const before = (await epoch()) ?? 0;
  const { deps: environment, sent } = noting();
  const run = await startReconciliation(environment, { saleId, restored: true });
  const [command] = sent as [ReconcileTrigger];
  for (let call = 2; call <= 14; call++) {
    const { deps: mortal } = dyingAt(call);
    const later = withDeps(mortal, { clock: () => Date.now() + call * 65_000 });
    await reconcileOnTrigger(later, [reconcileTrigger(command)], 0, tiny).catch(() => undefined);
  }
  const last = withDeps(deps, { clock: () => Date.now() + 20 * 65_000 });
  await reconcileOnTrigger(last, [reconcileTrigger(command)], last.clock() + 20_000, tiny);
  const id = 'reconciliationId' in run ? run.reconciliationId : undefined;
  expect(await runOf(id as ReconciliationId)).toMatchObject({ state: 'done', restored: true, sales: 1 });
  expect(await epoch()).toBe(before + 1);
  expect(await mirrorIsWhole(saleId, holders)).toBe(true);
  expect(await deps.redis.hget(bucketOf(saleId, holder), 'AAAAAAAAAAAA')).toBeNull();
});

test('while a loss is being repaired, however long that takes, the gate knows that claims are missing', async () => {
  const { saleId } = await givenHolders(9);
  const { deps: environment, sent } = noting();
  const mark = () => deps.redis.hget(keys.sale(saleTag(saleId)), partialField);
  await reconcileOnTrigger(environment, [reconcileTrigger({ saleId })], 0, tiny);
  expect(await mark()).not.toBeNull();
  await oneStepEach(environment, sent, tiny);
  expect(await mark()).toBeNull();
});

test('a bucket that is too large to be held at once is read in parts, and repaired exactly', async () => {
  // An allotment of ten makes one bucket.
  const { saleId, holders } = await givenHolders(10, 10);
  const key = keys.claims(saleTag(saleId), 0);
  await reconcile(deps, saleId);
  const [high, low, gone] = holders as [Holder, Holder, Holder];
  await deps.redis.hset(key, customerField(high.customerId), 4, customerField(low.customerId), 0);
  await deps.redis.hdel(key, customerField(gone.customerId));
  const stranger: CustomerId = newId();
  await deps.redis.hset(key, customerField(stranger), 3);
  const reservationId: ReservationId = deriveReservationId(saleId, stranger, 'forgotten');
  const row = { reservationId, saleId, customerId: stranger, state: 'requested', units: 0, quantity: 3 } as const;
  await deps.redis.hset(key, fieldOf(row), `${pack({ ...row, atLeast: 3, ticket: 1, version: 0 })}7`);
  await deps.redis.hset(keys.sale(saleTag(saleId)), 'pendingUnits', 3);
  const { deps: environment, sent } = noting();
  const trigger = reconcileTrigger({ saleId });
  await reconcileOnTrigger(environment, [trigger], 0, { ...tiny, rowsInOneSum: 50, rowsPerSum: 50 });
  await oneStepEach(environment, sent, { ...tiny, rowsInOneSum: 50, rowsPerSum: 50 });
  const { drifts } = await runOf(idOfTrigger(trigger));
  const seen = drifts.map(({ kind, what, found, repaired }) => [kind, what, found, repaired]).sort();
  expect(seen).toEqual(
    [
      ['claim', customerField(high.customerId), '4', true],
      ['claim', customerField(low.customerId), '0', true],
      ['claim', customerField(gone.customerId), '0', true],
      [
        'undecided',
        `the reservation whose id ends in ${reservationId.slice(-12)}`,
        'requested at 1970-01-01T00:00:00.000Z',
        true,
      ],
    ].sort(),
  );
  expect(await mirrorIsWhole(saleId, holders)).toBe(true);
  expect(await deps.redis.hget(key, customerField(stranger))).toBeNull();
  expect(await deps.redis.hget(keys.sale(saleTag(saleId)), 'pendingUnits')).toBe('0');
});

test('the gate’s counters are left alone if a request came in while the claims were counted', async () => {
  const { saleId } = await givenMirrored(9);
  const key = keys.sale(saleTag(saleId));
  await deps.redis.hset(key, 'pendingUnits', 5);
  const { deps: environment, sent } = noting();
  const begun = reconcileTrigger({ saleId });
  await reconcileOnTrigger(environment, [begun], 0, tiny);
  for (;;) {
    const { part } = (await runOf(idOfTrigger(begun))).progress;
    if (part === 'claims') break;
    await reconcileOnTrigger(environment, [reconcileTrigger(sent.shift() as ReconcileTrigger)], 0, tiny);
  }
  await deps.redis.hincrby(key, 'line', 1);
  await oneStepEach(environment, sent, tiny);
  expect(await deps.redis.hget(key, 'pendingUnits')).toBe('5');
  expect((await reconcile(deps, saleId)).drifts).toMatchObject([{ kind: 'gate', found: '5', repaired: true }]);
});

describe('the books of a large sale', () => {
  const idOf = (saleId: SaleId) => [toBytes(saleId)];

  test('have a step of their own, for which there may be no time in this invocation', async () => {
    const { saleId } = await givenHolders(10);
    const { deps: environment, sent } = noting();
    const sizes = { ...tiny, workPerStep: 1_000, stepMs: 10_000 };
    const trigger = reconcileTrigger({ saleId });
    await reconcileOnTrigger(environment, [trigger], 0, sizes);
    expect((await runOf(idOfTrigger(trigger))).progress.part).toBe('books');
    expect(await oneStepEach(environment, sent, sizes)).toBe(1);
    expect(await runOf(idOfTrigger(trigger))).toMatchObject({ state: 'done', booksUnchecked: 0 });
  });

  test('are added up in pages, of which differences are reported and not repaired', async () => {
    const { saleId } = await givenMirrored(10);
    await deps.db.change(`UPDATE reservations SET state = 'expired' WHERE sale_id = ? LIMIT 1`, idOf(saleId));
    await deps.db.change(`DELETE FROM ledger WHERE sale_id = ? AND kind = 'ALLOCATE' LIMIT 2`, idOf(saleId));
    const { drifts } = await reconcile(deps, saleId, tiny);
    expect(drifts).toMatchObject([
      { kind: 'books', what: 'allocated', expected: '9', found: '10', repaired: false },
      { kind: 'ledger', what: 'held', expected: '8', found: '10', repaired: false },
    ]);
  });

  test('are of one moment, though the sale moves while they are read', async () => {
    const { saleId } = await givenHolders(10);
    let moved = 0;
    const db = {
      ...deps.db,
      snapshot: <T>(read: (sql: Pick<Sql, 'rows'>) => Promise<T>) =>
        deps.db.snapshot((sql) =>
          read({
            rows: async <R>(text: string, values?: unknown[]) => {
              const rows = await sql.rows<R>(text, values);
              // Between two reads a holder buys.
              await deps.db.change(
                `UPDATE reservations SET state = 'purchased' WHERE sale_id = ? AND state = 'allocated' LIMIT 1`,
                idOf(saleId),
              );
              await deps.db.change(
                'UPDATE sales SET allocated = allocated - 1, sold = sold + 1, version = version + 1 WHERE id = ? AND allocated > 0',
                idOf(saleId),
              );
              moved++;
              return rows;
            },
          }),
        ),
    };
    const books = await checkLargeBooks(withDeps(deps, { db }), saleId, null, 4, Date.now() + 20_000);
    expect(moved).toBeGreaterThan(5);
    expect(books).toEqual({ drifts: [] });
  });

  test('that do not fit into one step go on if the sale has kept still, and otherwise begin anew, a few times', async () => {
    const { saleId } = await givenHolders(10);
    const untilItEnds = async (between: () => Promise<unknown>) => {
      let place: BooksPlace | null = null;
      for (let steps = 1; ; steps++) {
        // The time is up at once, so each call adds one page.
        const books = await checkLargeBooks(deps, saleId, place, 4, 0);
        if (typeof books === 'string' || !('next' in books)) return { steps, books };
        place = books.next;
        await between();
      }
    };
    expect(await untilItEnds(async () => undefined)).toEqual({ steps: 6, books: { drifts: [] } });
    const move = () => deps.db.change('UPDATE sales SET version = version + 1 WHERE id = ?', idOf(saleId));
    expect(await untilItEnds(move)).toEqual({ steps: 5, books: 'moving' });
  });
});

/**
 * The size of the test at scale. With `HOLDFAST_SCALE=1000000 npm test -- test/integration/reconcile-run` it takes minutes.
 */
const scale = Number(process.env.HOLDFAST_SCALE ?? 100_000);

test(`${scale} reservations: no step holds more than a page, and every difference is found and repaired`, async () => {
  const { saleId, holders } = await givenHolders(scale);
  let mostRows = 0;
  let mostFields = 0;
  const rowsOf = async <R>(rows: Promise<R[]>) => {
    mostRows = Math.max(mostRows, (await rows).length);
    return rows;
  };
  let held = 0;
  const { deps: noted, sent } = noting();
  const redis = new Proxy(deps.redis, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      if (name !== 'hgetall') return value.bind(target);
      return async (key: string) => {
        const fields = await target.hgetall(key);
        held += Object.keys(fields).length;
        mostFields = Math.max(mostFields, held);
        return fields;
      };
    },
  }) as RedisClient;
  const environment = withDeps(noted, {
    redis: new Proxy(redis, {
      get(target, name) {
        // A page of buckets begins with their lengths.
        if (name === 'pipeline') held = 0;
        return Reflect.get(target, name, target);
      },
    }),
    db: {
      ...deps.db,
      rows: (text, values) => rowsOf(deps.db.rows(text, values)),
      snapshot: (read) => deps.db.snapshot((sql) => read({ rows: (text, values) => rowsOf(sql.rows(text, values)) })),
    },
  });
  /** Makes a run, one step for each invocation. */
  const run = async () => {
    const trigger = reconcileTrigger({ saleId });
    await reconcileOnTrigger(environment, [trigger], 0);
    const invocations = 1 + (await oneStepEach(environment, sent, defaultSizes));
    return { ...(await runOf(idOfTrigger(trigger))), invocations };
  };

  const lost = await run();
  expect(lost).toMatchObject({ state: 'done', reservations: scale, driftsFound: scale + 7, driftsRepaired: scale + 7 });
  expect(lost.drifts).toHaveLength(100);
  expect(lost.invocations).toBeGreaterThan(scale / defaultSizes.workPerStep);

  const missing = holders.filter((_, n) => n % 1_009 === 0);
  const wrong = holders.filter((_, n) => n % 2_003 === 1 && n % 1_009 !== 0);
  for (const one of missing) await deps.redis.hdel(bucketOf(saleId, one), fieldOf(one), customerField(one.customerId));
  for (const one of wrong) await deps.redis.hincrby(bucketOf(saleId, one), customerField(one.customerId), 2);
  await deps.redis.hset(keys.sale(saleTag(saleId)), 'pendingUnits', 11);
  const found = await run();
  const differences = missing.length + wrong.length + 1;
  expect(found).toMatchObject({ state: 'done', driftsFound: differences, driftsRepaired: differences });
  expect(await run()).toMatchObject({ state: 'done', driftsFound: 0, booksUnchecked: 0 });
  expect(mostRows).toBe(Math.min(scale, defaultSizes.rowsPerPage));
  expect(mostFields).toBeLessThanOrEqual(defaultSizes.fieldsPerPage);
  expect(mostFields).toBeGreaterThan(defaultSizes.fieldsPerPage / 2);
}, 600_000);
