/** Customers with access tokens of other issuers, from a real OpenID Connect server; and accounts of our own switched off. */
import type { APIGatewayProxyWebsocketEventV2, Context } from 'aws-lambda';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { routes } from '#functions/http/routes.ts';
import { handler as connectHandler } from '#functions/websocket/connect.ts';
import { askForPasswordCode } from '#identity/codes.ts';
import { findOrMakeCustomer } from '#identity/external-customer.ts';
import { keysCountMs, keysRememberedMs, keysRereadMs, readIssuerKeys } from '#identity/issuer-keys.ts';
import { outsideCaller } from '#identity/outside-caller.ts';
import { resetPassword } from '#identity/passwords.ts';
import { register } from '#identity/register.ts';
import { rememberedMs } from '#identity/remember.ts';
import { login, refresh } from '#identity/session.ts';
import { listen } from '#notification/listen.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { openVerify, sharedTokens } from '#platform/handlers/authentication.ts';
import { takesOutside } from '#platform/handlers/route.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import { type CustomerId, toBytes } from '#platform/kernel/ids.ts';
import { loopbackName } from '#platform/kernel/registry.ts';
import { openBreakers } from '#platform/resilience/circuit-breaker.ts';
import { accessTokenLifeSeconds } from '#platform/security/access-token.ts';
import { newId } from '#test/support/ids.ts';
import { type Api, openApi, password } from '../support/api.ts';
import { withDeps } from '../support/deps.ts';
import { audience, type OidcServer, startOidc } from '../support/oidc.ts';
import { givenSale } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;
let shop: OidcServer;
let partner: OidcServer;
const servers: OidcServer[] = [];
let setting: { ownAccounts?: boolean; issuers: object[] };

beforeAll(async () => {
  [shop, partner] = await Promise.all([server(), server()]);
  const issuers = [shop, partner].map(({ issuer }) => ({ issuer, audience, emailClaim: 'email' }));
  setting = { issuers };
  bed = await testBed({ rules: false, registry: { 'auth/customers': JSON.stringify(setting) } });
  api = openApi();
  deps = await api.deps();
  await readIssuerKeys(deps);
}, 60_000);

afterAll(async () => {
  await api?.close();
  await Promise.all([bed?.close(), ...servers.map((one) => one.close())]);
});

/** Another issuer, which is closed at the end. */
async function server(options: Parameters<typeof startOidc>[0] = {}): Promise<OidcServer> {
  const started = await startOidc(options);
  servers.push(started);
  return started;
}
const aName = () => `ada-${newId()}`;
const me = async (token: string) => (await api.call('GET /me', { token })).body;
async function tokenOf(name: string, server = shop): Promise<string> {
  return (await server.signIn(name)).accessToken;
}
const customers = async () => (await deps.db.rows<{ id: Buffer }>('SELECT id FROM customers')).length;

/** Another environment, whose clock the test sets and which loses MySQL when it says so. */
function environment(registry: Record<string, string> = {}) {
  const at = { ms: Date.now(), out: false, reads: 0 };
  const rows: Deps['db']['rows'] = (sql, values) => {
    at.reads++;
    if (at.out) return Promise.reject(Object.assign(new Error('gone'), { code: 'ECONNREFUSED' }));
    return deps.db.rows(sql, values);
  };
  const db = { ...deps.db, rows };
  const elsewhere = withDeps(deps, { clock: () => at.ms, db, registry: { ...deps.registry, ...registry } });
  const outcome = async (token: string): Promise<string> => {
    const caller = await outsideCaller(elsewhere, token);
    return caller === undefined ? 'unknown' : isRefusal(caller) ? caller.refused : caller.customerId;
  };
  return { at, outcome, deps: elsewhere };
}

