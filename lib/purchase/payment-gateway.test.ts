import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Provider, startProvider } from '#local/provider/server.ts';
import { systemClock } from '#platform/kernel/clock.ts';
import type { RedisClient } from '#platform/redis/redis.ts';
import { openBreakers } from '#platform/resilience/circuit-breaker.ts';
import { newId } from '#test/support/ids.ts';
import { openPaymentGateway, type PaymentGateway } from './payment-gateway.ts';
import type { ChargeOrder } from './provider.ts';

const apiKey = 'sk_test_payments';
const callTimeoutMs = 250;
const resetTimeoutMs = 300;

/** Every test here also shows that payments do not need Redis. */
const redis = { guarded: () => Promise.reject(new Error('Redis is unavailable')) } as unknown as RedisClient;
const shared = () => ({ redis, clock: systemClock, breakers: openBreakers() });

let provider: Provider;
const servers: Server[] = [];

beforeAll(async () => {
  provider = await startProvider({ apiKey });
});

afterAll(async () => {
  await provider.stop();
});

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

function payments(...addresses: string[]): PaymentGateway {
  return openPaymentGateway({ addresses, apiKey, shared: shared(), callTimeoutMs, resetTimeoutMs });
}

/** A provider of the worst sort: a server that answers as told. Counts its requests. */
async function serve(answer: RequestListener): Promise<{ url: string; requests: () => number }> {
  let requests = 0;
  const server = createServer((request, response) => {
    requests++;
    request.resume();
    answer(request, response);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests: () => requests };
}

/** An address at which nothing listens. */
async function deadAddress(): Promise<string> {
  const { url } = await serve(() => undefined);
  const server = servers.pop();
  await new Promise((resolve) => server?.close(resolve));
  return url;
}

const order = (paymentToken: string): ChargeOrder => ({
  purchaseId: newId(),
  amountMinor: 1_250,
  currency: 'EUR',
  paymentToken,
});

describe('payments through the sandbox provider', () => {
  it.each(['HUF', 'JPY', 'KWD', 'ISK', 'CLF'])('M7: %s is charged to the unit that was ordered', async (currency) => {
    const sent = { ...order('tok_approve'), amountMinor: 100_001, currency };
    const gateway = openPaymentGateway({ addresses: [provider.url], apiKey, shared: shared() });
    expect(await gateway.charge(sent)).toMatchObject({ outcome: 'captured' });
    const headers = { authorization: `Bearer ${apiKey}` };
    const { charges } = (await (await fetch(`${provider.url}/v1/ledger`, { headers })).json()) as {
      charges: { reference: string }[];
    };
    expect(charges.filter(({ reference }) => reference === sent.purchaseId)).toMatchObject([
      { amountMinor: 100_001, currency, status: 'captured' },
    ]);
  });

  it('an approved charge is captured, found again, and given back once', async () => {
    const client = payments(provider.url);
    const approved = order('tok_approve');
    const charged = await client.charge(approved);
    const { purchaseId, amountMinor, currency } = approved;
    const capture = { chargeId: expect.stringMatching(/^ch_/), amountMinor, currency, reference: purchaseId };
    expect(charged).toEqual({ outcome: 'captured', ...capture });
    expect(await client.find(approved.purchaseId)).toEqual(charged);
    const chargeId = charged.outcome === 'captured' ? charged.chargeId : '';
    const refund = { purchaseId, chargeId, refundKey: 'refund', amountMinor, currency, refusals: 0 };
    const given = await client.refund(refund);
    expect(given).toMatchObject({ outcome: 'refunded', chargeId, refundKey: 'refund', amountMinor });
    expect(await client.refund(refund)).toEqual(given);
    expect(await client.refund({ ...refund, refundKey: 'more', amountMinor: 1 })).toEqual({
      ...{ outcome: 'refused', refundKey: 'more', reason: 'exceeds_charge' },
    });
  });

  it('a charge that waits for its customer says where, and is stopped once; the customer may be faster', async () => {
    const client = payments(provider.url);
    const [stopped, confirmed] = [order('tok_action_60'), order('tok_action_60')];
    const asked = await client.charge(stopped);
    expect(asked).toEqual({
      outcome: 'requires_action',
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/actions\/act_/),
      deadlineMs: expect.any(Number),
    });
    expect(await client.charge(stopped)).toEqual(asked);
    expect(await client.find(stopped.purchaseId)).toEqual(asked);
    for (let times = 0; times < 2; times++) {
      const answer = await client.cancel(stopped.purchaseId, 'action_expired');
      expect(answer).toEqual({ outcome: 'declined', reason: 'action_expired' });
    }
    const other = await client.charge(confirmed);
    const url = other.outcome === 'requires_action' ? other.url : '';
    await fetch(url, { method: 'POST', body: new URLSearchParams({ decision: 'confirm' }) });
    expect(await client.cancel(confirmed.purchaseId, 'given_up')).toMatchObject({ outcome: 'captured' });
    expect(await client.cancel(newId(), 'given_up')).toEqual({ outcome: 'absent' });
  });

  it('a declined charge says why', async () => {
    expect(await payments(provider.url).charge(order('tok_decline_insufficient_funds'))).toEqual({
      outcome: 'declined',
      reason: 'insufficient_funds',
    });
  });

  it('a charge sent twice is one charge', async () => {
    const client = payments(provider.url);
    const approved = order('tok_approve');
    expect(await client.charge(approved)).toEqual(await client.charge(approved));
  });

  it('a charge that was never made is absent', async () => {
    expect(await payments(provider.url).find(newId())).toEqual({ outcome: 'absent' });
  });

  it('charged, but no answer in time: unknown, and a query finds it', async () => {
    const client = payments(provider.url);
    const lost = order('tok_charged_timeout');
    expect(await client.charge(lost)).toMatchObject({ outcome: 'unknown' });
    expect(await client.find(lost.purchaseId)).toMatchObject({ outcome: 'captured' });
  });

  it('a 500 is unknown, never declined', async () => {
    expect(await payments(provider.url).charge(order('tok_error'))).toMatchObject({ outcome: 'unknown' });
  });

  it('with a wrong API key nothing is charged or declined', async () => {
    const stranger = openPaymentGateway({ addresses: [provider.url], apiKey: 'wrong', shared: shared() });
    expect(await stranger.charge(order('tok_approve'))).toMatchObject({ outcome: 'unknown' });
  });
});

