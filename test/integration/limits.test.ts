/** Limits on callers, with the rates of a shop that nobody has trusted with more. */

import { routes } from '#functions/http/routes.ts';
import { handler as connect } from '#functions/websocket/connect.ts';
import { handler as hear } from '#functions/websocket/message.ts';
import { register } from '#identity/register.ts';
import { enterConnection } from '#notification/connections.ts';
import { listen } from '#notification/listen.ts';
import { unsubscribeUrl } from '#notification/mail-notices.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { openDeps } from '#platform/environment/deps.ts';
import { perCustomerAndAddress, type Requested, takeTokens } from '#platform/handlers/limits.ts';
import { isRefusal, type Refusal } from '#platform/kernel/errors.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import { missesAtMost } from '#platform/resilience/unknown-ids.ts';
import { openTokens, type Tokens } from '#platform/security/access-token.ts';
import { edgeKeyHeader, edgeViewerHeader } from '#platform/security/edge.ts';
import type { Challenge } from '#platform/security/proof-of-work.ts';
import { openSince, requestReservation } from '#reservation/request.ts';
import { newId } from '#test/support/ids.ts';
import { type Answer, type Api, openApi, type Sent } from '../support/api.ts';
import { solve } from '../support/proof-of-work.ts';
import { givenSale } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

/** Small, so that few calls reach them, and slow, so that none is free again soon. */
const small = '3/1';
/** What the distribution of this bed would show. */
const edgeKey = 'the key of a distribution';

let bed: TestBed;
let api: Api;
let deps: Deps;

beforeAll(async () => {
  bed = await testBed({
    rules: false,
    registry: {
      'secret/edge-key': edgeKey,
      'limit/session-address': small,
      'limit/codes-caller': small,
      'limit/password-change': small,
      'limit/public-address': small,
      'limit/reservations-address': '5/1',
      'limit/reservations-customer': small,
      'limit/changes-customer': small,
      'limit/lookups-customer': small,
      'limit/messages-customer': small,
      'limit/connections-customer': small,
    },
  });
  api = openApi();
  deps = await api.deps();
});

afterAll(async () => {
  await api?.close();
  await bed?.close();
});

let lastIp = 0;
const newIp = () => `198.51.100.${++lastIp}`;

/** Calls until the answer is 429; returns it, and how many were answered otherwise before. */
async function untilLimited(call: () => Promise<Answer>): Promise<{ refused: Answer; before: number }> {
  for (let before = 0; before < 10; before++) {
    const answer = await call();
    if (answer.status === 429) return { refused: answer, before };
  }
  throw new Error('there is no limit');
}

const id = '0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b';
const lineOf = (name: string) => {
  const route = routes[name];
  if (!route) throw new Error(`there is no route ${name}`);
  return `${route.method} ${route.path.replace(/\{\w+\}/g, id)}`;
};

