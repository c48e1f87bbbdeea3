/** Health and dead letters, on real databases and queues. */

import { createServer, type Socket } from 'node:net';
import { gunzipSync } from 'node:zlib';
import {
  PurgeQueueCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
} from '@aws-sdk/client-sqs';
import { apiDocument } from '#functions/http/document.ts';
import { handler as allocate } from '#functions/queue/allocate.ts';
import { getHealth } from '#operations/health.ts';
import type { Health } from '#operations/operations.shapes.ts';
import { firstSentAttribute } from '#platform/aws/dead-letter-queue.ts';
import { type Deps, openDeps } from '#platform/environment/deps.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import { deliveriesAtMost } from '#platform/kernel/time-limits.ts';
import { keys } from '#platform/redis/keys.ts';
import { noteOldestMessageAge } from '#platform/redis/oldest-message-age.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { newId } from '#test/support/ids.ts';
import { type Api, openApi } from '../support/api.ts';
import { deliver } from '../support/deliver.ts';
import { delivered, givenSale } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;
let operator: string;

beforeAll(async () => {
  bed = await testBed();
  api = openApi();
  deps = await api.deps();
  await redisReady(deps.redis);
  operator = await api.operator();
});

afterAll(async () => {
  await api?.close();
  await bed?.close();
});

describe('health', () => {
  /** Health of this bed with some of its parts elsewhere. */
  async function healthWith(changes: Record<string, string>) {
    const other = openDeps({ ...bed.registry, ...changes });
    const startedAt = Date.now();
    try {
      const health = await getHealth(other, { role: 'operator' });
      return { health, tookMs: Date.now() - startedAt };
    } finally {
      // What hangs cannot be closed in good order either.
      await other.close().catch(() => undefined);
    }
  }
  const failing = (parts: Health['parts']) => parts.filter(({ ok }) => !ok).map(({ name }) => name);

  test('is ok when every part answers, and counts what waits', async () => {
    const { status, body } = await api.call('GET /health', { token: await api.operator() });
    expect([status, body.status]).toEqual([200, 'ok']);
    const names = body.parts.map(({ name }: { name: string }) => name);
    expect(names).toEqual(expect.arrayContaining(['mysql', 'redis', 'bus', 'provider/1', 'queue/reservations']));
    const queue = body.parts.find(({ name }: { name: string }) => name === 'queue/reservations');
    expect(queue).toMatchObject({ ok: true, required: true, waiting: 0, deadLetters: 0 });
    expect(body.breakers['provider/1']).toBe('closed');
  });

  test('tells how much waits to operators only', async () => {
    const { token } = await api.customer();
    const gone = openDeps({ ...bed.registry, 'queue/reservations': `${bed.registry['queue/reservations']}-gone` });
    const refusal = JSON.stringify(await getHealth(gone, { role: 'customer' }));
    await gone.close();
    const shown = [{}, { token }, { token: 'made up' }].map(async (sent) => (await api.call('GET /health', sent)).text);
    for (const text of [refusal, ...(await Promise.all(shown))]) {
      expect(text).toContain('queue/reservations');
      expect(text).not.toMatch(/waiting|deadLetters/);
    }
  });

  test('shows no address and no credential', async () => {
    const { text } = await api.call('GET /health');
    expect(text).not.toMatch(/127\.0\.0\.1|localhost|:\/\/|root|secret|sk_|whsec/);
  });

  test('is degraded, and still 200, when MySQL, Redis and the provider are unavailable: requests are accepted', async () => {
    const { health } = await healthWith({
      'mysql/main': 'mysql://root@127.0.0.1:1/x',
      'redis/main': 'redis://127.0.0.1:1',
      'provider/payments': 'http://127.0.0.1:1',
    });
    if (isRefusal(health)) throw new Error(health.detail);
    expect(health.status).toBe('degraded');
    expect(failing(health.parts)).toEqual(['mysql', 'redis', 'provider/1']);
    expect(JSON.stringify(health)).not.toContain('127.0.0.1');
  });

  test('is refused when reservations cannot be queued, with the same facts', async () => {
    const gone = `${bed.registry['queue/reservations']}-gone`;
    const { health } = await healthWith({ 'queue/reservations': gone });
    expect(health).toMatchObject({ refused: 'queue_unavailable' });
    if (!isRefusal(health)) throw new Error('not refused');
    expect(failing(health.facts?.parts as Health['parts'])).toEqual(['queue/reservations']);
  });

  test('waits for no part that hangs', async () => {
    const open = new Set<Socket>();
    const silent = createServer((socket) => open.add(socket));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    const { health, tookMs } = await healthWith({
      'mysql/main': `mysql://root@127.0.0.1:${port}/x`,
      'redis/main': `redis://127.0.0.1:${port}`,
      'provider/payments': `http://127.0.0.1:${port}`,
    });
    for (const socket of open) socket.destroy();
    silent.close();
    if (isRefusal(health)) throw new Error(health.detail);
    expect(failing(health.parts)).toEqual(['mysql', 'redis', 'provider/1']);
    expect(tookMs).toBeLessThan(5_000);
  });

  test('shows a breaker that another process opened', async () => {
    const key = keys.breaker(`payments:${new URL(bed.registry['provider/payments']?.split(',')[0] ?? '').host}`);
    await deps.redis.set(key, Date.now() + 60_000);
    const { health } = await healthWith({});
    await deps.redis.del(key);
    expect(health).toMatchObject({ breakers: { 'provider/1': 'open' } });
  });
});

