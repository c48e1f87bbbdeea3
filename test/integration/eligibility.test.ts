/** Sales that ask who somebody is: a verified contact, and one place for each person. */
import { claimContact } from '#identity/contact.ts';
import { lockCredential } from '#identity/customer.store.ts';
import { primeMirror } from '#mirror/mirror.ts';
import type { Deps } from '#platform/environment/deps.ts';
import type { CustomerId, SaleId } from '#platform/kernel/ids.ts';
import { toBytes } from '#platform/kernel/ids.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { allocateBatch } from '#reservation/allocate.ts';
import { newId } from '#test/support/ids.ts';
import { type Api, openApi, password } from '../support/api.ts';
import { reconcile } from '../support/reconcile.ts';
import { delivered, givenSale, soon } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;

beforeAll(async () => {
  bed = await testBed({ rules: false });
  api = openApi();
  deps = await api.deps();
  await redisReady(deps.redis);
});

afterAll(async () => {
  await api?.close();
  await bed?.close();
});

const signIn = async (email: string) =>
  (await api.call('POST /auth/login', { json: { email, password } })).body.accessToken as string;
const reserve = (saleId: SaleId, token: string) =>
  api.call(`POST /sales/${saleId}/reservations`, { token, key: newId(), json: { quantity: 1 } });
const outcome = async (saleId: SaleId, token: string) => {
  const { status, body } = await reserve(saleId, token);
  return status === 202 ? 202 : body.code;
};

/** Shows that a customer's address is theirs, as their code would. */
async function verify(customerId: CustomerId): Promise<CustomerId> {
  return deps.db.transaction(async (tx) => {
    const account = await lockCredential(tx, customerId);
    if (!account) throw new Error('there is no such account');
    return claimContact(deps, tx, account);
  });
}

/** Opens an account with this address, verified. */
async function verified(email = `${newId()}@example.com`) {
  const { body } = await api.call('POST /auth/register', { json: { email, password, name: 'Ada' } });
  await verify(body.customerId);
  return {
    customerId: body.customerId as CustomerId,
    email,
    old: body.accessToken as string,
    token: await signIn(email),
  };
}

describe('a sale that asks for a verified contact', () => {
  test('refuses at the door who has none, and takes them after the next refresh', async () => {
    const saleId = await givenSale(deps, { requiresContact: true });
    const { token, customerId, refreshToken } = await api.customer();
    expect(await outcome(saleId, token)).toBe('contact_not_verified');
    expect((await reserve(saleId, token)).status).toBe(403);
    await verify(customerId);
    expect(await outcome(saleId, token)).toBe('contact_not_verified');
    const fresh = (await api.call('POST /auth/refresh', { json: { refreshToken } })).body.accessToken;
    expect(await outcome(saleId, fresh)).toBe(202);
  });

  test('asks nobody’s MySQL for it', async () => {
    const saleId = await givenSale(deps, { requiresContact: true });
    await primeMirror(deps, saleId);
    // Until Redis has the claims of a sale back, who is refused may have been decided before.
    await reconcile(deps, saleId);
    const { token } = await api.customer();
    const { rows, transaction } = deps.db;
    const fail = () => {
      throw new Error('MySQL was asked');
    };
    Object.assign(deps.db, { rows: fail, transaction: fail });
    try {
      expect(await outcome(saleId, token)).toBe('contact_not_verified');
    } finally {
      Object.assign(deps.db, { rows, transaction });
    }
  });

  test('can begin and cease to ask; the mirror follows', async () => {
    const operator = await api.operator();
    const saleId = await givenSale(deps);
    const { token } = await api.customer();
    const ask = (requiresContact: unknown) =>
      api.call(`PATCH /sales/${saleId}`, { token: operator, json: { requiresContact } });
    expect((await ask('yes')).body.code).toBe('invalid_input');
    expect((await ask(true)).body).toMatchObject({ requiresContact: true, capPer: 'customer' });
    expect(await outcome(saleId, token)).toBe('contact_not_verified');
    expect((await api.call(`PATCH /sales/${saleId}`, { token: operator, json: { capPer: 'contact' } })).body.code).toBe(
      'invalid_input',
    );
    await ask(false);
    expect(await outcome(saleId, token)).toBe(202);
  });

  test('also holds in MySQL, for requests that no gate has seen', async () => {
    const saleId = await givenSale(deps, { requiresContact: true });
    const [stranger, known] = [delivered(saleId), delivered(saleId, { standing: 'vc' })];
    expect(await allocateBatch(deps, [stranger, known], soon())).toEqual([]);
    const rows = await deps.db.rows<{ state: string; reason: string | null }>(
      'SELECT state, reason FROM reservations WHERE id IN (?) ORDER BY state',
      [[stranger, known].map(({ message }) => toBytes(message.reservationId))],
    );
    expect(rows).toEqual([
      { state: 'allocated', reason: null },
      { state: 'rejected', reason: 'not_entitled' },
    ]);
  });
});

