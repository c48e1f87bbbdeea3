/**
 * Grants: an operator serves somebody who waits, out of turn, with a reason, and nobody else passes the line (invariant I11).
 */
import { handler as allocate } from '#functions/queue/allocate.ts';
import { insertGrant } from '#launch/grant.store.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { type ReservationId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { newId } from '#test/support/ids.ts';
import { type Api, openApi } from '../support/api.ts';
import { deliver } from '../support/deliver.ts';
import { delivered, givenSale, type SaleTerms } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;
let operator: string;
const published: string[] = [];

beforeAll(async () => {
  bed = await testBed();
  api = openApi();
  deps = await api.deps();
  await redisReady(deps.redis);
  operator = await api.operator();
  const { publish } = deps.bus;
  deps.bus.publish = (events) => {
    published.push(...events.map(({ detail }) => detail));
    return publish.call(deps.bus, events);
  };
});

afterAll(async () => {
  await api?.close();
  await bed?.close();
});

interface Person {
  reservationId: ReservationId;
  token: string;
}

/** A sale whose units somebody holds, and so many who wait for them, each for all of them. */
async function line(count: number, quantity = 1, terms: Partial<SaleTerms> = {}) {
  const saleId = await givenSale(deps, { allotment: quantity, waitlistSize: 10, ...terms });
  const people: Person[] = [];
  for (let n = 0; n <= count; n++) {
    const { customerId, token } = await api.customer();
    const { message, messageId } = delivered(saleId, {
      customerId,
      quantity,
    });
    await deliver(allocate, [{ messageId, body: JSON.stringify({ ...message, ticket: Date.now() * 1000 + n }) }]);
    people.push({ reservationId: message.reservationId, token });
  }
  const [holder, ...waiting] = people;
  return { saleId, holder, waiting };
}

const grant = (saleId: SaleId, reservationId: string | undefined, more: object = {}, token = operator) =>
  api.call(`POST /sales/${saleId}/grants`, { token, json: { reservationId, reason: 'It was promised', ...more } });
const seen = async ({ reservationId, token }: Person) =>
  (await api.call(`GET /reservations/${reservationId}`, { token })).body;
const statesOf = (people: Person[]) => Promise.all(people.map(async (person) => (await seen(person)).state));
const stockOf = async (saleId: SaleId) => {
  const [row] = await deps.db.rows<Record<string, number>>(
    'SELECT allotment, available, allocated, waitlisted FROM sales WHERE id = ?',
    [toBytes(saleId)],
  );
  return { ...row };
};
const grantsOf = async (saleId: SaleId) =>
  deps.db.rows('SELECT units, reason FROM grants WHERE sale_id = ?', [toBytes(saleId)]);

test('serves the last in line with units of its own, and takes nothing from those in front', async () => {
  const { saleId, waiting } = await line(3);
  const before = published.length;
  const { status, body } = await grant(saleId, waiting[2]?.reservationId);
  expect([status, body]).toMatchObject([200, { state: 'allocated', units: 1 }]);
  expect(await statesOf(waiting)).toEqual(['waitlisted', 'waitlisted', 'allocated']);
  expect(await stockOf(saleId)).toEqual({ allotment: 2, available: 0, allocated: 2, waitlisted: 2 });
  expect(await grantsOf(saleId)).toEqual([{ units: 1, reason: 'It was promised' }]);
  const told = published.slice(before).join();
  expect(told).toContain('"reason":"granted"');
  expect(told).not.toContain('It was promised');
  const books = await deps.db.rows<{ kind: string; units: number }>(
    'SELECT kind, units FROM ledger WHERE sale_id = ? AND (kind = ? OR subject_id = ?) ORDER BY CAST(kind AS CHAR)',
    [toBytes(saleId), 'ADJUST', toBytes(waiting[2]?.reservationId ?? '')],
  );
  expect(books.map((row) => ({ ...row }))).toEqual([
    { kind: 'ADJUST', units: 1 },
    { kind: 'ALLOCATE', units: 1 },
  ]);
});

