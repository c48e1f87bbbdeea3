/**
 * The local EventBridge as its clients see it: the real SDK client, real queues (fauxqs, in this process), and for
 * durability the real process, killed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as bridge from '@aws-sdk/client-eventbridge';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type FauxqsServer, startFauxqs } from 'fauxqs';
import { waitFor } from '../wait.ts';
import { type EventsServer, startEventsServer } from './server.ts';

const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
const arn = 'arn:aws:sqs:us-east-1:000000000000';

let sqs: FauxqsServer;
let events: EventsServer;
let client: bridge.EventBridgeClient;
let nowMs: number;

beforeAll(async () => {
  sqs = await startFauxqs({ port: 0, logger: false });
});

afterAll(() => sqs.stop());

beforeEach(async () => {
  for (const name of ['orders', 'audit', 'dead']) sqs.createQueue(name);
  nowMs = Date.parse('2026-03-01T12:00:00Z');
  events = await startEventsServer({
    sqsEndpoint: sqs.address,
    now: () => nowMs,
    backOff: { firstMs: 5, longestMs: 20 },
    log: () => {},
  });
  client = clientOf(events.url);
});

afterEach(async () => {
  client.destroy();
  await events.stop();
  for (const name of ['orders', 'audit', 'dead']) sqs.deleteQueue(name);
});

function clientOf(endpoint: string): bridge.EventBridgeClient {
  return new bridge.EventBridgeClient({ endpoint, region: 'us-east-1', credentials, maxAttempts: 1 });
}

function messages(queue: string) {
  return sqs.inspectQueue(queue)?.messages.ready ?? [];
}

function arrivals(queue: string, count: number) {
  return waitFor(`${count} messages in ${queue}`, () => messages(queue).length >= count && messages(queue), {
    timeoutMs: 10_000,
  });
}

async function route(pattern: unknown, target: Partial<bridge.Target> = {}, rule = 'orders') {
  await client.send(new bridge.PutRuleCommand({ Name: rule, EventPattern: JSON.stringify(pattern) }));
  await client.send(
    new bridge.PutTargetsCommand({ Rule: rule, Targets: [{ Id: 'queue', Arn: `${arn}:orders`, ...target }] }),
  );
}

const order = (n: number) => ({ Source: 'shop', DetailType: 'order', Detail: JSON.stringify({ n }) });

async function admin(path: string, body?: unknown, method = 'POST') {
  const response = await fetch(`${events.url}${path}`, {
    method,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

describe('buses, rules and targets', () => {
  test('a bus can be created and described; the default bus is always there', async () => {
    const { EventBusArn } = await client.send(new bridge.CreateEventBusCommand({ Name: 'shop' }));
    expect(EventBusArn).toBe('arn:aws:events:us-east-1:000000000000:event-bus/shop');
    await expect(client.send(new bridge.CreateEventBusCommand({ Name: 'shop' }))).rejects.toBeInstanceOf(
      bridge.ResourceAlreadyExistsException,
    );
    expect(await client.send(new bridge.DescribeEventBusCommand({ Name: EventBusArn }))).toMatchObject({
      Name: 'shop',
      CreationTime: new Date(nowMs),
    });
    expect(await client.send(new bridge.DescribeEventBusCommand({ Name: 'default' }))).toMatchObject({
      Name: 'default',
    });
    await expect(client.send(new bridge.DescribeEventBusCommand({ Name: 'none' }))).rejects.toBeInstanceOf(
      bridge.ResourceNotFoundException,
    );
  });

  test('a rule can be put, disabled, listed and deleted', async () => {
    for (const [name, State] of [
      ['a', 'DISABLED'],
      ['b', 'ENABLED'],
    ] as const) {
      await client.send(new bridge.PutRuleCommand({ Name: name, State, ScheduleExpression: 'rate(5 minutes)' }));
    }
    const rule = (name: string, State: string) => ({
      Name: name,
      Arn: `arn:aws:events:us-east-1:000000000000:rule/${name}`,
      EventBusName: 'default',
      ScheduleExpression: 'rate(5 minutes)',
      State,
    });
    expect((await client.send(new bridge.ListRulesCommand({}))).Rules).toEqual([
      rule('a', 'DISABLED'),
      rule('b', 'ENABLED'),
    ]);
    await client.send(new bridge.DeleteRuleCommand({ Name: 'a' }));
    expect((await client.send(new bridge.ListRulesCommand({}))).Rules).toEqual([rule('b', 'ENABLED')]);
  });

  test('targets are put, listed as they were put, and removed; a rule with targets cannot be deleted', async () => {
    const target = { RetryPolicy: { MaximumRetryAttempts: 3 }, DeadLetterConfig: { Arn: `${arn}:dead` } };
    await route({ source: ['shop'] }, target);
    const { Targets } = await client.send(new bridge.ListTargetsByRuleCommand({ Rule: 'orders' }));
    expect(Targets).toEqual([{ Id: 'queue', Arn: `${arn}:orders`, ...target }]);
    await expect(client.send(new bridge.DeleteRuleCommand({ Name: 'orders' }))).rejects.toThrow('has targets');
    await client.send(new bridge.RemoveTargetsCommand({ Rule: 'orders', Ids: ['queue'] }));
    await client.send(new bridge.DeleteRuleCommand({ Name: 'orders' }));
    expect((await client.send(new bridge.ListRulesCommand({}))).Rules).toEqual([]);
  });

  test.each<[string, bridge.Target]>([
    ['a Lambda function', { Id: 't', Arn: 'arn:aws:lambda:us-east-1:000000000000:function:f' }],
    ['an InputPath', { Id: 't', Arn: `${arn}:orders`, InputPath: '$.detail' }],
    ['a FIFO queue', { Id: 't', Arn: `${arn}:orders.fifo` }],
    ['a constant input', { Id: 't', Arn: `${arn}:orders`, Input: '{}' }],
    ['a retry policy out of range', { Id: 't', Arn: `${arn}:orders`, RetryPolicy: { MaximumRetryAttempts: 186 } }],
    ['dead letters outside SQS', { Id: 't', Arn: `${arn}:orders`, DeadLetterConfig: { Arn: 'arn:aws:sns:x:1:t' } }],
  ])('a target that is %s is refused with a reason', async (_, target) => {
    await client.send(new bridge.PutRuleCommand({ Name: 'r', EventPattern: '{"source":["a"]}' }));
    await expect(client.send(new bridge.PutTargetsCommand({ Rule: 'r', Targets: [target] }))).rejects.toMatchObject({
      name: 'ValidationException',
      message: expect.stringMatching(/./),
    });
    expect((await client.send(new bridge.ListTargetsByRuleCommand({ Rule: 'r' }))).Targets).toEqual([]);
  });

  test('a pattern, a schedule or a place for it that AWS refuses is refused', async () => {
    await client.send(new bridge.CreateEventBusCommand({ Name: 'shop' }));
    const put = (input: Omit<bridge.PutRuleCommandInput, 'Name'>) =>
      client.send(new bridge.PutRuleCommand({ Name: 'r', ...input }));
    await expect(put({ EventPattern: '{"source":[]}' })).rejects.toBeInstanceOf(bridge.InvalidEventPatternException);
    await expect(put({ EventPattern: '{"source":[{"prefix":"a"}]}' })).rejects.toThrow('not emulated locally');
    await expect(put({ ScheduleExpression: 'rate(1 minutes)' })).rejects.toThrow('rate(1 minute)');
    await expect(put({ ScheduleExpression: 'cron(0 10 * * ? *)' })).rejects.toThrow('only rate(value unit)');
    await expect(put({ ScheduleExpression: 'rate(1 minute)', EventBusName: 'shop' })).rejects.toThrow('default');
    await expect(put({})).rejects.toThrow('must be specified');
    await expect(put({ EventPattern: '{"source":["a"]}', EventBusName: 'none' })).rejects.toBeInstanceOf(
      bridge.ResourceNotFoundException,
    );
  });

  test('an operation that is not emulated says so', async () => {
    await expect(client.send(new bridge.ListArchivesCommand({}))).rejects.toMatchObject({
      name: 'UnknownOperationException',
    });
  });
});

describe('events', () => {
  test('an event reaches the queues of the rules that want it, in the envelope EventBridge gives it', async () => {
    await route({ source: ['shop'], detail: { n: [2] } });
    await route({ source: ['shop'] }, { Arn: `${arn}:audit` }, 'audit');
    const { Entries, FailedEntryCount } = await client.send(
      new bridge.PutEventsCommand({
        Entries: [order(1), { ...order(2), Resources: ['r'], Time: new Date('2026-02-03T04:05:06.789Z') }],
      }),
    );
    expect(FailedEntryCount).toBe(0);
    const [message] = await arrivals('orders', 1);
    expect(JSON.parse(message?.body ?? '')).toEqual({
      version: '0',
      id: Entries?.[1]?.EventId,
      'detail-type': 'order',
      source: 'shop',
      account: '000000000000',
      time: '2026-02-03T04:05:06Z',
      region: 'us-east-1',
      resources: ['r'],
      detail: { n: 2 },
    });
    expect((await arrivals('audit', 2)).map(({ body }) => JSON.parse(body).detail.n)).toEqual([1, 2]);
    expect(messages('orders')).toHaveLength(1);
  });

  test('each entry is judged alone', async () => {
    await route({ source: ['shop'] });
    const { Entries, FailedEntryCount } = await client.send(
      new bridge.PutEventsCommand({
        Entries: [
          order(1),
          { ...order(2), Detail: '{broken' },
          { ...order(3), Detail: '[3]' },
          { ...order(4), Source: undefined },
          { ...order(5), Source: 'aws.ec2' },
          { ...order(6), EventBusName: 'nowhere' },
          order(7),
        ],
      }),
    );
    expect(FailedEntryCount).toBe(4);
    expect(Entries?.map(({ ErrorCode, EventId }) => ErrorCode ?? typeof EventId)).toEqual([
      'string',
      'MalformedDetail',
      'MalformedDetail',
      'InvalidArgument',
      'NotAuthorizedForSourceException',
      'string',
      'string',
    ]);
    const arrived = await arrivals('orders', 2);
    expect(arrived.map(({ body }) => JSON.parse(body).detail.n)).toEqual([1, 7]);
  });

  test('more than ten entries or 256 KB are refused as a whole', async () => {
    const entries = (count: number, entry = order(0)) => ({ Entries: Array.from({ length: count }, () => entry) });
    await expect(client.send(new bridge.PutEventsCommand(entries(11)))).rejects.toThrow('Too big');
    const large = { ...order(0), Detail: JSON.stringify({ text: 'x'.repeat(60_000) }) };
    await expect(client.send(new bridge.PutEventsCommand(entries(5, large)))).rejects.toThrow('over the limit');
    expect((await client.send(new bridge.PutEventsCommand(entries(4, large)))).FailedEntryCount).toBe(0);
  });

  test('a disabled rule wants nothing', async () => {
    await route({ source: ['shop'] });
    await route({ source: ['shop'] }, { Arn: `${arn}:audit` }, 'audit');
    await client.send(
      new bridge.PutRuleCommand({ Name: 'orders', State: 'DISABLED', EventPattern: '{"source":["shop"]}' }),
    );
    await client.send(new bridge.PutEventsCommand({ Entries: [order(1)] }));
    await arrivals('audit', 1);
    expect(messages('orders')).toHaveLength(0);
  });

  test('what a missing queue cannot take goes to the dead-letter queue with the reason', async () => {
    await route({ source: ['shop'] }, { Arn: `${arn}:missing`, DeadLetterConfig: { Arn: `${arn}:dead` } });
    await client.send(new bridge.PutEventsCommand({ Entries: [order(1)] }));
    const [letter] = await arrivals('dead', 1);
    expect(JSON.parse(letter?.body ?? '').detail).toEqual({ n: 1 });
    expect(letter?.messageAttributes).toMatchObject({
      ERROR_CODE: { StringValue: 'NO_RESOURCE' },
      RULE_ARN: { StringValue: 'arn:aws:events:us-east-1:000000000000:rule/orders' },
      TARGET_ARN: { StringValue: `${arn}:missing` },
    });
  });
});

describe('schedules', () => {
  test('a rate fires each time it is due, with the time it was due', async () => {
    await client.send(new bridge.PutRuleCommand({ Name: 'tick', ScheduleExpression: 'rate(1 minute)' }));
    await client.send(
      new bridge.PutTargetsCommand({
        Rule: 'tick',
        Targets: [{ Id: 'event', Arn: `${arn}:orders` }],
      }),
    );
    await events.tick();
    nowMs += 61_000;
    await events.tick();
    await events.tick();
    nowMs += 60_000;
    await events.tick();
    const fired = (await arrivals('orders', 2)).map(({ body }) => JSON.parse(body));
    expect(fired).toHaveLength(2);
    expect(fired.map(({ time }) => time)).toEqual(['2026-03-01T12:01:00Z', '2026-03-01T12:02:00Z']);
    expect(fired[0]).toMatchObject({ source: 'aws.events', 'detail-type': 'Scheduled Event', detail: {} });
  });

  test('missed firings collapse into one, a disabled rule never fires, and /_fire fires out of turn', async () => {
    await client.send(new bridge.PutRuleCommand({ Name: 'tick', ScheduleExpression: 'rate(5 minutes)' }));
    await client.send(new bridge.PutTargetsCommand({ Rule: 'tick', Targets: [{ Id: 'event', Arn: `${arn}:orders` }] }));
    nowMs += 3_600_000;
    await events.tick();
    await client.send(
      new bridge.PutRuleCommand({ Name: 'tick', State: 'DISABLED', ScheduleExpression: 'rate(5 minutes)' }),
    );
    nowMs += 3_600_000;
    await events.tick();
    expect((await admin('/_fire', { rule: 'tick' })).body).toEqual({ fired: 'tick' });
    const times = (await arrivals('orders', 2)).map(({ body }) => JSON.parse(body).time);
    expect(times).toEqual(['2026-03-01T12:05:00Z', '2026-03-01T14:00:00Z']);
  });
});

describe('faults', () => {
  test('refused entries are answered so and never delivered; the same seed refuses the same entries', async () => {
    await route({ source: ['shop'] });
    const attempt = async () => {
      await admin('/_faults', { failEntries: 0.5, seed: 11 });
      const entries = Array.from({ length: 10 }, (_, n) => order(n));
      return (await client.send(new bridge.PutEventsCommand({ Entries: entries }))).Entries?.map((e) => e.ErrorCode);
    };
    const [first, second] = [await attempt(), await attempt()];
    expect(first).toContain('InternalFailure');
    expect(first).toContain(undefined);
    expect(second).toEqual(first);
    const taken = first?.filter((code) => code === undefined).length ?? 0;
    await arrivals('orders', 2 * taken);
    const stats = (await admin('/_stats', undefined, 'GET')).body;
    expect(stats).toMatchObject({ accepted: 2 * taken, refused: 20 - 2 * taken, delivered: 2 * taken });
  });

  test('duplicates carry the same event id', async () => {
    await route({ source: ['shop'] });
    await admin('/_faults', { duplicate: 1 });
    const { Entries } = await client.send(new bridge.PutEventsCommand({ Entries: [order(1)] }));
    const ids = (await arrivals('orders', 2)).map(({ body }) => JSON.parse(body).id);
    expect(ids).toEqual([Entries?.[0]?.EventId, Entries?.[0]?.EventId]);
  });

  test('delayed and paused deliveries arrive when the faults end', async () => {
    await route({ source: ['shop'] });
    await admin('/_faults', { delayMs: 30_000, pauseRules: ['orders'] });
    await client.send(new bridge.PutEventsCommand({ Entries: [order(1)] }));
    nowMs += 31_000;
    await events.tick();
    expect((await admin('/_stats', undefined, 'GET')).body).toMatchObject({ pending: 1, delivered: 0 });
    expect((await admin('/_faults', undefined, 'DELETE')).body).toMatchObject({ delayMs: 0, pauseRules: [] });
    await arrivals('orders', 1);
  });

  test('settings that are not understood are refused', async () => {
    expect((await admin('/_faults', { failEntries: 2 })).status).toBe(400);
    expect((await admin('/_faults', { unknown: 1 })).status).toBe(400);
    expect((await admin('/_fire', { rule: 'none' })).status).toBe(400);
  });
});

describe('durability', () => {
  let dataDir: string;
  const children: ChildProcess[] = [];

  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'holdfast-events-'));
  });

  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    rmSync(dataDir, { recursive: true });
  });

  async function startProcess(sqsEndpoint: string) {
    const main = join(import.meta.dirname, 'main.ts');
    const args = [main, '--data-dir', dataDir, '--sqs-endpoint', sqsEndpoint];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(child);
    const [line] = await once(createInterface({ input: child.stdout }), 'line');
    const { ready, url } = JSON.parse(line) as { ready: boolean; url: string };
    expect(ready).toBe(true);
    return { child, url };
  }

  test('rules and accepted events survive kill -9 and reach the queue after a restart', async () => {
    // Nothing listens on port 9, so the first process can deliver nothing.
    const first = await startProcess('http://127.0.0.1:9');
    client.destroy();
    client = clientOf(first.url);
    await route({ source: ['shop'] });
    const batches = Array.from({ length: 30 }, (_, batch) => ({
      Entries: Array.from({ length: 10 }, (_, n) => order(batch * 10 + n)),
    }));
    await Promise.all(batches.map((batch) => client.send(new bridge.PutEventsCommand(batch))));
    first.child.kill('SIGKILL');
    await once(first.child, 'exit');

    const second = await startProcess(sqs.address);
    const arrived = await arrivals('orders', 300);
    expect(new Set(arrived.map(({ body }) => JSON.parse(body).detail.n)).size).toBe(300);
    client.destroy();
    client = clientOf(second.url);
    expect((await client.send(new bridge.ListRulesCommand({}))).Rules).toHaveLength(1);
    second.child.kill('SIGTERM');
    expect(await once(second.child, 'exit')).toEqual([0, null]);
  });

  test('a process killed again and again under traffic loses no event it accepted', async () => {
    const accepted = new Set<string>();
    const lives = 4;
    for (let life = 0; life < lives; life += 1) {
      const { child, url } = await startProcess(sqs.address);
      client.destroy();
      client = clientOf(url);
      if (life === 0) await route({ source: ['shop'] });
      const exited = once(child, 'exit');
      const enough = accepted.size + 200;
      const callers = Array.from({ length: 4 }, async () => {
        // The kill ends each caller: an unanswered call accepts nothing as far as the caller knows.
        for (;;) {
          const { Entries } = await client.send(new bridge.PutEventsCommand({ Entries: [order(1), order(2)] }));
          for (const { EventId } of Entries ?? []) accepted.add(EventId ?? '');
          if (accepted.size >= enough) child.kill('SIGKILL');
        }
      });
      await Promise.allSettled(callers);
      await exited;
    }
    await startProcess(sqs.address);
    const lost = () => {
      const arrived = new Set(messages('orders').map(({ body }) => JSON.parse(body).id));
      return [...accepted].filter((id) => !arrived.has(id));
    };
    await waitFor('every accepted event', () => lost().length === 0, { timeoutMs: 15_000 });
    expect(accepted.size).toBeGreaterThanOrEqual(lives * 200);
  }, 30_000);

  test('a schedule that came due while the process was dead fires once after the restart', async () => {
    const server = (startMs: number) =>
      startEventsServer({ dataDir, sqsEndpoint: sqs.address, now: () => startMs, log: () => {} });
    const before = await server(nowMs);
    client.destroy();
    client = clientOf(before.url);
    await client.send(new bridge.PutRuleCommand({ Name: 'tick', ScheduleExpression: 'rate(1 minute)' }));
    await client.send(new bridge.PutTargetsCommand({ Rule: 'tick', Targets: [{ Id: 'event', Arn: `${arn}:orders` }] }));
    await before.stop();
    const after = await server(nowMs + 600_000);
    await arrivals('orders', 1);
    await after.tick();
    await after.stop();
    expect(messages('orders')).toHaveLength(1);
  });

  test('a busy port is refused with the reason', async () => {
    await expect(startEventsServer({ port: events.port })).rejects.toThrow('EADDRINUSE');
  });
});