describe('who comes with a token of an issuer', () => {
  test('is a customer at first sight, and the same one from then on, and nothing more', async () => {
    const name = aName();
    const before = await customers();
    const { accessToken } = await shop.signIn(name);
    const answers = await Promise.all([1, 2, 3].map(() => me(accessToken)));
    const [first] = answers;
    expect(first).toMatchObject({ role: 'customer', name: '', email: `${name}@people.example`, isVerified: true });
    expect(new Set(answers.map(({ customerId }) => customerId)).size).toBe(1);
    expect((await me(await tokenOf(name))).customerId).toBe(first.customerId);
    expect(await customers()).toBe(before + 1);
    const [row] = await deps.db.rows<{ externalId: string }>(
      'SELECT external_id AS externalId FROM customers WHERE id = ?',
      [toBytes(first.customerId)],
    );
    expect(row?.externalId).toBe(`${shop.issuer}|${name}`);
  });

  test('is somebody else with the same subject of another issuer, whose address is theirs alone', async () => {
    const name = aName();
    const [one, other] = [await me(await tokenOf(name)), await me(await tokenOf(name, partner))];
    expect(other.customerId).not.toBe(one.customerId);
    expect([one.isVerified, other.isVerified]).toEqual([true, false]);
  });

  test('is the customer for whom an API key acts by the same external id', async () => {
    const name = aName();
    const { customerId } = await me(await tokenOf(name));
    const json = { name: 'Shop', scopes: ['customers:act'] };
    const { key } = (await api.call('POST /ops/api-keys', { token: await api.operator('admin'), json })).body;
    const headers = { 'holdfast-customer': `${shop.issuer}|${name}` };
    expect((await api.call('GET /me', { token: key, headers })).body.customerId).toBe(customerId);
  });

  test.each(['externalId', 'contact'] as const)('reserves where a sale counts by %s', async (capPer) => {
    const saleId = await givenSale(deps, { capPer, capPerCustomer: 1 });
    const token = await tokenOf(aName());
    const sent = { token, key: newId(), json: { quantity: 1 } };
    const { status, body } = await api.call(`POST /sales/${saleId}/reservations`, sent);
    expect([status, body.code]).toEqual([202, undefined]);
    const unverified = await server({ verified: false });
    const issuers = [...setting.issuers, { issuer: unverified.issuer, audience, emailClaim: 'email' }];
    const there = environment({ 'auth/customers': JSON.stringify({ issuers }) });
    await readIssuerKeys(there.deps);
    const caller = await outsideCaller(there.deps, await tokenOf(aName(), unverified));
    expect(caller).toMatchObject({ externalSinceMs: 0 });
    expect(caller).not.toMatchObject({ contactSinceMs: expect.any(Number) });
  });

  test('has what every customer has: lists, settings, an export', async () => {
    const name = aName();
    const token = await tokenOf(name);
    const changed = await api.call('PATCH /me', { token, json: { locale: 'ko-KR' } });
    expect([changed.status, changed.body.locale]).toEqual([200, 'ko-KR']);
    for (const line of ['GET /reservations', 'GET /purchases', 'GET /notifications', 'GET /me/sessions']) {
      expect([line, (await api.call(line, { token })).body.items]).toEqual([line, []]);
    }
    const { profile, externalId } = (await api.call('GET /me/export', { token })).body;
    expect([profile, externalId]).toEqual([changed.body, `${shop.issuer}|${name}`]);
  });

  test('is told that the rest is for accounts of our own, and changes nothing', async () => {
    const token = await tokenOf(aName());
    await me(token);
    const lines = [
      ...['POST /me/contact/code', 'DELETE /me/sessions', 'GET /ops/acts', 'GET /ops/operators', 'POST /ops/reconcile'],
      ...[`POST /ops/customers/${newId()}/external-id`, `GET /ops/sales/${newId()}`],
    ];
    for (const line of lines) {
      const { status, body } = await api.call(line, { token });
      expect([line, status, body.code]).toEqual([line, 403, 'own_account_needed']);
    }
    for (const [line, json] of [
      ['POST /me/password', { password, newPassword: 'another horse battery' }],
      ['POST /me/contact', { code: 'K7QM-2XRD-9FWP-J3TA' }],
    ] as const) {
      expect((await api.call(line, { token, json })).body.code).toBe('own_account_needed');
    }
    expect((await api.call('GET /sales', { token })).status).toBe(200);
  });

  test('gets no role, since nobody could act with it', async () => {
    const { customerId } = await me(await tokenOf(aName()));
    const token = await api.operator('admin');
    const { status, body } = await api.call('POST /ops/operators', { token, json: { customerId, role: 'admin' } });
    expect([status, body.code]).toEqual([409, 'illegal_state']);
    const [row] = await deps.db.rows('SELECT role FROM customers WHERE id = ?', [toBytes(customerId)]);
    expect(row).toEqual({ role: 'customer' });
  });

  test('is a customer also if their external id is an operator’s', async () => {
    const operator = await api.operator();
    const { customerId } = await me(operator);
    const name = aName();
    const json = { externalId: `${shop.issuer}|${name}` };
    expect((await api.call(`POST /ops/customers/${customerId}/external-id`, { token: operator, json })).status).toBe(
      200,
    );
    const token = await tokenOf(name);
    expect((await me(token)).customerId).toBe(customerId);
    expect((await api.call('GET /ops/acts', { token })).body.code).toBe('own_account_needed');
    // Nor does the issuer's word change an address that a password opens.
    expect((await me(token)).email).toBe((await me(operator)).email);
  });
});