describe('a sale that counts by person', () => {
  test('has one place for a contact, in whatever account and however it is spelled', async () => {
    const name = newId();
    const one = await verified(`${name}@example.com`);
    const saleId = await givenSale(deps, { capPer: 'contact', capPerCustomer: 1 });
    expect(await outcome(saleId, one.token)).toBe(202);
    expect(await outcome(saleId, one.token)).toBe('over_cap');
    // The same person again: with a tag, with another password, and after the account is gone.
    const tagged = await verified(`${name}+2@example.com`);
    expect(await outcome(saleId, tagged.token)).toBe('contact_not_verified');
    expect((await api.call('POST /me/deletion', { token: one.token, json: { password } })).status).toBe(204);
    expect(await verify(tagged.customerId)).toBe(tagged.customerId);
    expect(await outcome(saleId, await signIn(tagged.email))).toBe('person_known_elsewhere');
    // Somebody else's contact counts for itself.
    expect(await outcome(saleId, (await verified()).token)).toBe(202);
    expect(await outcome(saleId, one.old)).toBe('contact_not_verified');
  });

  test('has one place for an external id, which an operator gives', async () => {
    const operator = await api.operator();
    const saleId = await givenSale(deps, { capPer: 'externalId', capPerCustomer: 1 });
    const [one, other] = [await api.customer(), await api.customer()];
    const externalId = newId();
    const give = (customerId: string, json: unknown, key?: string) =>
      api.call(`POST /ops/customers/${customerId}/external-id`, { token: operator, json, ...(key ? { key } : {}) });
    expect(await outcome(saleId, one.token)).toBe('external_id_missing');
    const given = await give(one.customerId, { externalId }, 'once');
    expect([given.status, given.body]).toEqual([200, { customerId: one.customerId, externalId }]);
    expect((await give(one.customerId, { externalId }, 'once')).body).toEqual(given.body);
    expect(await outcome(saleId, await signIn(one.email))).toBe(202);
    expect((await give(other.customerId, { externalId })).body.code).toBe('external_id_taken');
    // Taken from one and given to the other, it counts for the other in sales to come.
    expect((await give(one.customerId, { externalId: null })).status).toBe(200);
    expect((await give(other.customerId, { externalId })).status).toBe(200);
    expect(await outcome(saleId, await signIn(one.email))).toBe('external_id_missing');
    expect(await outcome(saleId, await signIn(other.email))).toBe('person_known_elsewhere');
  });

  test('bad input changes nothing', async () => {
    const operator = await api.operator();
    const { customerId, token } = await api.customer();
    const give = (who: string, json: unknown, by = operator) =>
      api.call(`POST /ops/customers/${who}/external-id`, { token: by, json });
    for (const json of [
      {},
      { externalId: '' },
      { externalId: 7 },
      { externalId: 'a\nb' },
      { externalId: 'a', more: 1 },
    ]) {
      expect((await give(customerId, json)).body.code).toBe('invalid_input');
    }
    expect((await give(customerId, { externalId: 'x'.repeat(256) })).body.code).toBe('invalid_input');
    expect((await give(newId(), { externalId: 'x' })).status).toBe(404);
    expect((await give('nobody', { externalId: 'x' })).status).toBe(404);
    expect((await give(customerId, { externalId: 'x' }, token)).status).toBe(403);
    const [row] = await deps.db.rows<{ externalId: string | null }>(
      'SELECT external_id AS externalId FROM customers WHERE id = ?',
      [toBytes(customerId)],
    );
    expect(row?.externalId).toBeNull();
  });

  test('of two accounts that claim one contact at once, one has it', async () => {
    const name = newId();
    const emails = [`${name}+1@example.com`, `${name}+2@example.com`, `${name}@example.com`];
    const accounts = await Promise.all(
      emails.map(
        async (email) => (await api.call('POST /auth/register', { json: { email, password, name: 'A' } })).body,
      ),
    );
    const holders = await Promise.all(accounts.map(({ customerId }) => verify(customerId)));
    expect(new Set(holders).size).toBe(1);
  });
});
