/**
 * Webhooks out, against real receivers on loopback and real stores: signed, retried for three days, ordered again, bounded, and
 * never to an address of our own. Each safeguard has a control that must fail.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Webhook } from 'standardwebhooks';
import { BusEvent } from '#events/catalog.ts';
import { groupChanges } from '#events/changes.ts';
import { newEvent } from '#events/outbox.ts';
import { handler as deliverHandler } from '#functions/queue/deliver.ts';
import type { Deps } from '#platform/environment/deps.ts';
import type { Delivered } from '#platform/handlers/queue.ts';
import { loopbackName } from '#platform/kernel/registry.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { openBreakers } from '#platform/resilience/circuit-breaker.ts';
import { deliverWebhooks, WebhookTrigger } from '#webhooks/deliver.ts';
import type { EndpointId } from '#webhooks/endpoint.store.ts';
import { changesPerMessage } from '#webhooks/message.ts';
import { logKeptMs } from '#webhooks/minute-rule.ts';
import { continueRedelivery, makeStep } from '#webhooks/redelivery.ts';
import { failingAtMostMs, retriedForMs } from '#webhooks/retry.ts';
import { attemptDiesAfterMs, breakerResetMs, callsInFlight, outsideOf, serveEndpoint } from '#webhooks/send-due.ts';
import { type Api, openApi } from '../support/api.ts';
import { deliver } from '../support/deliver.ts';
import { failingAt, withDeps } from '../support/deps.ts';
import { newId } from '../support/ids.ts';
import { type Receiver, startReceiver, trustReceivers } from '../support/receiver.ts';
import { type TestBed, testBed } from '../support/stack.ts';
import { verifyInPython } from '../support/verify-in-python.ts';

const tables = ['webhook_endpoints', 'webhook_messages', 'webhook_deliveries', 'webhook_redeliveries'];
const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const dayMs = 86_400_000;

let bed: TestBed;
let api: Api;
let deps: Deps;
let token: string;
/** The time at which a test begins: workers' clocks stand still, so that a slow machine changes nothing. */
let baseMs: number;
const receivers: Receiver[] = [];

beforeAll(async () => {
  trustReceivers();
  bed = await testBed();
  api = openApi();
  deps = await api.deps();
  await redisReady(deps.redis);
  token = await api.operator();
});

afterAll(async () => {
  await Promise.all(receivers.map((receiver) => receiver.close()));
  await api?.close();
  await bed?.close();
});

beforeEach(async () => {
  baseMs = Date.now();
  for (const table of tables) await deps.db.change(`DELETE FROM ${table}`);
});

async function receiver(scheme: 'http' | 'https' = 'http'): Promise<Receiver> {
  const started = await startReceiver(scheme);
  receivers.push(started);
  return started;
}

interface Known {
  endpointId: EndpointId;
  secret: string;
}

async function endpointAt(url: string, events = ['purchase.changed']): Promise<Known> {
  const { status, body } = await api.call('POST /webhook-endpoints', { json: { url, events }, token });
  expect(status).toBe(201);
  return body;
}

const path = ({ endpointId }: Known, rest = '') => `/webhook-endpoints/${endpointId}${rest}`;
const view = async (known: Known) => (await api.call(`GET ${path(known)}`, { token })).body;
const logOf = async (known: Known, query = '') =>
  (await api.call(`GET ${path(known, `/deliveries?limit=100${query}`)}`, { token })).body.items;

/** What the bus sends of a purchase. */
function purchaseChanged(version = 1, purchaseId = newId(), atMs = Date.now()): BusEvent {
  const event = newEvent(
    'purchase.changed',
    {
      ...{ purchaseId, customerId: newId(), state: 'captured', amountMinor: 500, currency: 'EUR' },
      ...{ reservationIds: [newId()], version },
    },
    atMs,
  );
  return BusEvent.parse({ 'detail-type': event.detailType, detail: JSON.parse(event.detail) });
}

let delivered = 0;
const trigger = (message: WebhookTrigger): Delivered<WebhookTrigger> => ({
  ...{ messageId: `m${delivered++}`, message, sentAtMs: Date.now(), deliveries: 1 },
});