describe('a token that is not accepted', () => {
  test('has a reason, and makes no customer', async () => {
    const { idToken, accessToken } = await shop.signIn(aName());
    const before = await customers();
    const answer = await api.call('GET /me', { token: idToken });
    expect([answer.status, answer.body.code, answer.body.reason]).toEqual([401, 'token_not_accepted', 'type']);
    const changed = `${accessToken.slice(0, -8)}${accessToken.endsWith('AAAAAAAA') ? 'BBBBBBBB' : 'AAAAAAAA'}`;
    expect((await api.call('GET /me', { token: changed })).body.reason).toBe('signature');
    const { at, outcome } = environment();
    at.ms += (600 + 31) * 1_000;
    expect(await outcome(accessToken)).toBe('token_not_accepted');
    expect(await customers()).toBe(before);
  });

  test('is refused by every route that takes such tokens, and no other looks at it', async () => {
    const { idToken: token } = await shop.signIn(aName());
    const before = await customers();
    for (const route of Object.values(routes).filter(({ auth }) => auth !== 'none' && auth !== 'optional')) {
      const line = `${route.method} ${route.path.replace(/\{\w+\}/g, newId())}`;
      const { body } = await api.call(line, { token });
      expect([line, body.code]).toEqual([line, takesOutside(route) ? 'token_not_accepted' : 'own_account_needed']);
    }
    expect(await customers()).toBe(before);
  });

  test('is one of an issuer that is not set, as any text', async () => {
    const { accessToken } = await shop.signIn(aName());
    const { outcome } = environment({ 'auth/customers': '{}' });
    expect(await outcome(accessToken)).toBe('unknown');
    const { privateKey } = await generateKeyPair('RS256');
    const stranger = new SignJWT({ iss: 'https://other.example.com', sub: 'ada' }).setProtectedHeader({ alg: 'RS256' });
    for (const token of [await stranger.sign(privateKey), 'any text']) {
      const { status, body } = await api.call('GET /me', { token });
      expect([status, body.code]).toEqual([401, 'unauthenticated']);
    }
  });

  test.each(['ada, of the shop', 'ada ', 'ä', 'a'.repeat(256)])(
    'may have the subject %j, which is no external id',
    async (sub) => {
      const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true });
      const issuer = `https://${newId()}.example.com`;
      const stored = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'one' }] });
      const values = [[issuer, stored, Date.now()]];
      await deps.db.change('INSERT INTO issuer_keys (issuer, signing_keys, read_at_ms) VALUES (?)', values);
      const token = await new SignJWT({ sub, iss: issuer, aud: 'shop' })
        .setProtectedHeader({ alg: 'RS256', kid: 'one', typ: 'at+jwt' })
        .setIssuedAt()
        .setExpirationTime('10 minutes')
        .sign(privateKey);
      const there = environment({ 'auth/customers': JSON.stringify({ issuers: [{ issuer, audience: 'shop' }] }) });
      expect(await outsideCaller(there.deps, token)).toMatchObject({
        refused: 'token_not_accepted',
        facts: { reason: 'subject' },
      });
    },
  );
});

