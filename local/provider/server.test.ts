/**
 * The payment provider over HTTP: idempotency, each way a payment can go wrong, webhooks at a real receiver, and
 * several instances on one set of books, killed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { waitFor } from '../wait.ts';
import { type Provider, type ProviderOptions, startProvider } from './server.ts';

const apiKey = 'key_test';
const secret = `whsec_${Buffer.from('a secret of the tests').toString('base64')}`;
const deadline = { timeoutMs: 10_000 };

interface Received {
  headers: IncomingHttpHeaders;
  body: string;
  event: { type: string; data: Record<string, unknown> };
}

let provider: Provider;
let dataDir: string;
let receiver: Server;
let webhookUrl: string;
let received: Received[];
let receiverStatus: number;

beforeEach(async () => {
  received = [];
  receiverStatus = 204;
  receiver = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      received.push({ headers: request.headers, body, event: JSON.parse(body) });
      response.writeHead(receiverStatus).end();
    });
  });
  receiver.listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  webhookUrl = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/webhooks`;
  dataDir = mkdtempSync(join(tmpdir(), 'holdfast-provider-'));
  provider = await start();
});

afterEach(async () => {
  await provider.stop();
  receiver.closeAllConnections();
  receiver.close();
  rmSync(dataDir, { recursive: true });
});

function start(options: Partial<ProviderOptions> = {}): Promise<Provider> {
  return startProvider({ apiKey: apiKey, dataDir, webhookUrl, webhookSecret: secret, log: () => {}, ...options });
}

interface Reply {
  status: number;
  body: Record<string, unknown> & { error?: { code: string } };
  replayed: boolean;
}

async function call(path: string, init: RequestInit = {}, url = provider.url): Promise<Reply> {
  const headers = { authorization: `Bearer ${apiKey}`, ...init.headers };
  const response = await fetch(`${url}${path}`, { ...init, headers });
  const replayed = response.headers.get('idempotent-replayed') === 'true';
  return { status: response.status, body: (await response.json()) as Reply['body'], replayed };
}

const payment = (token: string, change: object = {}) =>
  JSON.stringify({ amountMinor: 1250, currency: 'EUR', token, reference: 'purchase-1', ...change });

function charge(key: string, body: string, options: { url?: string; signal?: AbortSignal } = {}): Promise<Reply> {
  const { url, signal } = options;
  return call('/v1/charges', { method: 'POST', headers: { 'idempotency-key': key }, body, signal }, url);
}

const refund = (id: unknown) => call(`/v1/charges/${id}/refunds`, { method: 'POST' });
const setFaults = (faults: object) => call('/_faults', { method: 'POST', body: JSON.stringify(faults) });
const types = () => received.map(({ event }) => event.type);

async function ledger() {
  const { body } = await call('/v1/ledger');
  return body as unknown as { charges: Record<string, unknown>[]; refunds: Record<string, unknown>[] };
}

describe('charges', () => {
  test('a charge is captured once; the same key answers the same; another body is refused', async () => {
    const first = await charge('k1', payment('tok_approve'));
    const again = await charge('k1', payment('tok_approve'));
    const other = await charge('k1', payment('tok_approve', { amountMinor: 1 }));
    expect(first).toMatchObject({ status: 201, body: { id: expect.stringMatching(/^ch_/), status: 'captured' } });
    expect(again).toEqual({ ...first, replayed: true });
    expect(other).toMatchObject({ status: 422, body: { error: { code: 'idempotency_key_reused' } } });
    expect((await ledger()).charges).toHaveLength(1);
  });

  test('a declined charge stays declined under its key', async () => {
    const first = await charge('k1', payment('tok_decline'));
    expect(first.body).toMatchObject({ status: 'declined', declineCode: 'card_declined' });
    expect((await charge('k1', payment('tok_decline'))).body).toEqual(first.body);
  });

  test('fifty requests at once with one key make one charge', async () => {
    const replies = await Promise.all(Array.from({ length: 50 }, () => charge('k1', payment('tok_approve'))));
    expect(new Set(replies.map(({ body }) => body.id)).size).toBe(1);
    expect(replies.filter(({ replayed }) => !replayed)).toHaveLength(1);
  });

  test('an error charges nothing, at every attempt', async () => {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      expect((await charge('k1', payment('tok_error'))).status).toBe(500);
    }
    expect((await call('/v1/charges/k1')).status).toBe(404);
  });

  test('a flaky card is captured after its failures', async () => {
    const statuses: number[] = [];
    for (let attempt = 0; attempt < 3; attempt += 1) {
      statuses.push((await charge('k1', payment('tok_flaky_2'))).status);
    }
    expect(statuses).toEqual([500, 500, 201]);
  });

  test('a charge whose answer never comes is made, can be queried, and the same key then answers', async () => {
    const signal = AbortSignal.timeout(300);
    await expect(charge('k1', payment('tok_charged_timeout'), { signal })).rejects.toThrow();
    const queried = await call('/v1/charges/k1');
    expect(queried).toMatchObject({ status: 200, body: { status: 'captured', reference: 'purchase-1' } });
    expect((await charge('k1', payment('tok_charged_timeout'))).body).toEqual(queried.body);
    expect((await ledger()).charges).toHaveLength(1);
  });

  test('a slow charge is answered after its delay and can be seen before', async () => {
    const slow = charge('k1', payment('tok_slow_400'));
    const seen = await waitFor('the charge', async () => (await call('/v1/charges/k1')).status === 200, deadline);
    expect(seen).toBe(true);
    expect((await slow).body.status).toBe('captured');
  });

  test('charges are found by reference, id and key', async () => {
    const { body } = await charge('key with/odd signs', payment('tok_approve', { reference: 'r 2' }));
    expect((await call('/v1/charges?reference=r%202')).body.charges).toEqual([body]);
    expect((await call(`/v1/charges/${body.id}`)).body).toEqual(body);
    expect((await call(`/v1/charges/${encodeURIComponent('key with/odd signs')}`)).body).toEqual(body);
    expect((await call('/v1/charges?reference=none')).status).toBe(404);
  });

  test.each<[string, number, string, string, object]>([
    ['no key', 400, 'idempotency_key_needed', payment('tok_approve'), {}],
    ['a key too long', 400, 'idempotency_key_needed', payment('tok_approve'), { 'idempotency-key': 'k'.repeat(256) }],
    ['broken JSON', 400, 'invalid_json', '{', { 'idempotency-key': 'k' }],
    ['no amount', 400, 'invalid_request', payment('t', { amountMinor: 0 }), { 'idempotency-key': 'k' }],
    ['a fraction', 400, 'invalid_request', payment('t', { amountMinor: 1.5 }), { 'idempotency-key': 'k' }],
    ['an unknown field', 400, 'invalid_request', payment('t', { extra: 1 }), { 'idempotency-key': 'k' }],
    ['a bad currency', 400, 'invalid_request', payment('t', { currency: 'euro' }), { 'idempotency-key': 'k' }],
    ['a huge body', 413, 'body_too_large', payment('t'.repeat(20_000)), { 'idempotency-key': 'k' }],
    ['a wrong API key', 401, 'unauthorized', payment('t'), { 'idempotency-key': 'k', authorization: 'Bearer x' }],
  ])('%s is refused', async (_, status, code, body, headers) => {
    const reply = await call('/v1/charges', { method: 'POST', body, headers: { ...headers } });
    expect(reply).toMatchObject({ status, body: { error: { code } } });
    expect((await ledger()).charges).toEqual([]);
  });
});

describe('a charge that waits for its customer', () => {
  const decide = async (url: unknown, decision: string) =>
    (await fetch(String(url), { method: 'POST', body: new URLSearchParams({ decision }) })).status;
  const actionOf = ({ body }: Reply) => body.action as { url: string; expiresAt: string };

  test('is in the books once the customer has confirmed or refused it, and told of each time', async () => {
    const yes = await charge('yes', payment('tok_action'));
    const no = await charge('no', payment('tok_action', { reference: 'purchase-2' }));
    expect(yes).toMatchObject({
      status: 201,
      body: { status: 'requires_action', action: { expiresAt: expect.anything() } },
    });
    expect(await charge('yes', payment('tok_action'))).toEqual({ ...yes, replayed: true });
    expect((await charge('yes', payment('tok_action', { amountMinor: 1 }))).status).toBe(422);
    expect((await ledger()).charges).toEqual([]);
    const page = await fetch(actionOf(yes).url);
    expect([page.status, await page.text()]).toEqual([200, expect.stringContaining('1250 EUR')]);
    expect(await decide(actionOf(yes).url, 'perhaps')).toBe(400);
    expect(await decide(actionOf(yes).url, 'confirm')).toBe(200);
    expect(await decide(actionOf(no).url, 'refuse')).toBe(200);
    expect(await decide(actionOf(yes).url, 'refuse')).toBe(404);
    expect((await call('/v1/charges/yes')).body).toMatchObject({ id: yes.body.id, status: 'captured' });
    expect((await call('/v1/charges/no')).body).toMatchObject({
      status: 'declined',
      declineCode: 'refused_by_customer',
    });
    await waitFor('the webhooks', () => received.length === 4, deadline);
    const actions = ['payment.requires_action', 'payment.requires_action'];
    expect(types().sort()).toEqual(['payment.captured', 'payment.declined', ...actions]);
    const required = received.find(({ event }) => event.type === 'payment.requires_action');
    expect(required?.event.data.action).toMatchObject({ url: expect.stringContaining('/actions/act_') });
  });

  test('is stopped by the shop, or by its time; one that was confirmed is not', async () => {
    const cancel = (key: string) =>
      call(`/v1/charges/${key}/cancel`, { method: 'POST', body: '{"reason":"too_late"}' });
    await charge('stopped', payment('tok_action'));
    expect((await cancel('stopped')).body).toMatchObject({ status: 'declined', declineCode: 'too_late' });
    expect((await cancel('stopped')).body).toMatchObject({ status: 'declined', declineCode: 'too_late' });
    const over = await charge('over', payment('tok_action_0'));
    expect(await decide(actionOf(over).url, 'confirm')).toBe(410);
    expect((await cancel('over')).body).toMatchObject({ status: 'declined', declineCode: 'action_expired' });
    const confirmed = await charge('confirmed', payment('tok_action'));
    await decide(actionOf(confirmed).url, 'confirm');
    expect((await cancel('confirmed')).body).toMatchObject({ status: 'captured' });
    expect((await cancel('none')).status).toBe(404);
    expect((await call('/v1/charges/stopped/cancel', { method: 'POST', body: '{"reason":5}' })).status).toBe(400);
  });

  test('can be captured with another amount than was confirmed', async () => {
    await setFaults({ confirmShiftMinor: 100 });
    const { body } = await charge('k1', payment('tok_action'));
    await decide((body.action as { url: string }).url, 'confirm');
    expect((await ledger()).charges).toMatchObject([{ amountMinor: 1_350 }]);
  });
});

describe('refunds', () => {
  test('a captured charge is refunded once, in full', async () => {
    const { body } = await charge('k1', payment('tok_approve'));
    const first = await refund(body.id);
    expect(first).toMatchObject({ status: 201, body: { chargeId: body.id, status: 'refunded', amountMinor: 1250 } });
    expect((await refund(body.id)).body).toEqual(first.body);
    expect((await ledger()).refunds).toEqual([first.body]);
    await waitFor('the webhooks', () => types().includes('payment.refunded'), deadline);
    expect(types()).toHaveLength(2);
  });

  test('a declined charge cannot be refunded, nor one that does not exist', async () => {
    const { body } = await charge('k1', payment('tok_decline'));
    expect((await refund(body.id)).status).toBe(409);
    expect((await refund('ch_none')).status).toBe(404);
  });
});

describe('webhooks', () => {
  test('a webhook says what happened and is signed', async () => {
    const { body } = await charge('k1', payment('tok_approve'));
    const [webhook] = await waitFor('the webhook', () => received.length > 0 && received, deadline);
    const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature } = webhook?.headers ?? {};
    const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
    const expected = createHmac('sha256', key).update(`${id}.${timestamp}.${webhook?.body}`).digest('base64');
    expect(signature).toBe(`v1,${expected}`);
    expect(Math.abs(Number(timestamp) - Date.now() / 1000)).toBeLessThan(10);
    expect(webhook?.event).toMatchObject({
      type: 'payment.captured',
      data: { chargeId: body.id, idempotencyKey: 'k1', reference: 'purchase-1', amountMinor: 1250, status: 'captured' },
    });
  });

  test('a webhook that is not taken is sent again with the same id', async () => {
    receiverStatus = 500;
    await charge('k1', payment('tok_decline'));
    await waitFor('two attempts', () => received.length >= 2, deadline);
    receiverStatus = 204;
    const before = received.length;
    await waitFor('an attempt that is taken', () => received.length > before, deadline);
    expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect(new Set(types())).toEqual(new Set(['payment.declined']));
  });

  test('webhookFirst: the webhook is there before the answer; webhookTwice: it comes twice', async () => {
    await setFaults({ webhookFirst: true, webhookTwice: true });
    await charge('k1', payment('tok_approve'));
    expect(types()).toEqual(['payment.captured', 'payment.captured']);
    expect(received[0]?.headers['webhook-id']).toBe(received[1]?.headers['webhook-id']);
  });

  test('webhookLossRate: lost webhooks never come; webhookDelayMs: late ones do', async () => {
    await setFaults({ webhookLossRate: 1 });
    await charge('lost', payment('tok_approve'));
    await setFaults({ webhookDelayMs: 300 });
    await charge('late', payment('tok_decline'));
    await waitFor('the late webhook', () => received.length > 0, deadline);
    expect(types()).toEqual(['payment.declined']);
  });
});

describe('faults', () => {
  test('down: nothing answers but health, and nothing happens', async () => {
    await setFaults({ down: true });
    expect((await charge('k1', payment('tok_approve'))).status).toBe(503);
    expect((await call('/health')).status).toBe(200);
    await call('/_faults', { method: 'DELETE' });
    expect((await ledger()).charges).toEqual([]);
  });

  test('failRate: the same seed fails the same requests', async () => {
    const attempt = async (round: string) => {
      await setFaults({ failRate: 0.5, seed: 3 });
      const statuses: number[] = [];
      for (let n = 0; n < 12; n += 1) statuses.push((await charge(`${round}${n}`, payment('tok_approve'))).status);
      return statuses;
    };
    const first = await attempt('a');
    expect(new Set(first)).toEqual(new Set([500, 201]));
    expect(await attempt('b')).toEqual(first);
  });

  test('lostAnswerRate: the charge is made although the connection was cut', async () => {
    await setFaults({ lostAnswerRate: 1 });
    await expect(charge('k1', payment('tok_approve'))).rejects.toThrow();
    expect((await call('/v1/charges/k1')).body.status).toBe('captured');
  });

  test('slowMs: a query before the charge finds nothing, and the charge is made all the same', async () => {
    await setFaults({ slowMs: 300 });
    await expect(charge('k1', payment('tok_approve'), { signal: AbortSignal.timeout(50) })).rejects.toThrow();
    expect((await call('/v1/charges/k1')).status).toBe(404);
    await waitFor('the charge', async () => (await call('/v1/charges/k1')).status === 200, deadline);
  });

  test('settings that are not understood are refused', async () => {
    expect((await setFaults({ failRate: 2 })).status).toBe(400);
    expect((await setFaults({ unknown: true })).status).toBe(400);
  });
});

describe('several instances, killed', () => {
  const children: ChildProcess[] = [];

  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
  });

  async function startProcess() {
    const main = join(import.meta.dirname, 'main.ts');
    const flags = ['--data-dir', dataDir, '--webhook-url', webhookUrl];
    const child = spawn(process.execPath, [main, ...flags], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, PROVIDER_API_KEY: apiKey, PROVIDER_WEBHOOK_SECRET: secret },
    });
    children.push(child);
    const [line] = await once(createInterface({ input: child.stdout }), 'line');
    return { child, url: (JSON.parse(line) as { url: string }).url };
  }

  test('a key asked of three instances at once is charged once', async () => {
    const others = await Promise.all([startProcess(), startProcess()]);
    const urls = [provider.url, ...others.map(({ url }) => url)];
    const requests = Array.from({ length: 90 }, (_, n) =>
      charge(`k${Math.floor(n / 9)}`, payment('tok_approve'), { url: urls[n % 3] }),
    );
    const replies = await Promise.all(requests);
    expect(replies.map(({ status }) => status)).toEqual(Array(90).fill(201));
    expect((await ledger()).charges).toHaveLength(10);
    await waitFor('the webhooks', () => received.length >= 10, deadline);
    expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(10);
  });

  test('what was answered survives kill -9, and its webhook is sent by another instance', async () => {
    const { child, url } = await startProcess();
    receiverStatus = 500;
    const { body } = await charge('k1', payment('tok_approve'), { url });
    await waitFor('a first attempt', () => received.length > 0, deadline);
    child.kill('SIGKILL');
    await once(child, 'exit');
    receiverStatus = 204;
    const before = received.length;
    expect((await charge('k1', payment('tok_approve'))).body).toEqual(body);
    await waitFor('the webhook from another instance', () => received.length > before, { timeoutMs: 20_000 });
  }, 30_000);
});

test('an instance without an API key, or with webhooks unsigned, does not start', async () => {
  await expect(startProvider({ apiKey: '' })).rejects.toThrow('API key');
  await expect(startProvider({ apiKey: 'k', webhookUrl })).rejects.toThrow('secret');
});