describe('dead letters', () => {
  const dead = (queue: string) => bed.registry[`dead/${queue}`];
  const live = (queue: string) => bed.registry[`queue/${queue}`];

  async function deadLetter(queue: string, body: string, attributes: Record<string, string> = {}): Promise<string> {
    const { MessageId = '' } = await deps.sqs.send(
      new SendMessageCommand({
        QueueUrl: dead(queue),
        MessageBody: body,
        MessageAttributes: Object.fromEntries(
          Object.entries(attributes).map(([name, StringValue]) => [name, { DataType: 'String', StringValue }]),
        ),
      }),
    );
    return MessageId;
  }

  /** Takes everything out of a queue. */
  async function drain(queue: string) {
    const bodies: { body: string; firstSentAtMs: number }[] = [];
    for (;;) {
      const { Messages = [] } = await deps.sqs.send(
        new ReceiveMessageCommand({ QueueUrl: live(queue), MaxNumberOfMessages: 10, MessageAttributeNames: ['All'] }),
      );
      if (Messages.length === 0) return bodies;
      for (const { Body = '', MessageAttributes } of Messages) {
        bodies.push({ body: Body, firstSentAtMs: Number(MessageAttributes?.[firstSentAttribute]?.StringValue) });
      }
    }
  }

  const list = (query = '') => api.call(`GET /ops/dead-letters${query}`, { token: operator });
  const redrive = (json: unknown) => api.call('POST /ops/dead-letters/redrive', { json, token: operator });

  test('are for operators only', async () => {
    const { token } = await api.customer();
    expect((await api.call('GET /ops/dead-letters', { token })).body.code).toBe('forbidden');
    const json = { queue: 'pay', messageIds: 'all' };
    expect((await api.call('POST /ops/dead-letters/redrive', { token, json })).body.code).toBe('forbidden');
    expect((await api.call('POST /ops/dead-letters/redrive', { json })).body.code).toBe('unauthenticated');
  });

  test('a message that no consumer can read says so, once it has failed for the last time', async () => {
    const poison = '{"saleId":"not an id"}';
    const messageId = await deadLetter('reservations', poison);
    // What the consumer does with the delivery that makes it a dead letter.
    expect(await deliver(allocate, [{ messageId, body: poison, deliveries: deliveriesAtMost }])).toEqual([messageId]);
    const { body } = await list('?queue=reservations');
    expect(body.items).toEqual([
      expect.objectContaining({ queue: 'reservations', messageId, body: poison, cause: expect.anything() }),
    ]);
    expect(body.items[0].cause.kind).toBe('unreadable');
    expect(body.items[0].cause.detail).toContain('reservationId');
    expect(body.queues).toContainEqual({ queue: 'reservations', deadLetters: 1 });
    // Listing does not remove it.
    expect((await list()).body.items).toHaveLength(1);
    await redrive({ queue: 'reservations', messageIds: [messageId] });
    await deps.sqs.send(new PurgeQueueCommand({ QueueUrl: deps.queue('reservations').url }));
  });

  test('an event that the bus could not deliver says which rule and why; otherwise the cause is unknown', async () => {
    const undelivered = await deadLetter('notifications', '{}', {
      ERROR_CODE: 'NO_RESOURCE',
      ERROR_MESSAGE: 'the queue is gone',
      RULE_ARN: 'arn:aws:events:us-east-1:000000000000:rule/bus/notify-customers',
    });
    const unexplained = await deadLetter('notifications', '{}');
    const { body } = await list('?queue=notifications');
    const causeOf = (id: string) => body.items.find((one: { messageId: string }) => one.messageId === id).cause;
    expect(causeOf(undelivered)).toEqual({
      kind: 'undeliverable',
      detail: 'notify-customers could not deliver the event: NO_RESOURCE the queue is gone',
    });
    expect(causeOf(unexplained).kind).toBe('unknown');
    expect((await redrive({ queue: 'notifications', messageIds: 'all' })).body).toEqual({ redriven: 2, remaining: 0 });
    await drain('notifications');
  });

  test('go back to their queue one by one, once, with the time at which they were first sent', async () => {
    const before = Date.now();
    const [first, second] = [await deadLetter('purchases', '{"n":1}'), await deadLetter('purchases', '{"n":2}')];
    const once = await redrive({ queue: 'purchases', messageIds: [first] });
    expect(once.body).toEqual({ redriven: 1, remaining: 1 });
    expect((await redrive({ queue: 'purchases', messageIds: [first] })).body).toEqual({ redriven: 0, remaining: 1 });
    const [message, ...more] = await drain('purchases');
    expect([message?.body, more.length]).toEqual(['{"n":1}', 0]);
    expect(message?.firstSentAtMs).toBeGreaterThanOrEqual(before - 1);
    expect(message?.firstSentAtMs).toBeLessThanOrEqual(Date.now());
    expect((await list('?queue=purchases')).body.items.map((one: { messageId: string }) => one.messageId)).toEqual([
      second,
    ]);
    await redrive({ queue: 'purchases', messageIds: 'all' });
    await drain('purchases');
  });

  test('go back all together, however many, also when two operators ask at once', async () => {
    const bodies = Array.from({ length: 60 }, (_, n) => `{"n":${n}}`);
    for (let start = 0; start < bodies.length; start += 10) {
      await deps.sqs.send(
        new SendMessageBatchCommand({
          QueueUrl: dead('settle'),
          Entries: bodies.slice(start, start + 10).map((MessageBody, n) => ({ Id: String(n), MessageBody })),
        }),
      );
    }
    const answers = await Promise.all([
      redrive({ queue: 'settle', messageIds: 'all' }),
      redrive({ queue: 'settle', messageIds: 'all' }),
    ]);
    expect(answers.map(({ body }) => body.redriven).reduce((sum, n) => sum + n, 0)).toBe(60);
    expect((await drain('settle')).map(({ body }) => body).sort()).toEqual([...bodies].sort());
    expect((await list('?queue=settle')).body.items).toEqual([]);
  });

  test('of a queue that does not exist are 404, of messages that do not exist nothing', async () => {
    expect((await list('?queue=nowhere')).body.code).toBe('not_found');
    expect((await redrive({ queue: 'nowhere', messageIds: 'all' })).body.code).toBe('not_found');
    expect((await redrive({ queue: 'settle', messageIds: [newId()] })).body).toEqual({ redriven: 0, remaining: 0 });
  });
});

