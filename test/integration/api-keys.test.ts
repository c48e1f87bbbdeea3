/** API keys: what a shop's own programs may do with them, and what nobody may. */

import { routes } from '#functions/http/routes.ts';
import { rememberedMs } from '#identity/remember.ts';
import { customerOf, programOf } from '#keys/identify.ts';
import type { Deps } from '#platform/environment/deps.ts';
import type { KeyCall } from '#platform/handlers/route.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import { type ApiKeyId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { missesAtMost, missesWithinMs } from '#platform/resilience/unknown-ids.ts';
import { accessTokenLifeSeconds } from '#platform/security/access-token.ts';
import { makeApiKey } from '#platform/security/api-key.ts';
import { type Scope, scopes } from '#platform/security/scopes.ts';
import { newId } from '#test/support/ids.ts';
import { type Api, openApi } from '../support/api.ts';
import { withDeps } from '../support/deps.ts';
import { givenSale } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;
let admin: string;

beforeAll(async () => {
  // What an address may do is little, so that it shows whether keys are held to it.
  bed = await testBed({ rules: false, registry: { 'limit/reservations-address': '1/1' } });
  api = openApi();
  deps = await api.deps();
  admin = await api.operator('admin');
});

afterAll(async () => {
  await api?.close();
  await bed?.close();
});

const make = (json: object, sent: object = {}) => api.call('POST /ops/api-keys', { token: admin, json, ...sent });
async function given(...wanted: Scope[]): Promise<{ keyId: ApiKeyId; key: string }> {
  return (await make({ name: 'A test', scopes: wanted })).body;
}
const count = async (table: 'api_keys' | 'customers' | 'products' | 'operator_acts' | 'person_keys') =>
  Number((await deps.db.rows<{ n: number }>(`SELECT COUNT(*) AS n FROM ${table}`))[0]?.n);
const setKey = (keyId: string, column: 'expires_at_ms' | 'revoked_at_ms', ms: number) =>
  deps.db.change(`UPDATE api_keys SET ${column} = ? WHERE id = ?`, [ms, toBytes(keyId)]);
const acting = (externalId: string) => ({ headers: { 'holdfast-customer': externalId } });
const product = () => ({ sku: newId(), name: 'Chair', description: '', price: { amountMinor: 100, currency: 'EUR' } });

/** Another environment, whose clock the test sets and which loses MySQL when it says so. */
function environment(registry: Record<string, string> = {}) {
  const at = { ms: Date.now(), out: false, asked: 0 };
  const rows: Deps['db']['rows'] = (sql, values) => {
    at.asked++;
    if (at.out) return Promise.reject(Object.assign(new Error('gone'), { code: 'ECONNREFUSED' }));
    return deps.db.rows(sql, values);
  };
  const db = { ...deps.db, rows };
  const elsewhere = withDeps(deps, { clock: () => at.ms, db, registry: { ...deps.registry, ...registry } });
  const outcome = async (key: string, customer?: string, address = '192.0.2.1'): Promise<string> => {
    const event = { headers: {}, requestContext: { http: { sourceIp: address } } } as KeyCall['event'];
    const call = { key, customer, event };
    const caller =
      customer === undefined
        ? await programOf(elsewhere, call, 'sales:read')
        : await customerOf(elsewhere, call, 'customers:act');
    return isRefusal(caller) ? caller.refused : 'allowed';
  };
  return { at, outcome };
}

