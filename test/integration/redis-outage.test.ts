/**
 * Redis unavailable, back, or demoted, on a server of this file's own: an accepted request is never denied, a request can be
 * cancelled before it is decided, and the log says it once.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { Redis } from 'ioredis';
import { handler as allocate } from '#functions/queue/allocate.ts';
import { startOwnRedis } from '#local/databases.ts';
import { Supervisor } from '#local/supervisor.ts';
import { waitFor } from '#local/wait.ts';
import { partialField } from '#mirror/fields.ts';
import { distrustForMs } from '#mirror/mirror-trust.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { Fault } from '#platform/kernel/errors.ts';
import { type CustomerId, type ReservationId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import { keys } from '#platform/redis/keys.ts';
import { openRedis, redisReady } from '#platform/redis/redis.ts';
import { openSaleLock } from '#platform/redis/sale-lock.ts';
import { cancelReservation } from '#reservation/cancel.ts';
import { requestReservation } from '#reservation/request.ts';
import { deriveReservationId } from '#reservation/reservation-id.ts';
import { saleTag } from '#sale/sale-id.ts';
import { newId } from '#test/support/ids.ts';
import { TroubledProxy } from '../chaos/proxy.ts';
import { type Api, openApi } from '../support/api.ts';
import { deliver } from '../support/deliver.ts';
import { withDeps, withoutQueue } from '../support/deps.ts';
import { reconcile } from '../support/reconcile.ts';
import { delivered, givenSale } from '../support/sales.ts';
import { type TestBed, testBed, testStack } from '../support/stack.ts';

jest.setTimeout(60_000);

let folder: string;
let supervisor: Supervisor;
/** The server's administrator, who reaches it whatever the network does. */
let admin: Redis;
let proxy: TroubledProxy;
let bed: TestBed;
let api: Api;
let deps: Deps;
let me: { customerId: CustomerId; token: string };

beforeAll(async () => {
  folder = mkdtempSync(join(testStack().dir, 'redis-outage-'));
  supervisor = new Supervisor(folder, () => undefined);
  const server = new URL(await startOwnRedis(supervisor));
  admin = new Redis(server.toString());
  proxy = await TroubledProxy.open(Number(server.port), 1);
  server.port = String(proxy.port);
  bed = await testBed();
  writeFileSync(bed.registryFile, JSON.stringify({ ...bed.registry, 'redis/main': server.toString() }), {
    mode: 0o600,
  });
  api = openApi({ patient: false });
  deps = await api.deps();
  await redisReady(deps.redis);
  me = await api.customer();
});

beforeEach(back);