const money = { amountMinor: 1_250, currency: 'EUR', reference: 'r' };
const charge = (change: object = {}) => JSON.stringify({ id: 'ch_1', status: 'captured', ...money, ...change });
const refund = {
  ...{ purchaseId: newId(), chargeId: 'ch_1', refundKey: 'refund', amountMinor: 500, currency: 'EUR', refusals: 0 },
};

describe('M4: a 4xx of the provider is an answer', () => {
  it.each([
    [400, 'refused', '{"error":{"code":"bad"}}', 'bad'],
    [402, 'refused', '{"error":{"code":"no_funds"}}', 'no_funds'],
    [404, 'refused', '<html>nothing here</html>', 'http_404'],
    [409, 'refused', '', 'http_409'],
    [422, 'refused', '{}', 'http_422'],
  ])('to a refund, %s is %s', async (status, outcome, body, reason) => {
    const { url } = await serve((_request, response) => response.writeHead(status).end(body));
    expect(await payments(url).refund(refund)).toEqual({ outcome, refundKey: 'refund', reason });
  });

  it.each([401, 403, 408, 425, 500, 503])('to a refund, %s says nothing of it', async (status) => {
    const { url } = await serve((_request, response) => response.writeHead(status).end('{}'));
    expect(await payments(url).refund(refund)).toMatchObject({ outcome: 'unknown' });
  });

  it('opens no breaker, however often it comes', async () => {
    const statuses = [400, 401, 402, 403, 404, 409, 410, 422];
    let turn = 0;
    const { url, requests } = await serve((_request, response) =>
      response.writeHead(statuses[turn++ % statuses.length] ?? 404).end('no'),
    );
    const client = payments(url);
    for (let call = 0; call < 60; call++) {
      await (call % 2 === 0 ? client.refund(refund) : client.charge(order('tok_approve')));
    }
    expect(requests()).toBe(60);
    expect(client.instances().map(({ state }) => state)).toEqual(['closed']);
  });
});

