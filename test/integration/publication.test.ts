/**
 * Drafts and private sales: for whom a sale is there. Invariant of the first part: whatever a customer can call, a sale that is
 * not there for them is answered as an id that no sale has.
 */
import { routes } from '#functions/http/routes.ts';
import { advanceSale } from '#launch/advance-sale.ts';
import { waitFor } from '#local/wait.ts';
import { readLiveSale } from '#mirror/live-sale.ts';
import { primeMirror } from '#mirror/mirror.ts';
import { enterConnection, watchersOfSales } from '#notification/connections.ts';
import { listen } from '#notification/listen.ts';
import { liveOf, pushLive } from '#notification/push-changes.ts';
import type { Deps } from '#platform/environment/deps.ts';
import type { Route } from '#platform/handlers/route.ts';
import { type CustomerId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { missesAtMost } from '#platform/resilience/unknown-ids.ts';
import { openTokens, type Tokens } from '#platform/security/access-token.ts';
import { allocateBatch } from '#reservation/allocate.ts';
import { saleTag } from '#sale/sale-id.ts';
import { accessOf } from '#sale/visibility.ts';
import { newId } from '#test/support/ids.ts';
import { type Answer, type Api, openApi } from '../support/api.ts';
import { withDeps } from '../support/deps.ts';
import { delivered, givenSale, type SaleTerms, soon } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;
let tokens: Tokens;
let operator: string;
let productId: string;
/** What was handed to the bus. */
const published: { detailType: string; detail: string }[] = [];

const hourMs = 3_600_000;
const code = 'friends-of-the-house';

beforeAll(async () => {
  bed = await testBed({ rules: false });
  api = openApi();
  deps = await api.deps();
  await redisReady(deps.redis);
  const { publish: toBus } = deps.bus;
  deps.bus.publish = (events) => {
    published.push(...events);
    return toBus.call(deps.bus, events);
  };
  tokens = await openTokens(bed.registry['secret/token-signing-key'] ?? '', deps.clock);
  operator = await api.operator();
  const product = { sku: 'LAMP', name: 'Lamp', description: '', price: { amountMinor: 100, currency: 'EUR' } };
  productId = (await api.call('POST /products', { json: product, token: operator })).body.productId;
});

afterAll(async () => {
  await api?.close();
  await bed?.close();
});

const iso = (ms: number) => new Date(ms).toISOString();
/** Times of a sale whose reservations open in an hour. */
const later = () => ({
  reserveOpensAt: iso(Date.now() + hourMs),
  reserveClosesAt: iso(Date.now() + 2 * hourMs),
  purchaseOpensAt: iso(Date.now() + 2 * hourMs),
  purchaseClosesAt: iso(Date.now() + 3 * hourMs),
});
const laterMs = () => ({
  reserveOpensAtMs: Date.now() + hourMs,
  reserveClosesAtMs: Date.now() + 2 * hourMs,
  purchaseOpensAtMs: Date.now() + 2 * hourMs,
  purchaseClosesAtMs: Date.now() + 3 * hourMs,
});
const newSale = (change: object = {}) =>
  api.call('POST /sales', {
    token: operator,
    json: { productId, name: 'Quiet sale', allotment: 10, capPerCustomer: 5, ...later(), ...change },
  });
const change = (saleId: SaleId, json: object) => api.call(`PATCH /sales/${saleId}`, { token: operator, json });
const publish = (saleId: SaleId) => api.call(`POST /sales/${saleId}/publish`, { token: operator });
const reserve = (saleId: SaleId, token: string, shown: object = {}, key = newId()) =>
  api.call(`POST /sales/${saleId}/reservations`, { token, key, json: { quantity: 1, ...shown } });

/** Opens a WebSocket connection of a customer and watches a sale. */
async function watch(saleId: SaleId, shown: object = {}) {
  const connectionId = newId();
  const customerId: CustomerId = newId();
  const expiresAtMs = Date.now() + hourMs;
  await enterConnection(deps, { customerId, sessionId: undefined, expiresAtMs }, connectionId);
  const said = await listen(deps, tokens.verify, connectionId, { action: 'watch', saleId, ...shown });
  return { connectionId, said };
}

/** Waits until reading a sale is answered so: what a reader remembers is a fifth of a second old. */
const answers = (status: number, saleId: SaleId, shown = '') =>
  waitFor(`${status} for a sale`, async () => (await api.call(`GET /sales/${saleId}${shown}`)).status === status, {
    timeoutMs: 10_000,
  });

/** What was published of a sale under a name. */
function eventsOf(saleId: SaleId, name: string): Record<string, unknown>[] {
  return published
    .filter(({ detailType }) => detailType === name)
    .map(({ detail }) => JSON.parse(detail))
    .filter((detail) => detail.saleId === saleId);
}

/** Sales that are not there for who shows what is named with them. */
const hidden: Record<string, { terms: Partial<SaleTerms>; shown: string | undefined }> = {
  'a draft': { terms: { publicFromMs: null }, shown: undefined },
  'a sale that becomes public later': { terms: { ...laterMs(), publicFromMs: Date.now() + hourMs }, shown: undefined },
  'a private sale without its code': { terms: { accessCode: code }, shown: undefined },
  'a private sale with a wrong code': { terms: { accessCode: code }, shown: 'enemies-of-the-house' },
  'a private draft with its code': { terms: { accessCode: code, publicFromMs: null }, shown: code },
};

describe('a sale that is not there', () => {
  /** What customers, and those who are nobody, can call. */
  const isOpen = ({ auth }: Route) => auth === 'none' || auth === 'optional' || auth === 'customer';
  const reachable = Object.entries(routes).filter(([, route]) => isOpen(route));
  const ofOneSale = reachable.filter(([, { path }]) => path.includes('{saleId}')).map(([name]) => name);
  /** How a customer calls what names a sale; a new route must say it here. */
  const calls: Record<string, (saleId: SaleId, token: string, shown: string | undefined) => Promise<Answer>> = {
    'get-sale': (saleId, token, shown) => api.call(`GET /sales/${saleId}${shown ? `?code=${shown}` : ''}`, { token }),
    'create-reservation': (saleId, token, shown) => reserve(saleId, token, shown ? { code: shown } : {}),
    'get-sale-page': (saleId, _token, shown) => api.call(`GET /pages/sales/${saleId}${shown ? `?code=${shown}` : ''}`),
    'get-sale-cover': (saleId) => api.call(`GET /pages/sales/${saleId}/cover`),
  };
  /** Pages are drawn for any id: what they say of a sale that is not there is what they say of none, and nothing is kept. */
  const drawn: Record<string, (answer: Answer) => unknown[]> = {
    'get-sale-page': ({ status, text, headers }) => [status, text, headers['cache-control']],
    // The picture follows from the id alone.
    'get-sale-cover': ({ status, headers }) => [status, headers['content-type'], headers['cache-control']],
  };
  const lists = reachable
    .filter(([, { method, path }]) => method === 'GET' && !path.includes('{'))
    .map(([, { path }]) => path);

  test('every call that names a sale is in the table', () => {
    expect(Object.keys(calls).sort()).toEqual([...ofOneSale].sort());
  });

  test.each(Object.keys(hidden))('%s is answered like an id that no sale has', async (what) => {
    const { terms = {}, shown } = hidden[what] ?? {};
    const saleId = await givenSale(deps, terms);
    const { token } = await api.customer();
    const refusal = ({ status, body }: Answer) => [status, body.code, body.title, body.detail];
    for (const isWarm of [false, true]) {
      if (isWarm) await primeMirror(deps, saleId);
      for (const [name, call] of Object.entries(calls)) {
        const [found, unknown] = [await call(saleId, token, shown), await call(newId(), token, shown)];
        const said = drawn[name] ?? refusal;
        expect([name, isWarm, ...said(found)]).toEqual([name, isWarm, ...said(unknown)]);
        expect([name, found.status]).toEqual([name, name in drawn ? 200 : 404]);
      }
      const query = shown ? { code: shown } : {};
      expect((await watch(saleId, query)).said).toEqual((await watch(newId(), query)).said);
      expect(await watchersOfSales(deps, [saleId])).toEqual(new Map());
    }
    for (const path of lists) {
      const { text } = await api.call(`GET ${path}`, { token });
      expect([path, text.includes(saleId), text.includes(code)]).toEqual([path, false, false]);
    }
    expect(await deps.redis.hget(keys.sale(saleTag(saleId)), 'line')).toBeNull();
  });

  test('costs MySQL no more than an unknown id, and nothing once it is in the mirror', async () => {
    const { token } = await api.customer();
    const saleId = await givenSale(deps, { accessCode: code });
    await primeMirror(deps, saleId);
    const { rows } = deps.db;
    let asked = 0;
    const count: typeof rows = (sql, values) => {
      if (/FROM sales/.test(sql)) asked++;
      return rows.call(deps.db, sql, values) as never;
    };
    Object.assign(deps.db, { rows: count });
    try {
      for (const [name, call] of Object.entries(calls)) {
        const { status } = await call(saleId, token, undefined);
        expect([name, status]).toEqual([name, name in drawn ? 200 : 404]);
      }
      expect(asked).toBe(0);
    } finally {
      Object.assign(deps.db, { rows });
    }
  });

  test('whoever guesses at codes has to wait, also with the right one', async () => {
    const saleId = await givenSale(deps, { accessCode: code });
    const { token } = await api.customer();
    const ip = '203.0.113.77';
    const read = (shown: string) => api.call(`GET /sales/${saleId}?code=${shown}`, { ip });
    for (let n = 0; n < missesAtMost; n++) {
      expect((await read(`guess-${n}`)).status).toBe(404);
      expect((await reserve(saleId, token, { code: `guess-${n}` })).status).toBe(404);
    }
    expect((await read(code)).status).toBe(429);
    expect((await reserve(saleId, token, { code })).body.code).toBe('too_many_requests');
    expect((await api.call(`GET /sales/${saleId}?code=${code}`)).status).toBe(200);
  });

  test('is not decided in anybody’s favour without the gate', async () => {
    const [draft, secret] = [
      await givenSale(deps, { publicFromMs: null }),
      await givenSale(deps, { accessCode: code }),
    ];
    const ungated = { ticket: undefined };
    const batch = [
      delivered(draft),
      delivered(draft, ungated),
      delivered(secret, ungated),
      delivered(secret, { ...ungated, access: accessOf(secret, 'wrong-code') }),
      delivered(secret, { ...ungated, access: accessOf(secret, code) }),
    ];
    expect(await allocateBatch(deps, batch, soon())).toEqual([]);
    const outcomes = await Promise.all(
      batch.map(async ({ message }) => {
        const rows = await deps.db.rows<{ state: string; reason: string | null }>(
          'SELECT state, reason FROM reservations WHERE id = ?',
          [toBytes(message.reservationId)],
        );
        return [rows[0]?.state, rows[0]?.reason];
      }),
    );
    const no = ['rejected', 'not_found'];
    expect(outcomes).toEqual([no, no, no, no, ['allocated', null]]);
  });

  test('is not taken from terms that an older build has mirrored', async () => {
    const saleId = await givenSale(deps, { accessCode: code });
    await primeMirror(deps, saleId);
    await deps.redis.hdel(keys.sale(saleTag(saleId)), 'public', 'access');
    const { token } = await api.customer();
    expect((await reserve(saleId, token)).status).toBe(404);
    expect(await deps.redis.hget(keys.sale(saleTag(saleId)), 'access')).toBe(accessOf(saleId, code));
  });
});

describe('a draft', () => {
  test('is made, found by operators, published, and found by everybody', async () => {
    const created = await newSale({ publishAt: null });
    expect([created.status, created.body.publishAt, created.body.requiresCode]).toEqual([201, null, false]);
    const { saleId } = created.body;
    const everywhere = async () => {
      const [one, list] = [await api.call(`GET /sales/${saleId}`), await api.call('GET /sales?limit=100')];
      return [one.status, list.body.items.some((sale: { saleId: string }) => sale.saleId === saleId)];
    };
    expect(await everywhere()).toEqual([404, false]);
    const viewer = await api.operator('viewer');
    const all = await api.call('GET /ops/sales?limit=100', { token: viewer });
    expect(all.body.items.map((sale: { saleId: string }) => sale.saleId)).toContain(saleId);
    const inside = await api.call(`GET /ops/sales/${saleId}`, { token: viewer });
    expect(inside.body).toMatchObject({ sale: { saleId, publishAt: null }, accessCode: null });
    expect(eventsOf(saleId, 'sale.published')).toEqual([]);

    const first = await publish(saleId);
    expect(first.status).toBe(200);
    expect(Date.parse(first.body.publishAt)).toBeLessThanOrEqual(Date.now());
    expect((await publish(saleId)).body).toEqual(first.body);
    await answers(200, saleId);
    expect(await everywhere()).toEqual([200, true]);
    expect(eventsOf(saleId, 'sale.published')).toMatchObject([{ requiresCode: false }]);
    const acts = await api.call(`GET /ops/acts?subjectId=${saleId}`, { token: operator });
    expect(acts.body.items.map((act: { act: string }) => act.act)).toContain('POST /sales/{saleId}/publish');
  });

  test('becomes public by the clock alone, and its publication is told once', async () => {
    const publishAtMs = Date.now() + hourMs / 2;
    const { body } = await newSale({ publishAt: iso(publishAtMs) });
    const { saleId } = body;
    let nowMs = publishAtMs - 1;
    const clocked = withDeps(deps, { clock: () => nowMs });
    expect(await readLiveSale(clocked, saleId)).toBeUndefined();
    await advanceSale(clocked, saleId, nowMs + 10_000, 'nothing');
    expect(eventsOf(saleId, 'sale.published')).toEqual([]);
    nowMs = publishAtMs;
    expect(await readLiveSale(clocked, saleId)).toMatchObject({ saleId, publishAt: iso(publishAtMs) });
    await advanceSale(clocked, saleId, nowMs + 10_000, 'nothing');
    await advanceSale(clocked, saleId, nowMs + 10_000, 'nothing');
    expect(eventsOf(saleId, 'sale.published')).toMatchObject([{ publicFromMs: publishAtMs }]);
  });

  test('is public before its reservations open, whatever is moved', async () => {
    const opensMs = Date.parse(later().reserveOpensAt);
    const refused = async (answer: Promise<Answer>) => {
      const { status, body } = await answer;
      return [status, body.code];
    };
    const unprocessable = [422, 'unprocessable'];
    expect(await refused(newSale({ publishAt: iso(opensMs + 60_000) }))).toEqual(unprocessable);
    const { saleId } = (await newSale({ publishAt: iso(opensMs - 60_000) })).body;
    expect(await refused(change(saleId, { publishAt: iso(opensMs + 60_000) }))).toEqual(unprocessable);
    const earlier = { reserveOpensAt: iso(opensMs - 120_000) };
    expect(await refused(change(saleId, earlier))).toEqual(unprocessable);
    const move = (json: object) => api.call(`POST /sales/${saleId}/reschedule`, { token: operator, json });
    expect(await refused(move({ ...earlier, dryRun: true }))).toEqual(unprocessable);
    expect(await refused(move({ shiftSeconds: -120 }))).toEqual(unprocessable);
    // Both at once go together again.
    expect((await change(saleId, { ...earlier, publishAt: iso(opensMs - 180_000) })).status).toBe(200);

    const late = await givenSale(deps, { publicFromMs: null });
    expect(await refused(publish(late))).toEqual(unprocessable);
    expect((await api.call(`GET /sales/${late}`)).status).toBe(404);
  });

  test('can be had back from the public only while nobody could reserve', async () => {
    const refused = async (saleId: SaleId) => {
      const { status, body } = await change(saleId, { publishAt: null });
      return [status, body.code ?? body.publishAt];
    };
    const early = await givenSale(deps, laterMs());
    expect(await refused(early)).toEqual([200, null]);
    expect((await api.call(`GET /sales/${early}`)).status).toBe(404);
    const open = await givenSale(deps);
    expect(await refused(open)).toEqual([409, 'illegal_state']);
    // One that was open, and whose opening was moved.
    expect(await allocateBatch(deps, [delivered(open)], soon())).toEqual([]);
    await deps.db.change('UPDATE sales SET reserve_opens_at_ms = ?, purchase_opens_at_ms = ? WHERE id = ?', [
      Date.now() + hourMs / 2,
      Date.now() + hourMs / 2,
      toBytes(open),
    ]);
    expect(await refused(open)).toEqual([409, 'illegal_state']);
    expect((await api.call(`GET /sales/${open}`)).status).toBe(200);
    await api.call(`POST /sales/${early}/cancel`, { token: operator });
    expect((await publish(early)).body.code).toBe('sale_cancelled');
  });

  test('is hidden from those who watched it before it was taken back', async () => {
    const saleId = await givenSale(deps, laterMs());
    const { connectionId, said } = await watch(saleId);
    expect(said).toEqual({ type: 'watching', saleId });
    await change(saleId, { publishAt: null });
    const [detail] = eventsOf(saleId, 'sale.changed').filter((one) => one.hidden);
    const sent: object[] = [];
    const push = {
      send: async (pushes: readonly { connectionId: string; messages: readonly object[] }[]) => {
        for (const one of pushes) sent.push(...one.messages.map((message) => ({ to: one.connectionId, ...message })));
        return { reached: pushes.length, gone: [], missed: 0 };
      },
      close: () => undefined,
    };
    const event = { 'detail-type': 'sale.changed', detail } as never;
    await pushLive(withDeps(deps, { push }), liveOf([event]), 3_000);
    expect(sent).toEqual([{ to: connectionId, type: 'hidden', saleId }]);
    expect(await watchersOfSales(deps, [saleId])).toEqual(new Map());
  });
});

describe('a private sale', () => {
  const codeOf = async (saleId: SaleId) =>
    (await api.call(`GET /ops/sales/${saleId}`, { token: operator })).body.accessCode as string | null;

  test('is there for who shows its code, and what they have stays theirs without it', async () => {
    const saleId = await givenSale(deps, { accessCode: code });
    const { token } = await api.customer();
    const read = await api.call(`GET /sales/${saleId}?code=${code}`);
    expect(read.body).toMatchObject({ saleId, requiresCode: true });
    expect(read.text).not.toContain(code);
    expect((await watch(saleId, { code })).said).toEqual({ type: 'watching', saleId });
    const key = newId();
    const accepted = await reserve(saleId, token, { code }, key);
    expect(accepted.status).toBe(202);
    expect((await reserve(saleId, token, {}, key)).body).toEqual(accepted.body);
    await change(saleId, { accessCode: null });
    expect((await reserve(saleId, token, { code })).status).toBe(404);
    const { reservationId, statusUrl } = accepted.body;
    expect((await api.call(`GET ${statusUrl}`, { token })).body).toMatchObject({ reservationId, saleId });
    expect((await api.call(`DELETE /reservations/${reservationId}`, { token })).status).toBe(200);
  });

  test('gets a code that nobody can guess, another, one of the shop’s own, or none', async () => {
    const { body, text } = await newSale({ requiresCode: true });
    const { saleId } = body;
    const first = await codeOf(saleId);
    expect(first).toMatch(/^[\w-]{22}$/);
    expect(text).not.toContain(first);
    expect((await api.call(`GET /sales/${saleId}?code=${first}`)).status).toBe(200);
    expect((await change(saleId, { name: 'Another name' })).status).toBe(200);
    expect(await codeOf(saleId)).toBe(first);
    await change(saleId, { accessCode: null });
    const second = await codeOf(saleId);
    expect(second).not.toBe(first);
    await answers(404, saleId, `?code=${first}`);
    await change(saleId, { accessCode: 'spring-2026' });
    await answers(200, saleId, '?code=spring-2026');
    expect((await change(saleId, { requiresCode: false })).body.requiresCode).toBe(false);
    expect(await codeOf(saleId)).toBeNull();
    await answers(200, saleId);
    const acts = await api.call(`GET /ops/acts?subjectId=${saleId}`, { token: operator });
    expect([acts.text.includes(first ?? ''), acts.text.includes(second ?? '')]).toEqual([false, false]);
  });

  test.each<[string, object, string]>([
    ['a code without requiresCode', { accessCode: 'spring-2026' }, 'unprocessable'],
    ['a code that is too short', { requiresCode: true, accessCode: 'short' }, 'invalid_input'],
    ['a code that no address holds', { requiresCode: true, accessCode: 'spring & summer' }, 'invalid_input'],
    ['a code that is no text', { requiresCode: true, accessCode: 12_345_678 }, 'invalid_input'],
    ['a flag that is none', { requiresCode: 'yes' }, 'invalid_input'],
    ['a time without a zone', { publishAt: '2030-01-01T00:00:00' }, 'invalid_input'],
    ['a time that is none', { publishAt: 'soon' }, 'invalid_input'],
    ['an empty time', { publishAt: '' }, 'invalid_input'],
  ])('is refused with %s, at its making and later', async (_what, json, refusal) => {
    const before = await deps.db.rows('SELECT COUNT(*) AS n FROM sales');
    expect((await newSale(json)).body.code).toBe(refusal);
    expect(await deps.db.rows('SELECT COUNT(*) AS n FROM sales')).toEqual(before);
    const saleId = await givenSale(deps, laterMs());
    expect((await change(saleId, json)).body.code).toBe(refusal);
    expect((await api.call(`GET /sales/${saleId}`)).body).toMatchObject({ requiresCode: false });
  });

  test('a code that cannot be one is bad input wherever a customer shows it', async () => {
    const saleId = await givenSale(deps);
    const { token } = await api.customer();
    for (const shown of ['', 'x'.repeat(65)]) {
      expect((await api.call(`GET /sales/${saleId}?code=${shown}`)).body.code).toBe('invalid_input');
      expect((await reserve(saleId, token, { code: shown })).body.code).toBe('invalid_input');
    }
    for (const shown of [7, null, ['x'], { $gt: '' }]) {
      expect((await reserve(saleId, token, { code: shown })).body.code).toBe('invalid_input');
    }
    // A code where none is asked for is no harm.
    expect((await reserve(saleId, token, { code })).status).toBe(202);
  });
});