/** Runs the worker at a time, with what it would send noted and not sent, and no breaker open but those that Redis knows. */
async function work(messages: WebhookTrigger[], clock = later(0), withinMs = 9_000) {
  const sent: { body: unknown; delaySeconds?: number }[] = [];
  const queue: Deps['queue'] = (name) => ({
    url: deps.queue(name).url,
    send: async (message) => void sent.push(message),
    sendAll: async (all) => void sent.push(...all),
  });
  const worker = withDeps(deps, { clock, queue, breakers: openBreakers() });
  const repeat = await deliverWebhooks(worker, messages.map(trigger), clock() + withinMs);
  expect([...repeat]).toEqual([]);
  outsideOf(worker).close();
  return sent;
}

const tickEvent: WebhookTrigger = { 'detail-type': 'Scheduled Event' };
const later = (ms: number) => () => baseMs + ms;
/** As the minute's rule does: asks for what is due, and serves it. */
async function workLater(ms: number): Promise<void> {
  const asked = await work([tickEvent], later(ms));
  await work(
    asked.map(({ body }) => WebhookTrigger.parse(body)),
    later(ms),
  );
}

describe('endpoints', () => {
  test('are created, read, changed and deleted by operators; the secret is shown once and stored nowhere', async () => {
    const json = { url: 'https://shop.example.com/hooks', events: ['purchase.changed'], description: 'Orders' };
    const created = await api.call('POST /webhook-endpoints', { json, token, key: 'one' });
    expect(created.status).toBe(201);
    expect(created.body).toMatchObject({ ...json, state: 'active', failingSince: null, switchedOffAt: null });
    expect(created.body.secret).toMatch(/^whsec_[\w+/]{43}=$/);
    // A repeated call gets the same answer, secret included, although no answer with it is kept.
    expect((await api.call('POST /webhook-endpoints', { json, token, key: 'one' })).body).toEqual(created.body);
    const dump = JSON.stringify([
      await deps.db.rows('SELECT answer FROM kept_answers'),
      await deps.db.rows('SELECT * FROM webhook_endpoints'),
    ]);
    expect(dump).toContain('shop.example.com');
    expect(dump).not.toContain(created.body.secret.slice('whsec_'.length, 20));

    const known = created.body;
    const { secret: _, ...shown } = known;
    expect(await view(known)).toEqual(shown);
    expect((await api.call('GET /webhook-endpoints', { token })).body.items).toEqual([shown]);
    const changed = await api.call(`PATCH ${path(known)}`, {
      json: { state: 'paused', events: ['sale.changed'] },
      token,
    });
    expect(changed.body).toMatchObject({ state: 'paused', events: ['sale.changed'], description: 'Orders' });
    expect((await api.call(`DELETE ${path(known)}`, { token })).status).toBe(204);
    expect((await api.call(`GET ${path(known)}`, { token })).status).toBe(404);
    expect((await api.call('GET /webhook-endpoints', { token })).body.items).toEqual([]);
  });

  test('are for operators', async () => {
    const { token: customer } = await api.customer();
    const json = { url: 'https://shop.example.com/', events: ['purchase.changed'] };
    expect((await api.call('POST /webhook-endpoints', { json, token: customer })).body.code).toBe('forbidden');
    expect((await api.call('GET /webhook-endpoints', {})).body.code).toBe('unauthenticated');
  });

  test.each([
    ...['shop.example.com', 'http://shop.example.com/', 'ftp://shop.example.com/', 'https://shop.example.com:8443/'],
    ...[
      'https://user:secret@shop.example.com/',
      'https://shop.example.com/#part',
      'https://10.0.0.1/',
      'https://intranet/',
    ],
    ...['https://169.254.169.254/latest', 'https://[fd00::1]/', 'https://[::ffff:10.0.0.1]/', 'https://db.internal/'],
    ...['https://192.168.1.1.:443/', 'javascript:alert(1)', 'https://printer.local/', '//shop.example.com/'],
    ...[
      'https://intranet./',
      'https://db.internal./',
      'https://localhost./',
      'https://2852039166/',
      'https://１０.0.0.1/',
    ],
    ...[`https://${'a'.repeat(64)}.example.com/`, `https://${'a.'.repeat(126)}example.com/`],
  ])('cannot be at %s', async (url) => {
    const { body } = await api.call('POST /webhook-endpoints', { json: { url, events: ['sale.changed'] }, token });
    expect(body.code).toBe('unprocessable');
    expect(await deps.db.rows('SELECT id FROM webhook_endpoints')).toEqual([]);
  });

  test.each([
    'https://shop.exa\nmple.com/',
    'https://shop.example.com\r\n.evil.example/',
    ' https://shop.example.com/',
  ])('are not read as another address than was written: %j', async (url) => {
    const known = await endpointAt('https://shop.example.com/');
    for (const [line, json] of [
      ['POST /webhook-endpoints', { url, events: ['sale.changed'] }],
      [`PATCH ${path(known)}`, { url }],
    ] as const) {
      const { status, body } = await api.call(line, { json, token });
      expect([line, status, body.code]).toEqual([line, 400, 'invalid_input']);
    }
    const { items } = (await api.call('GET /webhook-endpoints', { token })).body;
    expect(items.map((one: { url: string }) => one.url)).toEqual(['https://shop.example.com/']);
  });

  test('are not too many', async () => {
    for (let n = 0; n < 50; n++) await endpointAt('https://shop.example.com/');
    const json = { url: 'https://shop.example.com/', events: ['sale.changed'] };
    expect((await api.call('POST /webhook-endpoints', { json, token })).body.code).toBe('illegal_state');
  });
});

