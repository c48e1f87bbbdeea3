/** The gate: applicants who come together are judged as if each had come alone. */

import { claimsKey, reservationField } from '#mirror/claims.ts';
import { refusedField } from '#mirror/fields.ts';
import { askGate, type GateAnswer, type GateRequest, gateRefusals, returnClaim } from '#mirror/gate.ts';
import { primeMirror } from '#mirror/mirror.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { codes, refuse } from '#platform/kernel/errors.ts';
import { type CustomerId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import type { Bucket } from '#platform/redis/rate-limit.ts';
import { requestReservation } from '#reservation/request.ts';
import { saleTag } from '#sale/sale-id.ts';
import { newId } from '#test/support/ids.ts';
import { givenSale, openBed } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let deps: Deps;

beforeAll(async () => {
  bed = await testBed();
  deps = await openBed(bed);
});

afterAll(async () => {
  await deps.close();
  await bed.close();
});

async function openSale(terms: Parameters<typeof givenSale>[1]): Promise<SaleId> {
  const saleId = await givenSale(deps, terms);
  await primeMirror(deps, saleId);
  return saleId;
}

/** Some who want one unit, some who want many, some who come twice, and some who want something else the second time. */
function crowd(): Omit<GateRequest, 'saleId'>[] {
  const customers = Array.from({ length: 8 }, () => newId());
  const applicants = Array.from({ length: 40 }, (_, n) => {
    const quantity = 1 + ((n * 7) % 4);
    const atLeast = n % 3 === 0 ? 1 : quantity;
    return { reservationId: newId(), customerId: customers[(n * 5) % 8] ?? newId(), quantity, atLeast };
  });
  const again = applicants.filter((_, n) => n % 6 === 0);
  const otherwise = applicants.filter((_, n) => n % 10 === 0).map((one) => ({ ...one, quantity: one.quantity + 1 }));
  return [...applicants.slice(0, 20), ...again, ...applicants.slice(20), ...otherwise];
}

/** What an answer says, without the time of the ticket. */
const withoutTime = (answer: GateAnswer) => {
  if (answer.kind === 'admitted') return { ...answer, ticket: 0 };
  return answer.kind === 'repeat' ? { ...answer, status: { ...answer.status, ticket: 0 } } : answer;
};

/** What the gate remembers of a sale, without the times of tickets. */
async function memoryOf(saleId: SaleId, customers: CustomerId[]) {
  const tag = saleTag(saleId);
  const counters = await deps.redis.hmget(keys.sale(tag), 'pendingUnits', 'pendingOver', 'line');
  const refused = await deps.redis.hmget(keys.sale(tag), ...gateRefusals.map(refusedField));
  const buckets = [...new Set(customers.map((customer) => claimsKey(tag, customer)))];
  const claims = await Promise.all(buckets.map((bucket) => deps.redis.hgetall(bucket)));
  const fields = claims.flatMap((fields) => Object.entries(fields)).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    counters,
    refused: refused.map(Number),
    claims: fields.map(([field, value]) => [field, value.replace(/:[0-9a-f]{10,}:/, ':ticket:')]),
  };
}

/** A sale that opens so much later. */
const later = (ms: number) => ({
  reserveOpensAtMs: Date.now() + ms,
  reserveClosesAtMs: Date.now() + 2 * ms,
  purchaseOpensAtMs: Date.now() + 2 * ms,
  purchaseClosesAtMs: Date.now() + 3 * ms,
});

test.each([
  ['for everyone', { allotment: 1_000, capPerCustomer: 100 }],
  ['until a cap is reached', { allotment: 1_000, capPerCustomer: 5 }],
  ['until stock and waitlist are', { allotment: 20, waitlistSize: 5, capPerCustomer: 100 }],
  ['before the window', later(3_600_000)],
])('together or alone comes to the same: %s', async (_what, terms) => {
  const [alone, together, beside] = await Promise.all([openSale(terms), openSale(terms), openSale(terms)]);
  const applicants = crowd();
  const answersAlone: GateAnswer[] = [];
  for (const one of applicants) answersAlone.push(await askGate(deps, { ...one, saleId: alone }));
  // Two sales at once: each has a run of its own within the round trip.
  const answers = await Promise.all(
    applicants.flatMap((one) => [together, beside].map((saleId) => askGate(deps, { ...one, saleId }))),
  );
  const expected = answersAlone.map(withoutTime);
  expect(answers.filter((_, n) => n % 2 === 0).map(withoutTime)).toEqual(expected);
  expect(answers.filter((_, n) => n % 2 === 1).map(withoutTime)).toEqual(expected);

  const customers = applicants.map(({ customerId }) => customerId);
  const memory = await memoryOf(alone, customers);
  expect(await memoryOf(together, customers)).toEqual(memory);
  const countOf = (code: string) =>
    answersAlone.filter((answer) => answer.kind === 'refused' && answer.code === code).length;
  expect(memory.refused).toEqual(gateRefusals.map(countOf));
  const tickets = answers.flatMap((answer, n) => (n % 2 === 0 && answer.kind === 'admitted' ? [answer.ticket] : []));
  expect(new Set(tickets).size).toBe(tickets.length);
});