test('is an offer like any other: it has a deadline, and can be bought', async () => {
  const { saleId, waiting } = await line(1);
  const [person] = waiting;
  if (!person) throw new Error('nobody waits');
  const { deadline } = (await grant(saleId, person.reservationId)).body;
  expect((await seen(person)).deadline).toBe(deadline);
  const json = { reservationIds: [person.reservationId], paymentToken: 'tok_approve' };
  expect((await api.call('POST /purchases', { token: person.token, key: newId(), json })).status).toBe(202);
});

test('I6: is shown from the mirror as its row is: that it was granted is told, not kept', async () => {
  // Well before the window opens an allocated reservation is answered without MySQL.
  const hourMs = 3_600_000;
  const opensAtMs = Date.now() + hourMs;
  const { saleId, waiting } = await line(1, 1, {
    purchaseOpensAtMs: opensAtMs,
    purchaseClosesAtMs: opensAtMs + hourMs,
  });
  const [person] = waiting;
  if (!person) throw new Error('nobody waits');
  await grant(saleId, person.reservationId);
  const mirrored = await seen(person);
  expect(mirrored).toMatchObject({ state: 'allocated', reason: null });
  await deps.redis.flushdb();
  expect(await seen(person)).toEqual(mirrored);
});

test('tells its owner, and those behind their new places', async () => {
  const { saleId, waiting } = await line(3);
  const before = published.length;
  await grant(saleId, waiting[0]?.reservationId);
  const details = published.slice(before).map((detail) => JSON.parse(detail));
  const moved = details.flatMap(({ recipients = [] }) => recipients) as { reservationId: string; position: number }[];
  expect(moved.map(({ reservationId, position }) => [reservationId, position])).toEqual([
    [waiting[1]?.reservationId, 1],
    [waiting[2]?.reservationId, 2],
  ]);
});

test('what is available goes to the line, not to the grant', async () => {
  const { saleId, waiting } = await line(2, 2);
  await api.call(`POST /sales/${saleId}/stock`, { token: operator, json: { units: 1 } });
  expect((await grant(saleId, waiting[1]?.reservationId)).body.units).toBe(2);
  expect(await statesOf(waiting)).toEqual(['waitlisted', 'allocated']);
  expect(await stockOf(saleId)).toEqual({ allotment: 5, available: 1, allocated: 4, waitlisted: 1 });
});

describe('is refused', () => {
  test('for who does not wait, or waits elsewhere', async () => {
    const { saleId, holder, waiting } = await line(1);
    const other = await line(1);
    expect((await grant(saleId, holder?.reservationId)).body).toMatchObject({
      code: 'illegal_state',
      state: 'allocated',
    });
    expect((await grant(saleId, other.waiting[0]?.reservationId)).body.code).toBe('not_found');
    expect((await grant(saleId, newId())).body.code).toBe('not_found');
    expect((await grant(newId(), waiting[0]?.reservationId)).body.code).toBe('not_found');
  });

  test('without a reason, in a pause, and in a sale that was called off', async () => {
    const { saleId, waiting } = await line(2);
    const id = waiting[0]?.reservationId;
    for (const reason of ['', '  ', 'x'.repeat(501)]) {
      expect((await grant(saleId, id, { reason })).body.code).toBe('invalid_input');
    }
    await api.call(`POST /sales/${saleId}/pause`, { token: operator });
    expect((await grant(saleId, id)).body.code).toBe('illegal_state');
    await api.call(`POST /sales/${saleId}/cancel`, { token: operator });
    expect((await grant(saleId, id)).body.code).toBe('sale_cancelled');
    expect(await grantsOf(saleId)).toEqual([]);
  });
});

test('two at once for one person are one', async () => {
  const { saleId, waiting } = await line(1);
  const answers = await Promise.all([1, 2, 3].map(() => grant(saleId, waiting[0]?.reservationId)));
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409]);
  expect(await stockOf(saleId)).toEqual({ allotment: 2, available: 0, allocated: 2, waitlisted: 0 });
  expect(await grantsOf(saleId)).toHaveLength(1);
});

test('a reservation is granted once', async () => {
  const { saleId, waiting } = await line(1);
  const reservationId = waiting[0]?.reservationId as ReservationId;
  const row = { reservationId, saleId, units: 1, reason: 'twice' };
  await deps.db.transaction((tx) => insertGrant(tx, row, 1));
  await expect(deps.db.transaction((tx) => insertGrant(tx, row, 1))).rejects.toThrow(/Duplicate/);
});