afterAll(async () => {
  await api?.close();
  await bed?.close();
  await proxy?.close();
  admin?.disconnect();
  await supervisor?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Redis is stopped. */
async function stopRedis(): Promise<void> {
  proxy.set({ refuse: true });
  await waitFor('Redis to be unavailable', () => deps.redis.status !== 'ready', { timeoutMs: 5_000 });
}

/** Redis is back, and is asked again. */
async function back(): Promise<void> {
  proxy.set();
  await waitFor('Redis to be back', () => deps.redis.guarded(() => deps.redis.ping()).catch(() => false), {
    timeoutMs: 10_000,
  });
}

const reserve = (saleId: SaleId, key = 'key', quantity = 1) =>
  api.call(`POST /sales/${saleId}/reservations`, { token: me.token, key, json: { quantity } });
const get = (url: string, token = me.token) => api.call(`GET ${url}`, { token });
const cancel = (url: string, token = me.token) => api.call(`DELETE ${url}`, { token });

/** The message of a request, as the queue delivers it later. */
function messageOf(saleId: SaleId, key = 'key', quantity = 1) {
  const { messageId, message } = delivered(saleId, { customerId: me.customerId, key, quantity, ticket: undefined });
  return { messageId, body: JSON.stringify(message) };
}

async function stockOf(saleId: SaleId) {
  const [row] = await deps.db.rows('SELECT available, allocated, waitlisted FROM sales WHERE id = ?', [
    toBytes(saleId),
  ]);
  return row;
}

const pendingOf = (saleId: SaleId) => admin.hget(keys.sale(saleTag(saleId)), 'pendingUnits');

describe('S5: Redis is stopped, and a request is accepted', () => {
  test('its status URL says requested, from the first moment to the decision', async () => {
    const saleId = await givenSale(deps);
    await stopRedis();
    const { status, body, headers } = await reserve(saleId, 'key', 2);
    expect([status, body.ticket]).toEqual([202, null]);
    expect(headers.location).toBe(body.statusUrl);
    const requested = { status: 200, body: { state: 'requested', quantity: 2, saleId, ticket: null, version: 0 } };
    expect(await get(body.statusUrl)).toMatchObject(requested);
    await back();
    expect(await get(body.statusUrl)).toMatchObject(requested);
    await stopRedis();
    expect(await deliver(allocate, [messageOf(saleId, 'key', 2)])).toEqual([]);
    expect(await get(body.statusUrl)).toMatchObject({ status: 200, body: { state: 'allocated', units: 2 } });
  });

  test('an invented id is not confirmed, whatever receipt comes with it', async () => {
    const saleId = await givenSale(deps);
    const { body } = await reserve(saleId);
    await stopRedis();
    const receipt = body.statusUrl.split('?')[1];
    const other = deriveReservationId(saleId, me.customerId, 'never-sent');
    const stranger = await api.customer();
    const answers = await Promise.all([
      get(`/reservations/${other}`),
      get(`/reservations/${other}?${receipt}`),
      get(`/reservations/${body.reservationId}?receipt=x`),
      get(body.statusUrl, stranger.token),
      cancel(`/reservations/${other}?${receipt}`),
      cancel(body.statusUrl, stranger.token),
    ]);
    for (const answer of answers) {
      expect([answer.status, answer.body.code]).toEqual([503, 'status_unknown']);
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    }
    expect(await deps.db.rows('SELECT id FROM reservations WHERE sale_id = ?', [toBytes(saleId)])).toEqual([]);
  });

  test('without a failure of Redis there is no doubt', async () => {
    const later = withDeps(deps, { clock: () => Date.now() + distrustForMs });
    expect(await cancelReservation(later, me.customerId, newId())).toMatchObject({ refused: 'not_found' });
  });

  test('it can be given back before anybody decided it, and stays so', async () => {
    const saleId = await givenSale(deps);
    await stopRedis();
    const { body } = await reserve(saleId, 'key', 2);
    const cancelled = { status: 200, body: { state: 'cancelled', units: 0, quantity: 2, version: 1 } };
    expect(await cancel(body.statusUrl)).toMatchObject(cancelled);
    expect(await cancel(body.statusUrl)).toMatchObject(cancelled);
    expect(await deliver(allocate, [messageOf(saleId, 'key', 2)])).toEqual([]);
    expect(await get(body.statusUrl)).toMatchObject(cancelled);
    expect(await stockOf(saleId)).toEqual({ available: 100, allocated: 0, waitlisted: 0 });
  });

  test('a claim that Redis has lost is not denied either', async () => {
    const saleId = await givenSale(deps);
    const { body } = await reserve(saleId);
    expect(body.ticket).toBeGreaterThan(0);
    await admin.flushdb();
    expect(await get(body.statusUrl)).toMatchObject({
      status: 200,
      body: { state: 'requested', ticket: body.ticket, position: 1 },
    });
    expect(await cancel(body.statusUrl)).toMatchObject({ status: 200, body: { state: 'cancelled' } });
  });
});

describe('S12: what is not decided yet is given back', () => {
  test('it is kept and applied: the message changes nothing, and the gate counts nothing', async () => {
    const saleId = await givenSale(deps, { allotment: 1, capPerCustomer: 1 });
    const { body } = await reserve(saleId);
    expect(await pendingOf(saleId)).toBe('1');
    const cancelled = { status: 200, body: { state: 'cancelled', version: 1, ticket: body.ticket } };
    expect(await cancel(`/reservations/${body.reservationId}`)).toMatchObject(cancelled);
    expect(await pendingOf(saleId)).toBe('0');
    expect(await deliver(allocate, [messageOf(saleId)])).toEqual([]);
    expect(await get(`/reservations/${body.reservationId}`)).toMatchObject(cancelled);
    expect(await stockOf(saleId)).toEqual({ available: 1, allocated: 0, waitlisted: 0 });
    const again = await reserve(saleId, 'another-key');
    expect([again.status, again.body.position]).toEqual([202, 2]);
    expect(await deliver(allocate, [messageOf(saleId, 'another-key')])).toEqual([]);
    expect(await get(again.body.statusUrl)).toMatchObject({ body: { state: 'allocated' } });
  });

  test('I1, I3: a worker and a customer who decide at the same time come to one end', async () => {
    const saleId = await givenSale(deps, { allotment: 100, capPerCustomer: 100 });
    const requests = Array.from({ length: 12 }, (_, n) => `key-${n}`);
    const accepted = await Promise.all(requests.map((key) => reserve(saleId, key)));
    const [repeats, ...answers] = await Promise.all([
      deliver(
        allocate,
        requests.map((key) => messageOf(saleId, key)),
      ),
      ...accepted.map(({ body }) => cancel(body.statusUrl)),
    ]);
    // A customer whose cancelling collided too often may try again.
    for (const [n, { status, body }] of answers.entries()) {
      if (status === 200) continue;
      expect(body.code).toBe('conflict');
      expect((await cancel(accepted[n]?.body.statusUrl)).status).toBe(200);
    }
    expect(
      await deliver(
        allocate,
        requests.map((key) => messageOf(saleId, key)),
      ),
    ).toEqual([]);
    expect(repeats).toEqual([]);
    const rows = await deps.db.rows<{ state: string; nth: number }>(
      'SELECT state, nth FROM reservations WHERE sale_id = ? ORDER BY nth',
      [toBytes(saleId)],
    );
    expect(rows.map(({ nth }) => nth)).toEqual(requests.map((_, n) => n));
    expect(new Set(rows.map(({ state }) => state))).toEqual(new Set(['cancelled']));
    expect(await stockOf(saleId)).toEqual({ available: 100, allocated: 0, waitlisted: 0 });
    expect(await pendingOf(saleId)).toBe('0');
  });

  test('its customer is told, once', async () => {
    const saleId = await givenSale(deps);
    const published: string[] = [];
    const bus: Deps['bus'] = {
      publish: async (events) => events.map(({ detail }) => published.push(detail) > 0),
    };
    const asking = withDeps(deps, { bus });
    const accepted = await requestReservation(asking, me, saleId, 'key', { quantity: 1, fill: 'all' });
    const { reservationId } = accepted as { reservationId: ReservationId };
    await cancelReservation(asking, me.customerId, reservationId);
    await cancelReservation(asking, me.customerId, reservationId);
    expect(published.map((detail) => JSON.parse(detail).changes)).toEqual([
      [expect.objectContaining({ saleId, from: 'requested', to: 'cancelled' })],
    ]);
  });
});

describe('S15: Redis has lost everything, and a key comes again', () => {
  /** A request that was decided before Redis lost all it knew. */
  async function decided(
    key: string,
    terms: Parameters<typeof givenSale>[1] = {},
  ): Promise<{ saleId: SaleId; reservationId: ReservationId }> {
    const saleId = await givenSale(deps, terms);
    const { body } = await reserve(saleId, key, 2);
    expect(await deliver(allocate, [messageOf(saleId, key, 2)])).toEqual([]);
    await admin.flushdb();
    return { saleId, reservationId: body.reservationId };
  }

  test('with another body it is refused, first of all and after others', async () => {
    const { saleId } = await decided('key');
    const refused = { status: 422, body: { code: 'idempotency_key_reused' } };
    expect(await reserve(saleId, 'key', 1)).toMatchObject(refused);
    await admin.flushdb();
    // Another request loads the sale into Redis again, but not its claims.
    expect(await reserve(saleId, 'another-key')).toMatchObject({ status: 202 });
    expect(await reserve(saleId, 'key', 1)).toMatchObject(refused);
    expect(await reserve(saleId, 'key', 1)).toMatchObject(refused);
    expect(await pendingOf(saleId)).toBe('1');
  });

  test('with the same body it is the same reservation, which is not queued again', async () => {
    const { saleId, reservationId } = await decided('key');
    const sent: unknown[] = [];
    const quiet = withDeps(deps, {
      queue: withoutQueue(deps, 'reservations', 'queued again', (body) => sent.push(body)),
    });
    const again = await requestReservation(quiet, me, saleId, 'key', { quantity: 2, fill: 'all' });
    expect(again).toMatchObject({ reservationId });
    expect(sent).toEqual([]);
    expect(await get(`/reservations/${reservationId}`)).toMatchObject({ body: { state: 'allocated', units: 2 } });
    expect(await pendingOf(saleId)).toBe('0');
  });

  test.each([
    ['sold_out', { allotment: 2, waitlistSize: 0 }],
    ['sale_cancelled', {}],
    ['over_cap', { capPerCustomer: 2 }],
  ] as const)('it is the same reservation also where the gate would refuse it as %s', async (code, terms) => {
    const { saleId, reservationId } = await decided('key', terms);
    if (code === 'sale_cancelled') {
      await deps.db.change('UPDATE sales SET status = ? WHERE id = ?', ['cancelled', toBytes(saleId)]);
    }
    if (code === 'over_cap') {
      // Another reservation of theirs has come back before.
      await reserve(saleId, 'another-key', 2);
    }
    const ask = (key: string, quantity: number, from = deps) =>
      requestReservation(from, me, saleId, key, { quantity, fill: 'all' });
    const blind = withDeps(deps, {
      db: { ...deps.db, rows: () => Promise.reject(new Fault('store_unavailable', 'MySQL is unavailable')) },
    });
    expect(await ask('a-new-key', 2)).toMatchObject({ refused: code });
    await expect(ask('key', 2, blind)).rejects.toMatchObject({ code: 'store_unavailable' });
    expect(await ask('key', 1)).toMatchObject({ refused: 'idempotency_key_reused' });
    await admin.flushdb();
    if (code === 'over_cap') await reserve(saleId, 'another-key', 2);
    expect(await ask('key', 2)).toMatchObject({ reservationId });
    expect(await ask('key', 2)).toMatchObject({ reservationId });
    expect(await ask('key', 1)).toMatchObject({ refused: 'idempotency_key_reused' });
  });

  test('MySQL is asked until every claim is back, and no longer', async () => {
    const { saleId } = await decided('key');
    await reserve(saleId, 'another-key');
    const mark = () => admin.hget(keys.sale(saleTag(saleId)), partialField);
    const lost = await mark();
    expect(lost).not.toBeNull();
    await admin.flushdb();
    await reserve(saleId, 'a-third-key');
    expect(await mark()).not.toBe(lost);
    await reconcile(deps, saleId);
    expect(await mark()).toBeNull();
    const blind = withDeps(deps, { db: { ...deps.db, rows: () => Promise.reject(new Error('MySQL was asked')) } });
    const ask = (key: string, quantity: number) =>
      requestReservation(blind, me, saleId, key, { quantity, fill: 'all' });
    expect(await ask('key', 1)).toMatchObject({ refused: 'idempotency_key_reused' });
    expect(await ask('a-fourth-key', 1)).toMatchObject({ state: 'requested' });
  });

  test('I2: a request is accepted though MySQL cannot be asked', async () => {
    const { saleId } = await decided('key');
    await reserve(saleId, 'another-key');
    const blind = withDeps(deps, {
      db: { ...deps.db, rows: () => Promise.reject(new Fault('store_unavailable', 'MySQL is unavailable')) },
    });
    const ask = requestReservation(blind, me, saleId, 'new-key', { quantity: 1, fill: 'all' });
    expect(await ask).toMatchObject({ state: 'requested' });
  });
});

test('S13: Redis goes for seconds under load: one line when it goes, and one with a count when it is back', async () => {
  const saleId = await givenSale(deps, { allotment: 1_000, capPerCustomer: 1_000 });
  const redis = openRedis(String(deps.registry['redis/main']));
  await redisReady(redis);
  const other = withDeps(deps, { redis });
  const ask = (n: number) => requestReservation(other, me, saleId, `key-${n}`, { quantity: 1, fill: 'all' });
  const warned = jest.spyOn(log, 'warn').mockImplementation(() => undefined);
  try {
    await ask(0);
    proxy.set({ refuse: true });
    await waitFor('Redis to be unavailable', () => redis.status !== 'ready', { timeoutMs: 5_000 });
    for (let n = 1; n <= 60; n++) expect(await ask(n)).toMatchObject({ ticket: null });
    proxy.set();
    await waitFor(
      'the gate to be asked again',
      async () => {
        await ask(61);
        return warned.mock.calls.some(([message]) => message === 'Redis is back');
      },
      { timeoutMs: 15_000 },
    );
    expect(warned.mock.calls.map(([message]) => message)).toEqual([
      'Redis is unavailable; work goes on without it',
      'Redis is back',
    ]);
    expect(warned.mock.calls[1]?.[1]).toMatchObject({ failedCalls: expect.any(Number) });
    expect(Number(warned.mock.calls[1]?.[1]?.failedCalls)).toBeGreaterThanOrEqual(60);
  } finally {
    warned.mockRestore();
    redis.disconnect();
  }
});

describe('Redis is demoted to a replica', () => {
  let primary: Redis;

  beforeEach(async () => {
    // Its primary does not exist: the replica goes on answering reads, and refuses writes.
    primary = admin.duplicate();
    await primary.replicaof('127.0.0.1', 1);
  });

  afterEach(async () => {
    await primary.replicaof('NO', 'ONE');
    primary.disconnect();
  });

  test('scripts and commands count as an outage, the client connects anew, and requests are accepted', async () => {
    const saleId = await givenSale(deps);
    let connects = 0;
    const count = () => connects++;
    deps.redis.on('connect', count);
    const { status, body } = await reserve(saleId);
    expect([status, body.ticket]).toEqual([202, null]);
    await waitFor('the client to connect anew', () => connects > 0, { timeoutMs: 5_000 });
    deps.redis.off('connect', count);
    expect(await get(body.statusUrl)).toMatchObject({ status: 200, body: { state: 'requested' } });
    expect(await deliver(allocate, [messageOf(saleId)])).toEqual([]);
    expect(await get(body.statusUrl)).toMatchObject({ status: 200, body: { state: 'allocated' } });
    const startedMs = performance.now();
    const grant = await openSaleLock(deps.redis).acquire([saleTag(saleId)], 400);
    expect(grant.fencingTokens.size).toBe(0);
    expect(performance.now() - startedMs).toBeLessThan(2_000);

    await primary.replicaof('NO', 'ONE');
    await waitFor('the gate to be asked again', async () => (await reserve(saleId, newId())).body.ticket !== null, {
      timeoutMs: 15_000,
    });
  });
});