test('a request that could not be queued keeps its ticket when it is retried among others', async () => {
  const saleId = await openSale({ allotment: 10, capPerCustomer: 3 });
  const requestOf = (quantity: number): GateRequest => ({
    reservationId: newId(),
    customerId: newId(),
    saleId,
    quantity,
    atLeast: 1,
  });
  const [first, second, third] = [requestOf(1), requestOf(2), requestOf(3)];
  const before = await Promise.all([askGate(deps, first), askGate(deps, second)]);
  await returnClaim(deps, second);
  const after = await Promise.all([askGate(deps, third), askGate(deps, second)]);
  expect(before.map((answer) => answer.kind === 'admitted' && answer.position)).toEqual([1, 2]);
  expect(after[0]).toMatchObject({ kind: 'admitted', position: 3 });
  expect(after[1]).toEqual(before[1]);
});

test('a sale that is not in the mirror is unknown, also in a batch with requests for other sales', async () => {
  const known = await openSale({ allotment: 10 });
  const unknown = await givenSale(deps);
  const one = () => ({ reservationId: newId(), customerId: newId(), quantity: 1, atLeast: 1 });
  const sales = [known, unknown, unknown, known];
  const answers = await Promise.all(sales.map((saleId) => askGate(deps, { ...one(), saleId })));
  expect(answers.map(({ kind }) => kind)).toEqual(['admitted', 'unknown', 'unknown', 'admitted']);
});

describe('refusals that are kept', () => {
  const isFinal = (code: (typeof gateRefusals)[number]) => codes[code].status === 409 && !codes[code].retry;
  /** A sale that refuses for this reason, and what it says of who asks. */
  const refusing: Record<(typeof gateRefusals)[number], [Parameters<typeof givenSale>[1], Partial<GateRequest>]> = {
    sale_not_open: [later(3_600_000), {}],
    sale_closed: [{ reserveOpensAtMs: Date.now() - 7_200_000, reserveClosesAtMs: Date.now() - 3_600_000 }, {}],
    sale_paused: [{}, {}],
    sale_cancelled: [{}, {}],
    over_allotment: [{ allotment: 1 }, { quantity: 2, atLeast: 2 }],
    not_entitled: [{ requiresContact: true }, {}],
    over_cap: [{ capPerCustomer: 1 }, { quantity: 2, atLeast: 1 }],
    sold_out: [{ allotment: 0 }, {}],
  };

  test.each(gateRefusals)('%s is kept if, and only if, it is final; another request is then refused', async (code) => {
    const [terms, asks] = refusing[code];
    const saleId = code === 'sold_out' ? await soldOut() : await givenSale(deps, terms);
    const state = { sale_paused: 'paused', sale_cancelled: 'cancelled' }[code as string];
    if (state) {
      await deps.db.change('UPDATE sales SET status = ?, paused_at_ms = ? WHERE id = ?', [
        state,
        state === 'paused' ? Date.now() : null,
        toBytes(saleId),
      ]);
    }
    await primeMirror(deps, saleId);
    const asking = { reservationId: newId(), customerId: newId(), saleId, quantity: 1, atLeast: 1, ...asks };
    const first = await askGate(deps, asking);
    expect(first).toMatchObject({ kind: 'refused', code });
    expect(await askGate(deps, asking)).toEqual(isFinal(code) ? { ...first, kind: 'kept' } : first);
    const other = await askGate(deps, { ...asking, quantity: asking.quantity + 1 });
    expect(other.kind).toBe(isFinal(code) ? 'reused' : 'refused');
    const labelled = await askGate(deps, { ...asking, labelDigest: 'x' });
    expect(labelled.kind).toBe(isFinal(code) ? 'reused' : 'refused');
    // Counted once: what is given again is no new refusal.
    const [counted] = await deps.redis.hmget(keys.sale(saleTag(saleId)), refusedField(code));
    expect(Number(counted)).toBe(isFinal(code) ? 1 : 4);
  });

  async function soldOut(): Promise<SaleId> {
    const saleId = await openSale({ allotment: 1 });
    await askGate(deps, { reservationId: newId(), customerId: newId(), saleId, quantity: 1, atLeast: 1 });
    return saleId;
  }

  test('are so many of one customer in one sale, and what is beyond them is judged anew', async () => {
    const saleId = await openSale(later(3_600_000));
    const customerId = newId();
    const requests = Array.from({ length: 70 }, () => ({
      reservationId: newId(),
      customerId,
      saleId,
      quantity: 1,
      atLeast: 1,
    }));
    for (const one of requests) await askGate(deps, one);
    const again = await Promise.all(requests.map((one) => askGate(deps, one)));
    expect(again.map(({ kind }) => kind)).toEqual(requests.map((_, n) => (n < 64 ? 'kept' : 'refused')));
  });

  test('give way to what was made under their key', async () => {
    const saleId = await soldOut();
    const asking = { reservationId: newId(), customerId: newId(), saleId, quantity: 1, atLeast: 1 };
    expect(await askGate(deps, asking)).toMatchObject({ kind: 'refused', code: 'sold_out' });
    // Without Redis it was queued and decided, and then it was written into the mirror.
    const { reservationId, customerId } = asking;
    const field = reservationField(reservationId, customerId);
    await deps.redis.hset(claimsKey(saleTag(saleId), customerId), field, 'x:1:0:1::5f5e100:1');
    expect(await askGate(deps, asking)).toMatchObject({ kind: 'repeat', status: { state: 'rejected' } });
  });
});