describe('a key', () => {
  test('is made by an admin, shown once, and stored as a hash', async () => {
    const sent = { key: newId() };
    const asked = { name: 'Storefront', scopes: ['sales:read', 'customers:act'], expiresInDays: 30 };
    const before = await count('api_keys');
    const { status, body } = await make(asked, sent);
    const { key, ...view } = body;
    expect(status).toBe(201);
    expect(key).toMatch(/^hfk_[0-9a-f]{32}_[\w-]{43}$/);
    expect(view).toMatchObject({ name: 'Storefront', scopes: asked.scopes, state: 'active', lastUsedAt: null });
    expect(Date.parse(view.expiresAt) - Date.parse(view.createdAt)).toBe(30 * 86_400_000);
    const again = await make(asked, sent);
    expect([again.status, again.body]).toEqual([201, body]);
    expect(again.headers['idempotent-replayed']).toBe('true');
    expect(await count('api_keys')).toBe(before + 1);
    expect((await api.call('GET /ops/api-keys?limit=1', { token: admin })).body.items).toEqual([view]);
    const secret = key.split('_').slice(2).join('_');
    for (const table of ['api_keys', 'operator_acts', 'kept_answers']) {
      const rows = await deps.db.rows(`SELECT * FROM ${table}`);
      const text = JSON.stringify(rows, (_, value) =>
        value?.type === 'Buffer' ? Buffer.from(value.data).toString('latin1') : value,
      );
      expect([table, text.includes(secret)]).toEqual([table, false]);
    }
  });

  test('is made and listed by nobody else', async () => {
    const before = await count('api_keys');
    for (const role of ['operator', 'viewer', 'customer'] as const) {
      const token = await api.operator(role);
      expect((await make({ name: 'A', scopes: ['sales:read'] }, { token })).body.code).toBe('forbidden');
      expect((await api.call('GET /ops/api-keys', { token })).body.code).toBe('forbidden');
    }
    expect(await count('api_keys')).toBe(before);
  });

  test.each([
    {},
    { name: '', scopes: ['sales:read'] },
    { name: 'A', scopes: [] },
    { name: 'A', scopes: ['sales:all'] },
    { name: 'A', scopes: ['sales:read', 'sales:read'] },
    { name: 'A', scopes: ['sales:read'], expiresInDays: 0 },
    { name: 'A', scopes: ['sales:read'], expiresInDays: 401 },
    { name: 'A', scopes: ['sales:read'], secret: 'mine' },
  ])('is not made of %j', async (json) => {
    const before = await count('api_keys');
    expect((await make(json)).body.code).toBe('invalid_input');
    expect(await count('api_keys')).toBe(before);
  });

  test('may do what its scopes say, and leaves its id in the trail', async () => {
    const { key, keyId } = await given('catalog:write');
    const { status, body } = await api.call('POST /products', { token: key, json: product() });
    expect(status).toBe(201);
    const [act] = (await api.call(`GET /ops/acts?operatorId=${keyId}`, { token: admin })).body.items;
    expect(act).toMatchObject({ operatorId: keyId, act: 'POST /products', subjectId: body.productId });
  });

  test('has Idempotency-Keys of its own, which its other secrets share', async () => {
    const [one, other] = [await given('catalog:write'), await given('catalog:write')];
    const json = product();
    const create = (token: string) => api.call('POST /products', { token, json, key: 'first' });
    const first = await create(one.key);
    const rotated = (await api.call(`POST /ops/api-keys/${one.keyId}/secret`, { token: admin })).body.key;
    expect((await create(rotated)).text).toBe(first.text);
    expect((await create(other.key)).body.code).toBe('sku_taken');
  });

  test('that lacks the scope is told which, and changes nothing', async () => {
    const { key } = await given(...scopes.filter((scope) => scope !== 'catalog:write'));
    const before = [await count('products'), await count('operator_acts')];
    const { status, body } = await api.call('POST /products', { token: key, json: product() });
    expect([status, body.code, body.scope]).toEqual([403, 'missing_scope', 'catalog:write']);
    expect([await count('products'), await count('operator_acts')]).toEqual(before);
  });

  test('that is wrong, expired or revoked is refused, and changes nothing', async () => {
    const [right, expired, revoked, named] = [
      await given('catalog:write'),
      await given('catalog:write'),
      await given('catalog:write'),
      await given('catalog:write'),
    ];
    await setKey(expired.keyId, 'expires_at_ms', Date.now() - 1);
    await setKey(revoked.keyId, 'revoked_at_ms', Date.now() - 1);
    expect((await api.call('POST /products', { token: named.key, json: product() })).status).toBe(201);
    expect((await api.call(`DELETE /ops/api-keys/${named.keyId}`, { token: admin })).status).toBe(204);
    const before = [await count('products'), await count('operator_acts')];
    const secretOfAnother = `${right.key.slice(0, 37)}${expired.key.slice(37)}`;
    for (const token of [
      ...[expired.key, revoked.key, named.key, secretOfAnother],
      ...['hfk_', 'hfk_x', `${right.key}x`, right.key.toUpperCase().replace('HFK', 'hfk'), right.key.slice(0, -1)],
      makeApiKey(newId()).text,
    ]) {
      const answer = await api.call('POST /products', { token, json: product() });
      expect([answer.status, answer.body.code]).toEqual([401, 'invalid_api_key']);
    }
    expect([await count('products'), await count('operator_acts')]).toEqual(before);
    expect((await api.call('POST /products', { token: right.key, json: product() })).status).toBe(201);
  });

  test('that is wrong asks MySQL within a bound for each address, and holds up nobody who is known or elsewhere', async () => {
    const [known, cold] = [await given('sales:read'), await given('sales:read')];
    const { at, outcome } = environment();
    expect(await outcome(known.key)).toBe('allowed');
    const before = at.asked;
    // One key that is wrong, such as one that a program has kept too long, is looked up once in a while.
    const invented = makeApiKey(newId()).text;
    for (let n = 0; n < 2 * missesAtMost; n++) expect(await outcome(invented)).toBe('invalid_api_key');
    expect(at.asked - before).toBe(1);
    // One that exists, with the secret of another.
    const halfRight = `${known.key.slice(0, 37)}${cold.key.slice(37)}`;
    for (let n = 0; n < 2; n++) expect(await outcome(halfRight)).toBe('invalid_api_key');
    expect(at.asked - before).toBe(2);
    for (let n = 2; n < missesAtMost; n++) expect(await outcome(makeApiKey(newId()).text)).toBe('invalid_api_key');
    expect(at.asked - before).toBe(missesAtMost);
    for (const key of [makeApiKey(newId()).text, makeApiKey(known.keyId).text, cold.key]) {
      expect(await outcome(key)).toBe('too_many_requests');
    }
    expect(at.asked - before).toBe(missesAtMost);
    expect(await outcome(known.key)).toBe('allowed');
    expect(await outcome(cold.key, undefined, '192.0.2.2')).toBe('allowed');
    at.ms += missesWithinMs;
    expect([await outcome(known.key), await outcome(invented)]).toEqual(['allowed', 'invalid_api_key']);
  });

  test('that is wrong is answered 429 when there are many', async () => {
    const ip = '192.0.2.77';
    const wrong = () => api.call('GET /ops/disputes', { token: makeApiKey(newId()).text, ip });
    for (let n = 0; n < missesAtMost; n++) expect((await wrong()).status).toBe(401);
    const { status, body, headers } = await wrong();
    expect([status, body.code]).toEqual([429, 'too_many_requests']);
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
  });

  test('is revoked once, and stays in the list', async () => {
    const { keyId } = await given('sales:read');
    const acts = await count('operator_acts');
    for (let n = 0; n < 2; n++) {
      expect((await api.call(`DELETE /ops/api-keys/${keyId}`, { token: admin })).status).toBe(204);
    }
    expect(await count('operator_acts')).toBe(acts + 1);
    const [newest] = (await api.call('GET /ops/api-keys?limit=1', { token: admin })).body.items;
    expect(newest).toMatchObject({ keyId, state: 'revoked', revokedAt: expect.any(String) });
    for (const call of [`DELETE /ops/api-keys/${newId()}`, `POST /ops/api-keys/${newId()}/secret`]) {
      expect((await api.call(call, { token: admin })).body.code).toBe('not_found');
    }
    const rotated = await api.call(`POST /ops/api-keys/${keyId}/secret`, { token: admin });
    expect([rotated.status, rotated.body.code]).toEqual([409, 'illegal_state']);
  });

  test('that is revoked is refused elsewhere within ten seconds, whatever is remembered there', async () => {
    const { key, keyId } = await given('sales:read');
    const { at, outcome } = environment();
    expect(await outcome(key)).toBe('allowed');
    await api.call(`DELETE /ops/api-keys/${keyId}`, { token: admin });
    at.ms += rememberedMs;
    expect(await outcome(key)).toBe('invalid_api_key');
  });

  test('is good while MySQL is unavailable, for as long as an access token', async () => {
    const { key } = await given('sales:read', 'customers:act');
    const { at, outcome } = environment();
    expect([await outcome(key), await outcome(key, 'member-out')]).toEqual(['allowed', 'allowed']);
    at.out = true;
    at.ms += accessTokenLifeSeconds * 1_000 - 1;
    expect([await outcome(key), await outcome(key, 'member-out')]).toEqual(['allowed', 'allowed']);
    await expect(outcome(key, 'never seen')).rejects.toThrow('gone');
    at.ms += 1;
    await expect(outcome(key)).rejects.toThrow('gone');
  });

  test('has two secrets while they overlap, and not longer than the old one was good', async () => {
    const { key, keyId } = await given('sales:read');
    const { at, outcome } = environment();
    expect(await outcome(key)).toBe('allowed');
    const rotate = (json: object) => api.call(`POST /ops/api-keys/${keyId}/secret`, { token: admin, json });
    const next = (await rotate({ overlapSeconds: 60, expiresInDays: 400 })).body;
    expect(next.keyId).toBe(keyId);
    expect([await outcome(key), await outcome(next.key)]).toEqual(['allowed', 'allowed']);
    at.ms = Date.parse(next.previousSecretUntil);
    expect([await outcome(key), await outcome(next.key)]).toEqual(['invalid_api_key', 'allowed']);
    const last = (await rotate({ overlapSeconds: 0 })).body;
    expect(last).toMatchObject({ previousSecretUntil: null, expiresAt: next.expiresAt });
    at.ms += rememberedMs;
    expect([await outcome(next.key), await outcome(last.key)]).toEqual(['invalid_api_key', 'allowed']);
    at.ms = Date.parse(last.expiresAt);
    expect(await outcome(last.key)).toBe('invalid_api_key');
    for (const json of [{ overlapSeconds: -1 }, { overlapSeconds: 604_801 }, { expiresInDays: 0 }]) {
      expect((await rotate(json)).body.code).toBe('invalid_input');
    }
  });

  test('that ends before the overlap does takes its old secret with it', async () => {
    const { key, keyId } = await given('sales:read');
    const endsAtMs = Date.now() + 60_000;
    await setKey(keyId, 'expires_at_ms', endsAtMs);
    const json = { overlapSeconds: 3_600, expiresInDays: 1 };
    const next = (await api.call(`POST /ops/api-keys/${keyId}/secret`, { token: admin, json })).body;
    expect(Date.parse(next.previousSecretUntil)).toBe(endsAtMs);
    const { at, outcome } = environment();
    at.ms = endsAtMs;
    expect([await outcome(key), await outcome(next.key)]).toEqual(['invalid_api_key', 'allowed']);
  });

  test('says when it was last used, written once a minute', async () => {
    const { key, keyId } = await given('sales:read');
    const { at, outcome } = environment();
    const started = at.ms;
    const used = async () =>
      (
        await deps.db.rows<{ usedMs: number | null }>('SELECT last_used_at_ms AS usedMs FROM api_keys WHERE id = ?', [
          toBytes(keyId),
        ])
      )[0]?.usedMs;
    const seen: unknown[] = [await used()];
    for (const seconds of [0, 5, 59, 60, 61]) {
      at.ms = started + seconds * 1_000;
      expect(await outcome(key)).toBe('allowed');
      seen.push(await used());
    }
    const next = started + 60_000;
    expect(seen).toEqual([null, started, started, started, next, next]);
  });

  test('has a rate of its own, for all customers together', async () => {
    const [one, other] = [await given('sales:read', 'customers:act'), await given('sales:read')];
    const { outcome } = environment({ 'limit/api-key': '3/1' });
    const outcomes = [await outcome(one.key), await outcome(one.key, 'member-1'), await outcome(one.key, 'member-2')];
    expect(outcomes).toEqual(['allowed', 'allowed', 'allowed']);
    expect([await outcome(one.key, 'member-3'), await outcome(one.key)]).toEqual([
      'too_many_requests',
      'too_many_requests',
    ]);
    expect(await outcome(other.key)).toBe('allowed');
  });
});