describe('the keys of an issuer', () => {
  test('that are new count within a minute, and those before for as long as they are published', async () => {
    const issuer = await server();
    const {
      at,
      outcome,
      deps: there,
    } = environment({
      'auth/customers': JSON.stringify({ issuers: [{ issuer: issuer.issuer, audience }] }),
    });
    const early = (await issuer.signIn(aName())).accessToken;
    expect(await outcome(early)).toBe('issuer_unavailable');
    await readIssuerKeys(there);
    at.ms += keysRereadMs;
    const first = await outcome(early);
    expect(first).toMatch(/^[0-9a-f-]{36}$/);
    issuer.replaceKey(true);
    const late = (await issuer.signIn(aName())).accessToken;
    at.ms += keysRereadMs;
    const refused = await outsideCaller(there, late);
    expect(refused).toMatchObject({ refused: 'unknown_token_key', facts: { retryAfterSeconds: 60 } });
    await readIssuerKeys(there);
    at.ms += keysRereadMs;
    expect(await outcome(late)).toMatch(/^[0-9a-f-]{36}$/);
    expect(await outcome(early)).toBe(first);
    issuer.replaceKey(false);
    await readIssuerKeys(there);
    at.ms += keysRememberedMs;
    expect([await outcome(early), await outcome(late)]).toEqual(['unknown_token_key', 'unknown_token_key']);
  });

  test('are not asked for by a flood of tokens with unknown keys, neither there nor in MySQL', async () => {
    const { at, outcome } = environment();
    const { accessToken } = await shop.signIn(aName());
    await outcome(accessToken);
    const before = shop.requests();
    const { privateKey } = await generateKeyPair('RS256');
    const forged = (kid: string) =>
      new SignJWT({ sub: 'ada', iss: shop.issuer, aud: audience })
        .setProtectedHeader({ alg: 'RS256', kid, typ: 'at+jwt' })
        .setIssuedAt()
        .setExpirationTime('10 minutes')
        .sign(privateKey);
    const tokens = await Promise.all(Array.from({ length: 50 }, (_, n) => forged(`unknown-${n}`)));
    at.ms += keysRereadMs;
    at.reads = 0;
    const outcomes = await Promise.all(tokens.map(outcome));
    expect(new Set(outcomes)).toEqual(new Set(['unknown_token_key']));
    expect(at.reads).toBe(1);
    expect(shop.requests()).toBe(before);
  });

  test('count for a day while the issuer fails, is silent, or answers for another; its breaker opens', async () => {
    const issuer = await server();
    const registry = { 'auth/customers': JSON.stringify({ issuers: [{ issuer: issuer.issuer, audience }] }) };
    const { at, outcome, deps: there } = environment(registry);
    await readIssuerKeys(there);
    const { accessToken } = await issuer.signIn(aName());
    const customerId = await outcome(accessToken);
    for (const how of ['failing', 'never', 'as another'] as const) {
      issuer.answers(how);
      const another = environment(registry);
      const breakers = openBreakers();
      const before = issuer.requests();
      await readIssuerKeys(withDeps(another.deps, { breakers }));
      expect(issuer.requests()).toBe(before + 2);
      expect(breakers.states()).toEqual({ [`issuer ${issuer.issuer}`]: 'open' });
      expect(await another.outcome(accessToken)).toBe(customerId);
    }
    at.ms += keysCountMs;
    expect(await outcome(accessToken)).toBe('issuer_unavailable');
  });

  test('are remembered while MySQL is unavailable, and so are customers, for as long as our own tokens live', async () => {
    const { at, outcome } = environment();
    const { accessToken } = await shop.signIn(aName());
    const customerId = await outcome(accessToken);
    const stranger = await tokenOf(aName());
    at.out = true;
    at.ms += accessTokenLifeSeconds * 1_000 - 5_000;
    expect(await outcome(accessToken)).toBe(customerId);
    await expect(outcome(stranger)).rejects.toThrow('gone');
  });

  test('are not read from this machine but where the local stack allows it', async () => {
    const { [loopbackName]: _, ...registry } = deps.registry;
    const before = shop.requests();
    await readIssuerKeys(withDeps(deps, { registry }));
    expect(shop.requests()).toBe(before);
  });
});

describe('the account of a customer of another issuer', () => {
  test('follows the address that the issuer has verified, and frees the one before', async () => {
    const externalId = newId();
    const address = (name: string) => `${name}-${externalId}@example.com`;
    const first = await findOrMakeCustomer(deps, externalId, address('one'));
    expect(first.contactSinceMs).toBe(0);
    const again = await findOrMakeCustomer(deps, externalId, address('two'));
    expect(again).toEqual({ ...first, contactSinceMs: 0 });
    expect(await findOrMakeCustomer(deps, externalId, `two-${externalId}+tag@example.com`)).toEqual(again);
    const other = await findOrMakeCustomer(deps, newId(), address('one'));
    expect(other.contactSinceMs).toBeGreaterThan(0);
    const third = await findOrMakeCustomer(deps, newId(), address('two'));
    expect(third.contactSinceMs).toBeUndefined();
  });

  test('gets no code with which a password could be set', async () => {
    const name = aName();
    await me(await tokenOf(name));
    const { findAccountsOf } = await import('#identity/customer.store.ts');
    expect(await findAccountsOf(deps.db, `${name}@people.example`, 10)).toEqual([]);
  });

  test('is deleted without a password, and the next token makes another', async () => {
    const name = aName();
    const { accessToken: token } = await shop.signIn(name);
    const { customerId } = await me(token);
    const wrong = await api.call('POST /me/deletion', { token, json: { password } });
    expect([wrong.status, wrong.body.code]).toEqual([401, 'invalid_credentials']);
    expect((await me(token)).customerId).toBe(customerId);
    expect((await api.call('POST /me/deletion', { token, json: {} })).status).toBe(204);
    const { at, outcome } = environment();
    at.ms += rememberedMs;
    const next = await outcome(token);
    expect(next).toMatch(/^[0-9a-f-]{36}$/);
    expect(next).not.toBe(customerId);
    // The person is known to have been here before, so a sale that counts by person is not begun anew.
    const caller = await outsideCaller(environment().deps, token);
    expect(caller).toMatchObject({ externalSinceMs: expect.any(Number) });
    expect((caller as { externalSinceMs: number }).externalSinceMs).toBeGreaterThan(0);
  });

  test('of our own is not deleted without its password', async () => {
    const { token } = await api.customer();
    const { status, body } = await api.call('POST /me/deletion', { token, json: {} });
    expect([status, body.code]).toEqual([401, 'invalid_credentials']);
    expect((await api.call('GET /me', { token })).status).toBe(200);
  });
});