describe('limits on whoever asks', () => {
  const bucket = (who: string, burst: number): Bucket => ({ what: 'gate', who, rate: { burst, perMinute: 1 } });

  test('a request beyond one of them is not judged, and takes from none of its buckets', async () => {
    const saleId = await openSale({ allotment: 100, capPerCustomer: 10 });
    const [customerId, wide, narrow, other] = [newId(), newId(), newId(), newId()];
    const ask = (...buckets: Bucket[]) =>
      askGate(deps, { reservationId: newId(), customerId, saleId, quantity: 1, atLeast: 1, buckets });
    // Together with a request that is limited otherwise and one that is not, in one round trip.
    const answers = await Promise.all([
      ask(bucket(wide, 3), bucket(narrow, 2)),
      ask(),
      ask(bucket(wide, 3), bucket(narrow, 2)),
      ask(bucket(wide, 3), bucket(narrow, 2)),
      ask(bucket(other, 1)),
      ask(bucket(other, 1)),
      ask(bucket(wide, 3)),
      ask(bucket(wide, 3)),
    ]);
    const kinds = answers.map(({ kind }) => kind);
    const [yes, no] = ['admitted', 'limited'];
    expect(kinds).toEqual([yes, yes, yes, no, yes, no, yes, no]);
    expect(answers[3]).toEqual({ kind: 'limited', empty: [{ what: 'gate', retryAfterSeconds: expect.any(Number) }] });
    const memory = await memoryOf(saleId, [customerId]);
    expect(memory.counters).toEqual(['5', null, '5']);
    expect(answers.flatMap((answer) => (answer.kind === 'admitted' ? [answer.position] : []))).toEqual([1, 2, 3, 4, 5]);
  });

  test('they hold as well where the gate has to load the sale first, and are taken from once', async () => {
    const saleId = await givenSale(deps, { allotment: 100 });
    const [customerId, who] = [newId(), newId()];
    const passage = { buckets: [bucket(who, 2)], refuse: async () => refuse('too_many_requests', 'Wait.') };
    const ask = (key: string) =>
      requestReservation(deps, { customerId }, saleId, key, { quantity: 1, fill: 'all' }, passage);
    expect(await ask('one')).toMatchObject({ state: 'requested', position: 1 });
    expect(await ask('two')).toMatchObject({ state: 'requested', position: 2 });
    expect(await ask('three')).toMatchObject({ refused: 'too_many_requests' });
  });
});