describe('what is sent', () => {
  test('is signed, so that the reference library accepts it, and has a version; also over HTTPS', async () => {
    const [plain, secure] = await Promise.all([receiver(), receiver('https')]);
    const known = [await endpointAt(plain.url), await endpointAt(secure.url)];
    await work([purchaseChanged(7)]);
    for (const [index, { received }] of [plain, secure].entries()) {
      const [one] = received;
      if (!one) throw new Error('nothing arrived');
      const told = new Webhook(known[index]?.secret ?? '').verify(one.rawBody, one.headers);
      expect(told).toMatchObject({ type: 'purchase.changed', data: { version: 7, amount: { amountMinor: 500 } } });
      expect(() => new Webhook(known[1 - index]?.secret ?? '').verify(one.rawBody, one.headers)).toThrow();
      expect(one.headers).toMatchObject({ 'content-type': 'application/json', 'user-agent': 'Holdfast-Webhooks/1' });
    }
    expect(plain.received[0]?.id).toBe(secure.received[0]?.id);
  });

  test('is accepted by the reference library in Python, while the secret is replaced with both, and not with another', async () => {
    const one = await receiver();
    const known = await endpointAt(one.url);
    const { secret } = (await api.call(`POST ${path(known, '/secret')}`, { json: { overlapSeconds: 60 }, token })).body;
    await work([purchaseChanged(3)]);
    const [received] = one.received;
    if (!received) throw new Error('nothing arrived');
    const other = await endpointAt(one.url);
    const said = await verifyInPython([secret, known.secret, other.secret].map((each) => [each, received] as const));
    const content = expect.objectContaining({ type: 'purchase.changed' });
    // Where Python or PyPI is missing, a line has said so.
    if (said) expect(said).toEqual([content, content, 'WebhookVerificationError']);
  }, 180_000);

  test('comes once for an event that the bus delivers twice, and to those alone whose filter lets it through', async () => {
    const [one, other] = [await receiver(), await receiver()];
    const known = await endpointAt(one.url);
    await endpointAt(other.url, ['sale.changed', 'reservations.changed']);
    const event = purchaseChanged();
    await work([event, event]);
    await work([event]);
    expect(one.received).toHaveLength(1);
    expect(other.received).toHaveLength(0);
    expect(await logOf(known)).toMatchObject([{ state: 'delivered', attempts: 1, lastStatus: 204, lastError: null }]);
  });

  test('of an event that tells of many comes in messages of a bounded size, every change once', async () => {
    const one = await receiver();
    await endpointAt(one.url, ['reservations.changed']);
    const saleId = newId();
    const changes = Array.from({ length: 2 * changesPerMessage + 1 }, (_, version) => ({
      ...{ reservationId: newId(), saleId, customerId: newId(), from: 'requested' as const, to: 'allocated' as const },
      ...{ units: 1, quantity: 1, ticket: 1, version },
    }));
    const stocks = [{ saleId, epoch: 1, version: 9, allotment: 5, available: 5, allocated: 0, sold: 0, waitlisted: 0 }];
    const detail = { changes: groupChanges(changes), stocks, released: false };
    const event = newEvent('reservations.changed', detail, Date.now());
    await work([BusEvent.parse({ 'detail-type': event.detailType, detail: JSON.parse(event.detail) })]);
    expect(one.received).toHaveLength(3);
    const told = one.received.flatMap(({ body }) => body.data.changes);
    expect(new Set(told.map(({ reservationId }) => reservationId)).size).toBe(changes.length);
    expect(told.every(({ version, ticket }) => Number.isInteger(version) && ticket === undefined)).toBe(true);
    expect(one.received.flatMap(({ body }) => body.data.stocks)).toEqual(stocks);
    expect(Math.max(...one.received.map(({ rawBody }) => rawBody.length))).toBeLessThan(40_000);
  });

  test('is in an order that its version tells, whatever the order of arrival', async () => {
    const one = await receiver();
    // The first is refused, so the second overtakes it.
    one.answers((_, index) => (index === 0 ? { status: 500 } : {}));
    await endpointAt(one.url);
    const purchaseId = newId();
    await work([purchaseChanged(1, purchaseId, Date.now() - 1_000)]);
    await work([purchaseChanged(2, purchaseId)]);
    await workLater(minuteMs);
    const versions = one.received.map(({ body }) => body.data.version);
    expect(versions).toEqual([1, 2, 1]);
    let newest = { version: 0 };
    for (const { body } of one.received) if (body.data.version > newest.version) newest = body.data;
    expect(newest).toMatchObject({ purchaseId, version: 2 });
  });

  test('goes its whole way through the function, its queue and the tests of an endpoint', async () => {
    const one = await receiver();
    const known = await endpointAt(one.url, ['sale.changed']);
    const tested = await api.call(`POST ${path(known, '/test')}`, { token });
    expect(tested).toMatchObject({ status: 202, body: { state: 'pending', attempts: 0 } });
    const body = JSON.stringify({ endpointId: known.endpointId });
    expect(await deliver(deliverHandler, [{ messageId: 'one', body }])).toEqual([]);
    expect(one.received).toMatchObject([{ id: tested.body.messageId, body: { type: 'webhook.test' } }]);
    const shown = await api.call(`GET ${path(known, `/deliveries/${tested.body.messageId}`)}`, { token });
    expect(shown.body).toMatchObject({ state: 'delivered', type: 'webhook.test', body: one.received[0]?.rawBody });
  });
});