describe('the WebSocket', () => {
  const event = (connectionId: string, token: string) =>
    ({
      requestContext: { connectionId, requestId: newId(), routeKey: '$connect' },
      queryStringParameters: { token },
    }) as unknown as APIGatewayProxyWebsocketEventV2;
  const connect = async (connectionId: string, token: string) =>
    (await connectHandler(event(connectionId, token), {} as Context)) as { statusCode: number; body?: string };

  test('is opened with such a token, and kept by the next one', async () => {
    const name = aName();
    const connectionId = newId();
    expect((await connect(connectionId, await tokenOf(name))).statusCode).toBe(200);
    const verify = await openVerify(deps, outsideCaller);
    const say = (token: string) => listen(deps, verify, connectionId, { action: 'authenticate', token });
    expect(await say(await tokenOf(name))).toEqual({ type: 'authenticated' });
    expect(await say(await tokenOf(aName()))).toMatchObject({ refused: 'forbidden' });
    expect(await say((await shop.signIn(name)).idToken)).toMatchObject({ refused: 'token_not_accepted' });
  });

  test('ends when its account is deleted', async () => {
    const [name, connectionId] = [aName(), newId()];
    const token = await tokenOf(name);
    await connect(connectionId, token);
    const verify = await openVerify(deps, outsideCaller);
    const ping = () => listen(deps, verify, connectionId, { action: 'ping' });
    expect(await ping()).toEqual({ type: 'pong' });
    expect((await api.call('POST /me/deletion', { token, json: { password } })).status).toBe(401);
    expect(await ping()).toEqual({ type: 'pong' });
    expect((await api.call('POST /me/deletion', { token, json: {} })).status).toBe(204);
    expect(await ping()).not.toEqual({ type: 'pong' });
  });

  test('is not opened with another token of the issuer', async () => {
    const { statusCode, body } = await connect(newId(), (await shop.signIn(aName())).idToken);
    expect([statusCode, JSON.parse(body ?? '{}').code]).toEqual([401, 'token_not_accepted']);
  });
});

describe('where accounts of our own are switched off', () => {
  const there = () => environment({ 'auth/customers': JSON.stringify({ ...setting, ownAccounts: false }) });
  const attempt = { address: '192.0.2.7' };

  test('nobody registers, signs in as a customer, stays signed in, or has a password set', async () => {
    const { deps: off } = there();
    const tokens = await sharedTokens(deps);
    const known = await api.customer();
    const registration = { email: `${newId()}@example.com`, password, name: 'Ada' };
    const before = await customers();
    const anonymous = { customerId: '' as CustomerId, role: 'customer' } as const;
    const ended = async () => undefined;
    for (const refused of [
      await register(off, tokens, registration, attempt),
      await login(off, tokens, { email: known.email, password }, attempt),
      await refresh(off, tokens, known.refreshToken),
      await askForPasswordCode(off, known.email),
      await resetPassword(off, anonymous, { code: 'K7QM2XRD9FWPJ3TA', password }, attempt, ended),
    ]) {
      expect(refused).toMatchObject({ refused: 'own_accounts_off' });
    }
    expect(await customers()).toBe(before);
    const wrong = await login(off, tokens, { email: known.email, password: 'not the password' }, attempt);
    expect(wrong).toMatchObject({ refused: 'invalid_credentials' });
  });

  test('those who run sales sign in as before', async () => {
    const { deps: off } = there();
    const tokens = await sharedTokens(deps);
    const { email } = await me(await api.operator());
    const session = await login(off, tokens, { email, password }, attempt);
    expect(session).toMatchObject({ accessToken: expect.any(String) });
    const { refreshToken } = session as { refreshToken: string };
    expect(await refresh(off, tokens, refreshToken)).toMatchObject({ accessToken: expect.any(String) });
  });
});
