import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { ReceiveMessageCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { createResources } from '#local/aws-resources.ts';
import type { Registry } from '#local/stack.ts';
import { waitFor } from '#local/wait.ts';
import { type TestBed, testBed, testStack } from '../support/stack.ts';

let bed: TestBed;
let other: TestBed;

beforeAll(async () => {
  [bed, other] = await Promise.all([testBed(), testBed()]);
});

afterAll(async () => {
  await Promise.all([bed.close(), other.close()]);
});

test('a bed has the tables of this version, and beds have different databases', async () => {
  const connection = await createConnection(bed.mysqlUrl);
  const [rows] = await connection.query<RowDataPacket[]>('SHOW TABLES');
  await connection.end();
  expect(rows.length).toBeGreaterThan(3);
  expect(bed.mysqlUrl).not.toBe(other.mysqlUrl);
  expect(bed.redisUrl).not.toBe(other.redisUrl);
});

test('the SDK finds the local endpoints from the environment alone, and queues of beds do not mix', async () => {
  const sqs = new SQSClient({});
  await sqs.send(new SendMessageCommand({ QueueUrl: bed.registry['queue/reservations'], MessageBody: 'mine' }));
  const elsewhere = await sqs.send(new ReceiveMessageCommand({ QueueUrl: other.registry['queue/reservations'] }));
  const here = await sqs.send(new ReceiveMessageCommand({ QueueUrl: bed.registry['queue/reservations'] }));
  sqs.destroy();
  expect(elsewhere.Messages ?? []).toHaveLength(0);
  expect(here.Messages?.[0]?.Body).toBe('mine');
});

test('an event reaches the queue its rule names, in its own bed only', async () => {
  const events = new EventBridgeClient({});
  const sqs = new SQSClient({});
  const Detail = JSON.stringify({ changes: [], stocks: [], released: true });
  const answer = await events.send(
    new PutEventsCommand({
      Entries: [
        { EventBusName: bed.registry['bus/main'], Source: 'holdfast', DetailType: 'reservations.changed', Detail },
      ],
    }),
  );
  expect(answer.FailedEntryCount).toBe(0);
  const receive = (queue: string | undefined) => sqs.send(new ReceiveMessageCommand({ QueueUrl: queue }));
  const notified = await waitFor(
    'the notification',
    async () => (await receive(bed.registry['queue/notifications'])).Messages?.[0],
    { timeoutMs: 15_000 },
  );
  expect(JSON.parse(notified.Body ?? '')).toMatchObject({ source: 'holdfast', detail: { released: true } });
  expect((await receive(other.registry['queue/notifications'])).Messages ?? []).toHaveLength(0);
  events.destroy();
  sqs.destroy();
});

test('creating the resources again changes nothing and keeps the messages', async () => {
  const sqs = new SQSClient({});
  await sqs.send(new SendMessageCommand({ QueueUrl: bed.registry['queue/purchases'], MessageBody: 'kept' }));
  const names = await createResources(bed.declared, bed.endpoints, { prefix: bed.id });
  expect(names['queue/purchases']).toBe(bed.registry['queue/purchases']);
  const { Messages } = await sqs.send(new ReceiveMessageCommand({ QueueUrl: bed.registry['queue/purchases'] }));
  sqs.destroy();
  expect(Messages?.[0]?.Body).toBe('kept');
});

test('no process of the stack has a key or a secret among its arguments', () => {
  const { registry: file } = testStack();
  const registry = { ...(JSON.parse(readFileSync(file, 'utf8')) as Registry), ...bed.registry };
  const urls = [registry['mysql/main'], registry['redis/main'], testStack().mysql].map((url) => new URL(url ?? ''));
  const secrets = [
    ...Object.entries(registry).flatMap(([name, value]) => (name.startsWith('secret/') ? [value] : [])),
    ...urls.map(({ password }) => decodeURIComponent(password)),
  ].filter((secret) => secret.length > 8);
  expect(secrets.length).toBeGreaterThan(5);
  const running = execFileSync('ps', ['-A', '-ww', '-o', 'args'], { encoding: 'utf8' });
  expect(running).toContain('provider/main.ts');
  expect(secrets.filter((secret) => running.includes(secret))).toEqual([]);
});

test('functions reach MySQL by an account of their own', () => {
  const functions = new URL((JSON.parse(readFileSync(testStack().registry, 'utf8')) as Registry)['mysql/main'] ?? '');
  expect(functions.username).toMatch(/^functions_/);
  expect(functions.username).not.toBe(new URL(testStack().mysql).username);
});