describe('an endpoint that fails', () => {
  test('gets the message again, under the same id, when it is due and not before', async () => {
    const one = await receiver();
    one.answers((_, index) => (index < 2 ? { status: 503 } : {}));
    const known = await endpointAt(one.url);
    const sent = await work([purchaseChanged()]);
    // A delayed message asks for the next attempt.
    expect(sent).toEqual([{ body: { endpointId: known.endpointId }, delaySeconds: expect.any(Number) }]);
    expect(sent[0]?.delaySeconds).toBeLessThanOrEqual(10);
    await work([{ endpointId: known.endpointId }], later(2 * secondMs));
    expect(one.received).toHaveLength(1);
    expect(await logOf(known)).toMatchObject([
      { state: 'pending', attempts: 1, lastStatus: 503, lastError: 'refused', nextAttemptAt: expect.any(String) },
    ]);
    await work([{ endpointId: known.endpointId }], later(11 * secondMs));
    expect(one.received).toHaveLength(2);
    // Without any message, the minute's rule asks.
    await workLater(3 * minuteMs);
    expect(one.received).toHaveLength(3);
    expect(new Set(one.received.map(({ id }) => id)).size).toBe(1);
    expect(await logOf(known)).toMatchObject([{ state: 'delivered', attempts: 3, nextAttemptAt: null }]);
  });

  test('in any way, is told apart in the log: another status, a redirect, a broken connection, no answer', async () => {
    const [refusing, redirecting, silent] = [await receiver(), await receiver(), await receiver()];
    const elsewhere = await receiver();
    refusing.answers({ status: 404 });
    redirecting.answers({ status: 302, headers: { location: elsewhere.url } });
    silent.answers({ hang: true });
    const gone = await receiver();
    await gone.close();
    const known = [];
    for (const { url } of [refusing, redirecting, silent, gone]) known.push(await endpointAt(url));
    await work([purchaseChanged()]);
    const errors = await Promise.all(known.map(async (one) => (await logOf(one))[0]));
    expect(errors).toMatchObject([
      { state: 'pending', lastStatus: 404, lastError: 'refused' },
      { state: 'pending', lastStatus: 302, lastError: 'redirect' },
      { state: 'pending', lastStatus: null, lastError: 'no_answer_in_time' },
      { state: 'pending', lastStatus: null, lastError: 'ECONNREFUSED' },
    ]);
    expect(elsewhere.connections()).toBe(0);
  });

  test('for three days is no longer sent that message, which can be ordered again', async () => {
    const one = await receiver();
    one.answers({ status: 400 });
    const known = await endpointAt(one.url);
    await work([purchaseChanged()]);
    let attempts = 1;
    for (let atMs = 0; atMs <= retriedForMs + dayMs / 2; atMs += dayMs / 12) {
      await workLater(atMs + minuteMs);
      attempts = one.received.length;
    }
    expect(await logOf(known)).toMatchObject([{ state: 'failed', attempts, nextAttemptAt: null }]);
    expect(attempts).toBeGreaterThan(5);
    one.answers({});
    const [{ messageId }] = await logOf(known);
    const again = await api.call(`POST ${path(known, `/deliveries/${messageId}/redeliver`)}`, { token });
    expect(again.body).toMatchObject({ state: 'pending', attempts: 0 });
    await workLater(retriedForMs + dayMs);
    expect(await logOf(known, '&state=delivered')).toMatchObject([{ messageId, attempts: 1 }]);
  });

  test('for days is switched off; what happens meanwhile waits, and comes when it is switched on', async () => {
    const one = await receiver();
    one.answers({ status: 500 });
    const known = await endpointAt(one.url);
    await work([purchaseChanged(1)]);
    expect(await view(known)).toMatchObject({ state: 'active', failingSince: expect.any(String) });
    await workLater(failingAtMostMs - dayMs);
    expect(await view(known)).toMatchObject({ state: 'active' });
    await work([purchaseChanged(2)], later(failingAtMostMs + minuteMs));
    expect(await view(known)).toMatchObject({ state: 'switched_off', switchedOffAt: expect.any(String) });
    const before = one.received.length;
    await work([purchaseChanged(3)], later(failingAtMostMs + dayMs));
    await workLater(failingAtMostMs + dayMs);
    expect(one.received).toHaveLength(before);
    one.answers({});
    const on = await api.call(`PATCH ${path(known)}`, { json: { state: 'active' }, token });
    expect(on.body).toMatchObject({ state: 'active', failingSince: null, switchedOffAt: null });
    await workLater(failingAtMostMs + 2 * dayMs);
    const versions = one.received.slice(before).map(({ body }) => body.data.version);
    expect(versions.sort()).toEqual([2, 3]);
    expect(await view(known)).toMatchObject({ failingSince: null });
  });

  test('that says it is gone is switched off at once', async () => {
    const one = await receiver();
    one.answers({ status: 410 });
    const known = await endpointAt(one.url);
    await work([purchaseChanged()]);
    expect(await view(known)).toMatchObject({ state: 'switched_off' });
  });

  test('and succeeds once is not failing any more', async () => {
    const one = await receiver();
    one.answers((_, index) => (index === 0 ? { status: 500 } : {}));
    const known = await endpointAt(one.url);
    await work([purchaseChanged()]);
    await workLater(minuteMs);
    expect(await view(known)).toMatchObject({ failingSince: null, state: 'active' });
  });
});