describe('what only people may do', () => {
  const signedIn = Object.entries(routes).filter(([, { auth }]) => auth !== 'none' && auth !== 'optional');
  const peopleOnly = signedIn.filter(([, { scope }]) => !scope).map(([name]) => name);

  test('is these routes, and every other one names a scope', () => {
    expect(peopleOnly.sort()).toEqual(
      [
        ...['ask-for-contact-code', 'change-password', 'delete-account', 'end-sessions', 'verify-contact'],
        ...['list-operators', 'set-role', 'list-api-keys', 'create-api-key', 'rotate-api-key', 'revoke-api-key'],
      ].sort(),
    );
    const used = new Set(signedIn.flatMap(([, { scope }]) => scope ?? []));
    expect([...used].sort()).toEqual([...scopes].sort());
  });

  const open = signedIn.flatMap(([name, { scope }]) => (scope ? [[name, scope] as const] : []));
  test.each(open)('%s is open to a key with the scope %s', async (name, scope) => {
    const { key } = await given(scope);
    const { method = '', path = '' } = routes[name] ?? {};
    const line = `${method} ${path.replace(/\{\w+\}/g, newId())}`;
    const { status, body } = await api.call(line, { token: key, ...acting('member-4711'), key: newId() });
    expect([line, body?.code ?? '', status === 401 || status === 403]).toEqual([line, body?.code ?? '', false]);
  });

  test.each(peopleOnly)('%s is refused to a key with every scope', async (name) => {
    const { key, keyId } = await given(...scopes);
    const { method = '', path = '' } = routes[name] ?? {};
    const before = [await count('api_keys'), await count('operator_acts')];
    const line = `${method} ${path.replace('{keyId}', keyId)}`;
    const { status, body } = await api.call(line, { token: key, ...acting('member-4711'), json: {} });
    expect([status, body.code]).toEqual([403, 'people_only']);
    expect([await count('api_keys'), await count('operator_acts')]).toEqual(before);
  });
});