describe('payments through a provider that misbehaves', () => {
  it.each([
    ['a body that is not JSON', '<html>It works</html>', 201],
    ['an empty body', '', 201],
    ['a status that we do not know', charge({ status: 'pending' }), 201],
    ['no id', charge({ id: undefined }), 201],
    ['no amount', charge({ amountMinor: undefined }), 201],
    ['no currency', charge({ currency: undefined }), 201],
    ['no reference', charge({ reference: undefined }), 201],
    ['an id without end', charge({ id: 'x'.repeat(65) }), 201],
    ['a key conflict, which means that there is a charge', '{"error":{}}', 422],
    ['a success without a charge', charge(), 204],
    ['a redirect', '', 302],
  ])('%s is unknown', async (_, body, status) => {
    const { url } = await serve((_request, response) => {
      response.writeHead(status, { location: 'http://127.0.0.1:1/' });
      response.end(status === 204 ? undefined : body);
    });
    expect(await payments(url).charge(order('tok_approve'))).toMatchObject({ outcome: 'unknown' });
  });

  it('a connection cut after the request is unknown, and no other instance is charged', async () => {
    const cut = await serve((request) => request.socket.destroy());
    const other = await serve((_request, response) => response.end());
    expect(await payments(cut.url, other.url).charge(order('tok_approve'))).toMatchObject({ outcome: 'unknown' });
    expect(other.requests()).toBe(0);
  });

  it('an answer that never ends is unknown within the time of a call', async () => {
    const { url } = await serve((_request, response) => {
      response.writeHead(201);
      response.write('{"id":');
    });
    const startedMs = Date.now();
    expect(await payments(url).charge(order('tok_approve'))).toMatchObject({ outcome: 'unknown' });
    expect(Date.now() - startedMs).toBeLessThan(4 * callTimeoutMs);
  });

  it('an instance that cannot be reached, or is too busy, is skipped: nothing was done', async () => {
    const busy = await serve((_request, response) => response.writeHead(429).end());
    const client = payments(await deadAddress(), busy.url, provider.url);
    for (let turn = 0; turn < 6; turn++) {
      expect(await client.charge(order('tok_approve'))).toMatchObject({ outcome: 'captured' });
    }
  });

  it('no instance at all: unsent', async () => {
    expect(await payments(await deadAddress(), await deadAddress()).charge(order('tok_approve'))).toMatchObject({
      outcome: 'unsent',
    });
  });

  it('healthy instances share the calls', async () => {
    const answer: RequestListener = (_request, response) => response.writeHead(201).end(charge());
    const [first, second] = [await serve(answer), await serve(answer)];
    const client = payments(first.url, second.url);
    for (let turn = 0; turn < 10; turn++) await client.charge(order('tok_approve'));
    expect([first.requests(), second.requests()]).toEqual([5, 5]);
  });

  it('a failing instance is taken out by its breaker, its share goes to the other, and it comes back', async () => {
    let broken = true;
    const flaky = await serve((_request, response) =>
      broken ? response.writeHead(500).end() : response.writeHead(201).end(charge({ id: 'ch_2' })),
    );
    const client = payments(flaky.url, provider.url);
    const outcomes: string[] = [];
    for (let turn = 0; turn < 40; turn++) outcomes.push((await client.charge(order('tok_approve'))).outcome);
    const failures = flaky.requests();
    expect(failures).toBeLessThan(15);
    // Only those who met the failing instance do not know; all others are served, even on a slow machine.
    expect(outcomes.filter((outcome) => outcome === 'unknown')).toHaveLength(failures);
    expect(outcomes.filter((outcome) => outcome === 'captured')).toHaveLength(40 - failures);
    expect(client.instances().map(({ state }) => state)).toEqual([expect.not.stringMatching('closed'), 'closed']);

    broken = false;
    const giveUpAtMs = Date.now() + 5_000;
    while (client.instances()[0]?.state !== 'closed' && Date.now() < giveUpAtMs) {
      await client.charge(order('tok_approve'));
    }
    expect(client.instances().map(({ state }) => state)).toEqual(['closed', 'closed']);
    expect(flaky.requests()).toBeGreaterThan(failures);
  });

  it('with all breakers open, calls fail at once and nothing is sent', async () => {
    const down = await serve((_request, response) => response.writeHead(503).end());
    const client = payments(down.url);
    let last = await client.charge(order('tok_approve'));
    for (let turn = 0; turn < 20 && last.outcome !== 'unsent'; turn++) last = await client.charge(order('tok_approve'));
    expect(last).toMatchObject({ outcome: 'unsent', reason: expect.stringContaining('breaker') });
    const before = down.requests();
    expect(await client.find(newId())).toMatchObject({ outcome: 'unsent' });
    expect(down.requests()).toBe(before);
  });
});