describe('one endpoint and the others', () => {
  test('one that does not answer costs the others no time, and itself a bounded number of calls', async () => {
    const [silent, quick] = [await receiver(), await receiver()];
    silent.answers({ hang: true });
    const known = await endpointAt(silent.url);
    await endpointAt(quick.url);
    const events = Array.from({ length: 12 }, (_, version) => purchaseChanged(version));
    let isOver = false;
    const working = work(events).then(() => {
      isOver = true;
    });
    let wasOver = false;
    while (quick.received.length < 12 && !isOver) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      wasOver = isOver;
    }
    await working;
    // The quick one had everything while the same invocation still waited for the silent one.
    expect([quick.received.length, wasOver]).toEqual([12, false]);
    expect(silent.received.length).toBeLessThanOrEqual(2 * callsInFlight);
    expect(silent.mostAtOnce()).toBeLessThanOrEqual(callsInFlight);
    // Its breaker is open now, for every process: nothing is sent until it lets one call through.
    const asked = silent.received.length;
    await work([{ endpointId: known.endpointId }], later(breakerResetMs / 2));
    expect(silent.received).toHaveLength(asked);
    expect((await logOf(known)).filter(({ attempts }: { attempts: number }) => attempts > 0)).toHaveLength(asked);
    // And when it answers again, it gets everything.
    silent.answers({});
    for (let ms = 2; ms < 10; ms++) await workLater(ms * minuteMs);
    expect(new Set(silent.received.map(({ id }) => id)).size).toBe(12);
    expect(await logOf(known, '&state=pending')).toEqual([]);
  });

  test('two workers take turns: each message once, and never more calls than one may make', async () => {
    const one = await receiver();
    one.answers({ afterMs: 20 });
    const known = await endpointAt(one.url);
    await api.call(`PATCH ${path(known)}`, { json: { state: 'paused' }, token });
    await work(Array.from({ length: 30 }, (_, version) => purchaseChanged(version)));
    await api.call(`PATCH ${path(known)}`, { json: { state: 'active' }, token });
    await Promise.all([1, 2, 3].map(() => work([{ endpointId: known.endpointId }])));
    expect(one.received).toHaveLength(30);
    expect(one.mostAtOnce()).toBeLessThanOrEqual(callsInFlight);
  });

  test('a turn that has no more time leaves the rest due, and asks for the next', async () => {
    const one = await receiver();
    const known = await endpointAt(one.url);
    const sent = await work([purchaseChanged()], later(0), 5_000);
    expect(one.received).toHaveLength(0);
    expect(sent).toEqual([{ body: { endpointId: known.endpointId }, delaySeconds: 0 }]);
    await work([{ endpointId: known.endpointId }]);
    expect(await logOf(known)).toMatchObject([{ state: 'delivered', attempts: 1 }]);
  });

  test('a batch whose events cannot be written is delivered again, and sends nothing', async () => {
    const one = await receiver();
    await endpointAt(one.url);
    const broken = withDeps(deps, { db: failingAt(deps.db, /INSERT INTO webhook_deliveries/, 'planted') });
    await expect(deliverWebhooks(broken, [trigger(purchaseChanged())], Date.now() + 9_000)).rejects.toThrow('planted');
    expect(one.received).toHaveLength(0);
    expect(await deps.db.rows('SELECT id FROM webhook_messages')).toEqual([]);
  });
});