describe('a key that acts for customers', () => {
  let key: string;
  beforeAll(async () => {
    ({ key } = await given('customers:act'));
  });

  const me = async (externalId: string, token = key) =>
    (await api.call('GET /me', { token, ...acting(externalId) })).body.customerId as string;
  const reserve = async (saleId: SaleId, externalId: string, quantity = 1) => {
    const sent = { token: key, key: newId(), json: { quantity }, ...acting(externalId) };
    const { status, body } = await api.call(`POST /sales/${saleId}/reservations`, sent);
    return status === 202 ? 202 : body.code;
  };

  test('makes an account at first sight, and finds it from then on', async () => {
    const externalId = newId();
    const before = await count('customers');
    const first = await me(externalId);
    expect(await me(externalId)).toBe(first);
    expect(await me(externalId, (await given('customers:act')).key)).toBe(first);
    expect(await me(newId())).not.toBe(first);
    expect(await count('customers')).toBe(before + 2);
    const shown = (await api.call('GET /me', { token: key, ...acting(externalId) })).body;
    expect(shown).toMatchObject({ email: '', name: '', role: 'customer', isVerified: false });
  });

  test('makes one account, though eight calls come at once', async () => {
    const externalId = newId();
    const before = await count('customers');
    const found = await Promise.all(Array.from({ length: 8 }, () => me(externalId)));
    expect(new Set(found).size).toBe(1);
    expect(await count('customers')).toBe(before + 1);
  });

  test('finds the account that an operator gave the id, and has no more rights than a customer', async () => {
    const { customerId, email } = await api.customer();
    await deps.db.change("UPDATE customers SET role = 'admin' WHERE email = ?", [email]);
    const externalId = newId();
    const json = { externalId };
    await api.call(`POST /ops/customers/${customerId}/external-id`, { token: admin, json });
    expect(await me(externalId)).toBe(customerId);
    const { status, body } = await api.call('GET /ops/acts', { token: key, ...acting(externalId) });
    expect([status, body.code]).toEqual([403, 'missing_scope']);
    const purchase = await api.call(`GET /purchases/${newId()}`, { token: key, ...acting(externalId) });
    expect(purchase.body.code).toBe('not_found');
  });

  test('is held to the cap of each, and to what a sale asks, and not to the rate of its address', async () => {
    const saleId = await givenSale(deps, { capPerCustomer: 2 });
    const [one, other] = [newId(), newId()];
    expect(await reserve(saleId, one, 2)).toBe(202);
    expect(await reserve(saleId, one)).toBe('over_cap');
    expect(await reserve(saleId, other, 3)).toBe('over_cap');
    expect(await reserve(saleId, other, 2)).toBe(202);
    const asking = await givenSale(deps, { requiresContact: true });
    expect(await reserve(asking, one)).toBe('contact_not_verified');
    const byPerson = await givenSale(deps, { capPer: 'externalId', capPerCustomer: 1 });
    expect(await reserve(byPerson, one)).toBe(202);
    expect(await reserve(byPerson, one)).toBe('over_cap');
  });

  test('sees the reservations of the customer whom it names, and no other’s', async () => {
    const saleId = await givenSale(deps);
    const [one, other] = [newId(), newId()];
    const sent = { token: key, key: newId(), json: { quantity: 1 }, ...acting(one) };
    const { statusUrl } = (await api.call(`POST /sales/${saleId}/reservations`, sent)).body;
    const [path = ''] = statusUrl.split('?');
    const asked = (externalId: string) => api.call(`GET ${path}`, { token: key, ...acting(externalId) });
    expect((await asked(one)).status).toBe(200);
    expect((await asked(other)).body.code).toBe('not_found');
  });

  test('says for whom, in one way only, or is refused; nobody is made', async () => {
    const before = [await count('customers'), await count('person_keys')];
    const unnamed = await api.call('GET /me', { token: key });
    expect([unnamed.status, unnamed.body.code]).toEqual([403, 'customer_missing']);
    for (const externalId of ['', ' a', 'a ', 'a,b', 'a\tb', 'é', 'a\0', 'x'.repeat(256)]) {
      const { status, body } = await api.call('GET /me', { token: key, ...acting(externalId) });
      expect([externalId, status, body.code]).toEqual([externalId, 400, 'invalid_input']);
    }
    const others = (await given(...scopes.filter((scope) => scope !== 'customers:act'))).key;
    const customers = Object.values(routes).filter(({ scope }) => scope === 'customers:act');
    expect(customers.length).toBeGreaterThan(10);
    for (const { method, path } of customers) {
      const line = `${method} ${path.replace(/\{\w+\}/g, newId())}`;
      const { status, body } = await api.call(line, { token: others, ...acting(newId()) });
      expect([line, status, body.code, body.scope]).toEqual([line, 403, 'missing_scope', 'customers:act']);
    }
    expect([await count('customers'), await count('person_keys')]).toEqual(before);
    expect((await me('x'.repeat(255))).length).toBe(36);
  });

  test('an access token says itself who calls, whatever header comes with it', async () => {
    const { customerId, token } = await api.customer();
    expect(await me(newId(), token)).toBe(customerId);
    for (const malformed of ['', 'a,b', 'x'.repeat(256)]) {
      const { status, body } = await api.call('GET /me', { token, ...acting(malformed) });
      expect([status, body.code]).toEqual([400, 'invalid_input']);
    }
  });
});