test('S14: an empty queue has no oldest message, however old that of its last batch was', async () => {
  const saleId = await givenSale(deps);
  const { url } = deps.queue('purchases');
  // Other tests leave messages in flight.
  await deps.sqs.send(new PurgeQueueCommand({ QueueUrl: url }));
  await noteOldestMessageAge(deps.redis, 'purchases', 1_002);
  const shown = async () => (await api.call(`GET /ops/sales/${saleId}`, { token: operator })).body.queues.purchases;
  expect(await shown()).toMatchObject({ waiting: 0, inFlight: 0, oldestMessageMs: null });
  await deps.queue('purchases').send({ body: {} });
  expect(await shown()).toMatchObject({ waiting: 1, oldestMessageMs: 1_002 });
  await deps.sqs.send(new PurgeQueueCommand({ QueueUrl: url }));
});

describe('a sale from the inside', () => {
  const overview = (saleId: string, token = operator) => api.call(`GET /ops/sales/${saleId}`, { token });
  const reported = (saleId: string, query = '', token = operator) =>
    api.call(`GET /ops/sales/${saleId}/report${query}`, { token });

  test('counts what the gate refused, by reason', async () => {
    const saleId = await givenSale(deps, { allotment: 5, capPerCustomer: 2 });
    const { token } = await api.customer();
    const reserve = (quantity: number, key: string) =>
      api.call(`POST /sales/${saleId}/reservations`, { token, key, json: { quantity } });
    expect((await reserve(1, 'the-first-one')).status).toBe(202);
    // The second of two with one key is the same refusal.
    for (const key of ['too-many-1', 'too-many-2', 'too-many-2', 'too-many-3'])
      expect((await reserve(2, key)).body.code).toBe('over_cap');
    const { gate } = (await overview(saleId)).body;
    expect(gate).toMatchObject({ requests: 1, refused: { over_cap: 3, sold_out: 0, sale_closed: 0 } });
    await deps.sqs.send(new PurgeQueueCommand({ QueueUrl: deps.queue('reservations').url }));
  });

  test('tells how it went: curves, refusals, who was served in the order of arrival, the money', async () => {
    const saleId = await givenSale(deps, { allotment: 5, capPerCustomer: 2, waitlistSize: 1 });
    const beganMs = Date.now();
    const batch = Array.from({ length: 8 }, (_, n) =>
      delivered(saleId, { key: `${n}`, ticket: beganMs * 1_000 + n, quantity: 1 }),
    );
    for (const { messageId, message } of batch) {
      expect(await deliver(allocate, [{ messageId, body: JSON.stringify(message) }])).toEqual([]);
    }
    const report = (await reported(saleId)).body;
    const sum = (name: string) =>
      report.points.reduce((total: number, point: Record<string, number>) => total + (point[name] ?? 0), 0);
    expect([sum('requested'), sum('decided'), sum('allocated'), sum('sold')]).toEqual([8, 8, 5, 0]);
    expect(report.turnedDown).toEqual({ sold_out: 2 });
    expect(
      report.turns.map(({ served, waiting, turnedDown }: Record<string, number>) => [served, waiting, turnedDown]),
    ).toEqual([...Array(5).fill([1, 0, 0]), [0, 1, 0], [0, 0, 1], [0, 0, 1]]);
    expect(report.money).toMatchObject({ currency: 'EUR', purchases: 0, paidMinor: 0 });
  });

  test('of a sale in which nothing has happened, has no curves', async () => {
    const report = (await reported(await givenSale(deps))).body;
    expect(report).toMatchObject({ points: [], turns: [], turnedDown: {}, granted: 0, nextCursor: null });
  });

  test('is not told to customers, nor for what is no such sale or question', async () => {
    const saleId = await givenSale(deps);
    const { token } = await api.customer();
    expect([(await overview(saleId, token)).status, (await reported(saleId, '', token)).status]).toEqual([403, 403]);
    for (const answer of [await overview(newId()), await reported(newId())]) expect(answer.body.code).toBe('not_found');
    for (const query of ['?cursor=', '?cursor=a%20b', '?limit=5']) {
      expect((await reported(saleId, query)).body.code).toBe('invalid_input');
    }
    // Neither made up nor of another list.
    expect((await reported(saleId, '?cursor=Zmlyc3QtcGFnZS1lbmRlZC1oZXJl')).body.code).toBe('unprocessable');
  });
});

test('the document and the page are served', async () => {
  const document = await api.call('GET /openapi.json');
  expect(document.body).toEqual(JSON.parse(JSON.stringify(apiDocument())));
  const page = await api.call('GET /docs');
  expect(page.headers['content-security-policy']).toContain("default-src 'none'");
  expect(page.text).toContain('<title>Holdfast API</title>');
  const script = await api.call('GET /docs/scalar.js');
  expect(script.headers['content-encoding']).toBe('gzip');
  expect(gunzipSync(Buffer.from(script.text, 'base64')).toString()).toContain('createApiReference');
});