test('an address that was public when it was given is checked at every call', async () => {
  const one = await receiver();
  const known = await endpointAt(one.url);
  const { [loopbackName]: _, ...registry } = deps.registry;
  await work([purchaseChanged()], later(-dayMs), 0);
  await serveEndpoint(withDeps(deps, { registry }), known.endpointId, Date.now() + 9_000);
  expect(one.connections()).toBe(0);
  expect(await logOf(known)).toMatchObject([{ state: 'pending', lastError: 'address_not_public', attempts: 1 }]);
});

test('while a secret is replaced, the old one and the new one verify a message; afterwards the new one alone', async () => {
  const one = await receiver();
  const known = await endpointAt(one.url);
  const json = { overlapSeconds: 3_600 };
  const rotated = await api.call(`POST ${path(known, '/secret')}`, { json, token, key: 'r' });
  expect(rotated.body.secret).not.toBe(known.secret);
  expect(rotated.body.secretOverlapUntil).not.toBeNull();
  expect((await api.call(`POST ${path(known, '/secret')}`, { json, token, key: 'r' })).body).toEqual(rotated.body);
  const verifies = (secret: string) => {
    const last = one.received.at(-1);
    try {
      return new Webhook(secret).verify(last?.rawBody ?? '', last?.headers ?? {}) !== undefined;
    } catch {
      return false;
    }
  };
  await work([purchaseChanged()]);
  expect([verifies(known.secret), verifies(rotated.body.secret)]).toEqual([true, true]);
  const sealed = await api.call(`POST ${path(known, '/secret')}`, { json: { overlapSeconds: 0 }, token });
  await work([purchaseChanged()], later(minuteMs));
  expect([verifies(rotated.body.secret), verifies(sealed.body.secret)]).toEqual([false, true]);
});