describe('without an account', () => {
  const json = { refreshToken: 'unheard of' };
  const perAddress: [string, Sent][] = [
    ['list-products', {}],
    ['get-product', {}],
    ['list-sales', {}],
    ['refresh', { json }],
    ['logout', { json }],
    ['ask-for-password-code', { json: { email: 'nobody@example.com' } }],
    ['reset-password', { json: { code: 'K7QM-2XRD-9FWP-J3TA', password: 'another horse battery' } }],
  ];
  /** What bounds it for the others, or that they do not ask MySQL. */
  const otherwise: Record<string, string> = {
    register: 'by address and e-mail address: identity.test.ts',
    login: 'by address and e-mail address: identity.test.ts',
    'get-sale': 'invented ones, by address: below',
    'get-sale-page': 'invented ones, by address, as above; its picture once in a while: pictures.test.ts',
    'get-unsubscribe': 'by link: below',
    unsubscribe: 'by link: below',
    'payment-webhook': 'for what is signed, or by purchase and address: toss.test.ts',
    'get-health': 'once a second: operations.test.ts',
    ...{
      'get-sale-cover': 'not',
      'get-openapi': 'not',
      'get-asyncapi': 'not',
      'get-docs': 'not',
      'get-docs-script': 'not',
    },
  };

  test('every route has a bound on what it asks MySQL', () => {
    const open = Object.entries(routes).filter(([, { auth }]) => auth === 'none' || auth === 'optional');
    const known = [...perAddress.map(([name]) => name), ...Object.keys(otherwise)];
    expect(known.sort()).toEqual(open.map(([name]) => name).sort());
  });

  test.each(perAddress)('%s takes a proof of work beyond the rate of an address', async (name, sent) => {
    await deps.redis.flushdb();
    const ip = newIp();
    const { refused, before } = await untilLimited(() => api.call(lineOf(name), { ...sent, ip }));
    expect([before, refused.body.code]).toEqual([3, 'work_required']);
    const headers = { 'x-proof-of-work': await solve(refused.body.challenge) };
    expect((await api.call(lineOf(name), { ...sent, ip, headers })).status).not.toBe(429);
    expect((await api.call(lineOf(name), { ...sent, ip, headers })).status).toBe(429);
    expect((await api.call(lineOf(name), { ...sent, ip: newIp() })).status).not.toBe(429);
  });

  test('links of mails have a rate each, however many a mail program opens from one address', async () => {
    await deps.redis.flushdb();
    const ip = newIp();
    const registry = { ...deps.registry, 'api/public': 'https://api.example.com' };
    const follow = (method: string, link: string) =>
      api.call(`${method} ${link}`, {
        ...(method === 'POST' && { text: 'List-Unsubscribe=One-Click' }),
        ...{ ip, headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      });
    const links: string[] = [];
    for (let n = 0; n < 5; n++) {
      const { customerId } = await api.customer();
      links.push(unsubscribeUrl({ registry }, customerId).replace('https://api.example.com', ''));
    }
    for (const link of links) expect([link, (await follow('POST', link)).status]).toEqual([link, 200]);
    const { refused, before } = await untilLimited(() => follow('GET', links[0] ?? ''));
    expect([before, refused.body.code]).toEqual([2, 'too_many_requests']);
    expect((await follow('POST', links[0] ?? '')).status).toBe(429);
    for (let n = 0; n < 5; n++) expect((await follow('POST', '/unsubscribe?token=abc.def')).status).toBe(404);
  });

  describe('behind the distribution', () => {
    /** What arrives of a call that comes through a distribution with this key. */
    const passedOn = (viewer: string, key = edgeKey) => ({
      ip: '203.0.113.200',
      headers: { [edgeViewerHeader]: viewer, [edgeKeyHeader]: key, 'x-forwarded-for': viewer },
    });
    const list = (sent: Sent) => api.call('GET /products', sent);
    const reserve = (saleId: string, token: string, sent: Sent) =>
      api.call(`POST /sales/${saleId}/reservations`, {
        ...{ token, key: newId(), json: { quantity: 1, fill: 'all' } },
        ...sent,
      });

    beforeEach(() => deps.redis.flushdb());

    test('those who call have rates of their own, whichever place they are passed on by', async () => {
      const one = newIp();
      const { before } = await untilLimited(() => list(passedOn(one)));
      expect(before).toBe(3);
      expect((await list(passedOn(newIp()))).status).toBe(200);
      expect((await list({ ...passedOn(one), ip: '203.0.113.201' })).status).toBe(429);
      // At the API's own address it is the same caller.
      expect((await list({ ip: one })).status).toBe(429);
    });

    test('so have those who reserve', async () => {
      const saleId = await givenSale(deps);
      const viewer = newIp();
      const statuses = [];
      for (let n = 0; n < 6; n++) {
        statuses.push((await reserve(saleId, (await api.customer()).token, passedOn(viewer))).status);
      }
      expect(statuses).toEqual([202, 202, 202, 202, 202, 429]);
      expect((await reserve(saleId, (await api.customer()).token, passedOn(newIp()))).status).toBe(202);
    });

    test.each([
      ['a key of its own', (viewer: string) => passedOn(viewer, 'the key of somebody else')],
      ['no key', (viewer: string) => ({ ip: '203.0.113.200', headers: { [edgeViewerHeader]: viewer } })],
      ['what proxies write', (viewer: string) => ({ ip: '203.0.113.200', headers: { 'x-forwarded-for': viewer } })],
    ])('whoever calls with %s and another address each time is one caller', async (_, sent) => {
      const { before } = await untilLimited(() => list(sent(newIp())));
      expect(before).toBe(3);
    });
  });

  test('an address that invents sales is answered from the mirror alone', async () => {
    const saleId = await givenSale(deps);
    expect((await api.call(`GET /sales/${saleId}`)).status).toBe(200);
    const ip = newIp();
    for (let n = 0; n < missesAtMost; n++) expect((await api.call(`GET /sales/${newId()}`, { ip })).status).toBe(404);
    const refused = await api.call(`GET /sales/${newId()}`, { ip });
    expect([refused.status, refused.body.code]).toEqual([429, 'too_many_requests']);
    expect((await api.call(`GET /sales/${saleId}`, { ip })).status).toBe(200);
    expect((await api.call(`GET /sales/${newId()}`, { ip: newIp() })).status).toBe(404);
  });
});

describe('with an account', () => {
  const reservation = { json: { quantity: 1, fill: 'all' } };
  const lookups = Object.entries(routes).filter(([, { auth, method }]) => auth === 'customer' && method === 'GET');
  const changes: [string, Sent][] = [
    ['update-me', { json: { locale: 'ko-KR' } }],
    ['reduce-reservation', { json: { quantity: 1 } }],
    ['cancel-reservation', {}],
    ['create-purchase', { key: 'k', json: { reservationIds: [id], paymentToken: 'tok_approve' } }],
    ['give-up-purchase', {}],
    ['read-notifications', { json: { notificationIds: [id] } }],
    ['create-reservation', { key: 'k', ...reservation }],
    ['end-sessions', {}],
    ['ask-for-contact-code', {}],
    ['verify-contact', { json: { code: 'K7QM-2XRD-9FWP-J3TA' } }],
    ['change-password', { json: { password: 'not the password', newPassword: 'another horse battery' } }],
    ['delete-account', { json: { password: 'not the password' } }],
  ];

  test('every route of customers is among these', () => {
    const known = [...lookups, ...changes].map(([name]) => name).sort();
    const customers = Object.entries(routes).filter(([, { auth }]) => auth === 'customer');
    expect(known).toEqual(customers.map(([name]) => name).sort());
  });

  test.each([...lookups.map(([name]): [string, Sent] => [name, {}]), ...changes])(
    '%s has a rate for each customer, whatever their address',
    async (name, sent) => {
      await deps.redis.flushdb();
      const [one, other] = [await api.customer(), await api.customer()];
      const call = (token: string) => api.call(lineOf(name), { ...sent, token, ip: newIp() });
      const { refused, before } = await untilLimited(() => call(one.token));
      expect([before, refused.body.code]).toEqual([3, 'too_many_requests']);
      expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
      expect((await call(other.token)).status).not.toBe(429);
    },
  );

  test('fresh accounts on one machine do not take a capped sale without work, and people behind one address get through', async () => {
    await deps.redis.flushdb();
    const saleId = await givenSale(deps, { allotment: 30, capPerCustomer: 1 });
    const ip = newIp();
    const reserve = (token: string, headers: Record<string, string> = {}) =>
      api.call(`POST /sales/${saleId}/reservations`, { ...reservation, token, ip, headers, key: newId() });
    const accounts: Awaited<ReturnType<Api['customer']>>[] = [];
    for (let n = 0; n < 12; n++) accounts.push(await api.customer());
    const answers = [];
    for (const { token } of accounts) answers.push(await reserve(token));
    expect(answers.map(({ status }) => status)).toEqual([...Array(5).fill(202), ...Array(7).fill(429)]);
    for (const [index, { body }] of answers.entries()) {
      if (index < 5) continue;
      expect(body.code).toBe('work_required');
      const proof = { 'x-proof-of-work': await solve(body.challenge) };
      expect((await reserve(accounts[index]?.token ?? '', proof)).status).toBe(202);
    }
  });
});

test('work that was done before a sale opened counts for nothing once it is open', async () => {
  await deps.redis.flushdb();
  const openedMs = Date.now();
  const saleId = await givenSale(deps, { reserveOpensAtMs: openedMs, purchaseOpensAtMs: openedMs });
  expect((await api.call(`GET /sales/${saleId}`)).status).toBe(200);
  /** An attempt from one machine, so long after the opening. */
  const attemptAt = (sinceOpeningMs: number, { since }: { since: boolean } = { since: true }) => {
    const then = Object.create(deps, { clock: { value: () => openedMs + sinceOpeningMs } }) as Deps;
    // Of its own, so that what is remembered goes by this clock too.
    Object.defineProperty(then, 'once', { value: openDeps(deps.registry, { clock: then.clock }).once });
    const verb = perCustomerAndAddress(
      'reservations-customer',
      'reservations-address',
      async ({ deps: own }: Requested, { buckets, refuse }) => {
        const empty = await takeTokens(own, buckets);
        return empty.length === 0 ? ('passed' as const) : refuse(empty);
      },
      since ? ({ deps: own }) => openSince(own as Deps, saleId) : undefined,
    );
    return async (proof?: string) => {
      const caller = { customerId: newId(), role: 'customer' } as const;
      const answer = await verb({ deps: then, caller, sourceIp, headers: { 'x-proof-of-work': proof } });
      return isRefusal(answer) ? answer : undefined;
    };
  };
  const sourceIp = newIp();
  const before = attemptAt(-2_000);
  for (let n = 0; n < 5; n++) expect(await before()).toBeUndefined();
  const [early, hoarded, other] = [await before(), await before(), await before()];
  for (const refusal of [early, hoarded, other]) expect(refusal?.refused).toBe('work_required');
  // Before the opening it lets an attempt pass, which the gate then answers.
  expect(await before(await solve(early?.facts?.challenge as Challenge))).toBeUndefined();

  const after = attemptAt(1);
  const late = await after(await solve(hoarded?.facts?.challenge as Challenge));
  expect(late?.refused).toBe('work_required');
  expect(await after(await solve(late?.facts?.challenge as Challenge))).toBeUndefined();

  // Control: if nobody asked since when work counts, what was hoarded would let the first second's attempts pass.
  const careless = attemptAt(1, { since: false });
  expect(await careless(await solve(other?.facts?.challenge as Challenge))).toBeUndefined();
});

describe('thirty fresh accounts on one machine, with the rates that hold unless a stack sets others', () => {
  /** What a machine does with accounts of its own; each gets its proof of work from `work`. */
  async function attack(work: (refusal: Refusal) => Promise<string | undefined>) {
    await deps.redis.flushdb();
    const registry = Object.fromEntries(Object.entries(deps.registry).filter(([name]) => !name.startsWith('limit/')));
    const strict = Object.create(deps, {
      registry: { value: registry },
      once: { value: openDeps(registry).once },
    }) as Deps;
    const saleId = await givenSale(deps, { allotment: 30, capPerCustomer: 1 });
    const sourceIp = newIp();
    const reserve = perCustomerAndAddress('reservations-customer', 'reservations-address', (call: Requested, passage) =>
      requestReservation(strict, call.caller, saleId, 'once', { quantity: 1, fill: 'all' }, passage),
    );
    let works = 0;
    const insist = async <R>(attempt: (proof?: string) => Promise<R | Refusal>): Promise<R | Refusal> => {
      const first = await attempt();
      if (!isRefusal(first) || first.refused !== 'work_required') return first;
      const proof = await work(first);
      if (proof === undefined) return first;
      works++;
      return attempt(proof);
    };
    let taken = 0;
    const startedAt = Date.now();
    for (let n = 0; n < 30; n++) {
      const person = { email: `${newId()}@example.com`, password: 'correct horse battery', name: 'Ada' };
      const account = await insist((proof) => register(strict, tokensOfBed, person, { address: sourceIp, proof }));
      if (isRefusal(account)) continue;
      const caller = { customerId: account.customerId, role: 'customer' } as const;
      const answer = await insist((proof) =>
        reserve({ deps: strict, caller, sourceIp, headers: { 'x-proof-of-work': proof } }),
      );
      if (!isRefusal(answer)) taken++;
    }
    // The rate gives one back every twelve seconds, which a busy machine may take.
    return { taken, works, free: 5 + Math.floor((Date.now() - startedAt) / 12_000) };
  }

  let tokensOfBed: Tokens;
  beforeAll(async () => {
    tokensOfBed = await openTokens(bed.registry['secret/token-signing-key'] ?? '', deps.clock);
  });

  test('do not take a capped sale without doing work', async () => {
    const { taken, works, free } = await attack(async () => undefined);
    expect([taken > 0, taken <= free, works]).toEqual([true, true, 0]);
  }, 60_000);

  test('and thirty people behind one address get what they ask for, for some work', async () => {
    const { taken, works, free } = await attack(({ facts }) => solve(facts?.challenge as Challenge));
    expect(taken).toBe(30);
    expect(works).toBeGreaterThanOrEqual(30 - free);
  }, 120_000);
});

describe('over a WebSocket', () => {
  const tokens = () => openTokens(bed.registry['secret/token-signing-key'] ?? '', deps.clock);

  test('messages have a rate for each customer, over all connections', async () => {
    const customerId: CustomerId = newId();
    const caller = { customerId, expiresAtMs: Date.now() + 60_000 };
    const connections = [newId(), newId()];
    for (const connectionId of connections) await enterConnection(deps, caller, connectionId);
    const answers = [];
    for (let n = 0; n < 4; n++) {
      answers.push(await listen(deps, (await tokens()).verify, connections[n % 2] ?? '', { action: 'ping' }));
    }
    expect(answers.slice(0, 3)).toEqual([{ type: 'pong' }, { type: 'pong' }, { type: 'pong' }]);
    expect(answers[3]).toMatchObject({ refused: 'too_many_requests' });
  });

  test('a message that nobody understands counts like every other', async () => {
    const customerId: CustomerId = newId();
    const connectionId = newId();
    await enterConnection(deps, { customerId, expiresAtMs: Date.now() + 60_000 }, connectionId);
    const send = async (body: string) => {
      const event = { requestContext: { routeKey: '$default', connectionId, requestId: newId() }, body };
      type Given = Parameters<typeof hear>;
      const { statusCode } = (await hear(event as unknown as Given[0], {} as Given[1])) as { statusCode: number };
      return statusCode;
    };
    const answers = [await send('{'), await send('{"action":"shout"}'), await send('x'.repeat(5_000)), await send('{')];
    expect(answers).toEqual([400, 400, 413, 429]);
  });

  test('so have connections', async () => {
    const customerId: CustomerId = newId();
    const token = await (await tokens()).issue({ customerId, role: 'customer' });
    const open = async () => {
      const event = {
        requestContext: { routeKey: '$connect', connectionId: newId(), requestId: newId() },
        queryStringParameters: { token },
      };
      type Given = Parameters<typeof connect>;
      const { statusCode } = (await connect(event as unknown as Given[0], {} as Given[1])) as { statusCode: number };
      return statusCode;
    };
    expect([await open(), await open(), await open(), await open()]).toEqual([200, 200, 200, 429]);
  });

  test('watching invented sales ends like asking for them', async () => {
    const customerId: CustomerId = newId();
    const connectionId = newId();
    const generous = { ...deps.registry, 'limit/messages-customer': '1000/1000' };
    const trusting = Object.create(deps, { registry: { value: generous } }) as Deps;
    await enterConnection(deps, { customerId, expiresAtMs: Date.now() + 60_000 }, connectionId);
    const watch = async () =>
      listen(trusting, (await tokens()).verify, connectionId, { action: 'watch', saleId: newId() });
    for (let n = 0; n < missesAtMost; n++) expect(await watch()).toMatchObject({ refused: 'not_found' });
    const refused = await watch();
    expect(isRefusal(refused) && refused.refused).toBe('too_many_requests');
  });
});