describe('redelivery in bulk', () => {
  async function given(messages: number): Promise<{ one: Receiver; known: Known }> {
    const one = await receiver();
    const known = await endpointAt(one.url);
    await work(
      Array.from({ length: messages }, (_, version) => purchaseChanged(version, newId(), Date.now() - minuteMs)),
    );
    await work([{ endpointId: known.endpointId }]);
    expect(one.received).toHaveLength(messages);
    return { one, known };
  }
  const since = () => new Date(Date.now() - 2 * minuteMs).toISOString();

  test('orders what was given up, or all, of the time that is asked for', async () => {
    const { one, known } = await given(12);
    await deps.db.change(`UPDATE webhook_deliveries SET state = 'failed' ORDER BY message_id LIMIT 5`);
    const start = (json: object) => api.call(`POST ${path(known, '/redeliveries')}`, { json, token });
    const begun = await start({ since: since() });
    expect(begun.status).toBe(202);
    expect(begun.headers.location).toBe(begun.body.statusUrl);
    await work([{ redelivery: { id: begun.body.redeliveryId, afterId: null } }]);
    expect(one.received).toHaveLength(17);
    const status = await api.call(`GET ${begun.body.statusUrl}`, { token });
    expect(status.body).toMatchObject({ ordered: 5, finishedAt: expect.any(String) });
    const all = await start({ since: since(), scope: 'all' });
    await work([{ redelivery: { id: all.body.redeliveryId, afterId: null } }]);
    await work([{ endpointId: known.endpointId }]);
    expect(one.received).toHaveLength(29);
    expect(new Set(one.received.map(({ id }) => id)).size).toBe(12);
    const none = await start({ since: since(), until: new Date(Date.now() - 90 * secondMs).toISOString() });
    await work([{ redelivery: { id: none.body.redeliveryId, afterId: null } }]);
    expect((await api.call(`GET ${none.body.statusUrl}`, { token })).body).toMatchObject({ ordered: 0 });
    const future = { since: new Date(Date.now() + minuteMs).toISOString() };
    expect((await start(future)).body.code).toBe('unprocessable');
  });

  test('goes on in bounded steps wherever it was left, and orders each message once', async () => {
    const { one, known } = await given(10);
    const json = { since: since(), scope: 'all' };
    const { redeliveryId: id } = (await api.call(`POST ${path(known, '/redeliveries')}`, { json, token })).body;
    const step = () => deps.db.transaction((tx) => makeStep(tx, id, Date.now(), 3));
    expect(await step()).toMatchObject({ ordered: 3, finishedAtMs: null });
    // A step that is rolled back has done nothing.
    const failing = failingAt(deps.db, /UPDATE webhook_redeliveries/, 'planted');
    await expect(failing.transaction((tx) => makeStep(tx, id, Date.now(), 3))).rejects.toThrow('planted');
    const seen = await step();
    expect(seen).toMatchObject({ ordered: 6 });
    // A message from before the last step is dropped while another worker goes on with it.
    const soon = () => (seen?.steppedAtMs ?? 0) + secondMs;
    const other = withDeps(deps, { clock: soon });
    expect(await continueRedelivery(other, { id, afterId: null }, soon() + 5_000)).toBeUndefined();
    // If all messages were lost, the minute's rule goes on.
    const asked = await work([tickEvent], later(minuteMs));
    expect(asked).toContainEqual({ body: { redelivery: { id, afterId: seen?.afterId } } });
    await work(
      asked.map(({ body }) => WebhookTrigger.parse(body)),
      later(minuteMs),
    );
    expect((await api.call(`GET ${path(known, `/redeliveries/${id}`)}`, { token })).body).toMatchObject({
      ordered: 10,
    });
    expect(one.received).toHaveLength(20);
  });

  test('an attempt that was under way when its message was ordered again does not end the new round', async () => {
    const one = await receiver();
    const known = await endpointAt(one.url);
    one.answers({ afterMs: 400 });
    const working = work([purchaseChanged()]);
    while (one.received.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const [{ messageId }] = await logOf(known);
    await api.call(`POST ${path(known, `/deliveries/${messageId}/redeliver`)}`, { token });
    await working;
    await workLater(minuteMs);
    expect(one.received.map(({ id }) => id)).toEqual([messageId, messageId]);
  });
});

describe('the log', () => {
  test('comes in pages, the newest first, and is kept for thirty days', async () => {
    const one = await receiver();
    const known = await endpointAt(one.url);
    await work(Array.from({ length: 5 }, (_, n) => purchaseChanged(n, newId(), Date.now() - n * minuteMs)));
    const first = await api.call(`GET ${path(known, '/deliveries?limit=3')}`, { token });
    const rest = await api.call(`GET ${path(known, `/deliveries?limit=3&cursor=${first.body.nextCursor}`)}`, { token });
    const times = [...first.body.items, ...rest.body.items].map(({ occurredAt }) => occurredAt);
    expect(times).toHaveLength(5);
    expect(times).toEqual([...times].sort().reverse());
    expect(rest.body.nextCursor).toBeNull();
    await work([tickEvent], later(logKeptMs - dayMs));
    expect(await logOf(known)).toHaveLength(5);
    await work([tickEvent], later(logKeptMs + 2 * dayMs));
    expect(await logOf(known)).toEqual([]);
    expect(await deps.db.rows('SELECT id FROM webhook_messages')).toEqual([]);
  });

  test('of an endpoint that was deleted is deleted, and nothing is sent to it', async () => {
    const one = await receiver();
    const known = await endpointAt(one.url);
    await work([purchaseChanged()]);
    await api.call(`DELETE ${path(known)}`, { token });
    await work([purchaseChanged(), { endpointId: known.endpointId }, tickEvent]);
    expect(one.received).toHaveLength(1);
    expect(await deps.db.rows('SELECT id FROM webhook_endpoints')).toEqual([]);
    expect(await deps.db.rows('SELECT message_id FROM webhook_deliveries')).toEqual([]);
  });
});

describe('a worker', () => {
  const script = fileURLToPath(new URL('../support/webhook-worker.ts', import.meta.url));

  function worker(...args: string[]): Promise<NodeJS.Signals | number | null> {
    const child = spawn(process.execPath, [script, ...args], { env: bed.env, stdio: ['ignore', 'ignore', 'pipe'] });
    let errors = '';
    child.stderr.on('data', (chunk) => {
      errors += chunk;
    });
    return new Promise((resolve, reject) => {
      child.on('close', (code, signal) => (code ? reject(new Error(errors)) : resolve(signal ?? code)));
    });
  }

  /** An endpoint with something due that no worker has seen yet. */
  async function due(events = 1): Promise<{ one: Receiver; known: Known }> {
    const one = await receiver();
    const known = await endpointAt(one.url);
    // A deadline that has passed leaves no time to send.
    await work(
      Array.from({ length: events }, (_, version) => purchaseChanged(version)),
      later(0),
      0,
    );
    expect(one.received).toHaveLength(0);
    return { one, known };
  }

  async function idsWhenKilled(...control: string[]): Promise<string[]> {
    const { one, known } = await due();
    expect(await worker(known.endpointId, '--die-before-log', ...control)).toBe('SIGKILL');
    expect(one.received).toHaveLength(1);
    expect(await worker(known.endpointId, '--later', `${attemptDiesAfterMs / 2}`)).toBe(0);
    expect(one.received).toHaveLength(1);
    expect(await worker(known.endpointId, '--later', `${attemptDiesAfterMs + minuteMs}`)).toBe(0);
    return one.received.map(({ id }) => id);
  }

  test('that dies between sending and writing it down leaves a second delivery with the same id', async () => {
    const ids = await idsWhenKilled();
    expect(ids).toHaveLength(2);
    expect(new Set(ids).size).toBe(1);
  });

  test('… which is lost if the log is written first', async () => {
    expect(await idsWhenKilled('--control', 'logged-before-sent')).toHaveLength(1);
  });

  async function connectionsInside(...control: string[]): Promise<number> {
    const { one, known } = await due();
    await worker(known.endpointId, '--without-loopback', ...control);
    return one.connections();
  }

  test('opens no connection to an address of our own', async () => expect(await connectionsInside()).toBe(0));

  test('… and does if any address counts as public', async () => {
    const secure = await receiver('https');
    const { known } = await due();
    await deps.db.change('UPDATE webhook_endpoints SET url = ?', [secure.url]);
    await worker(known.endpointId, '--without-loopback');
    expect(secure.connections()).toBe(0);
    await worker(known.endpointId, '--without-loopback', '--later', `${minuteMs}`, '--control', 'any-address');
    expect(secure.connections()).toBeGreaterThan(0);
  });

  async function mostAtOnce(...control: string[]): Promise<number> {
    const { one, known } = await due(30);
    one.answers({ afterMs: 150 });
    await worker(known.endpointId, '--turns', '4', ...control);
    return one.mostAtOnce();
  }

  test('makes a bounded number of calls at once to an endpoint', async () => {
    expect(await mostAtOnce()).toBeLessThanOrEqual(callsInFlight);
  });

  test('… and more without turns', async () => {
    expect(await mostAtOnce('--control', 'no-turns')).toBeGreaterThan(callsInFlight);
  });
});
