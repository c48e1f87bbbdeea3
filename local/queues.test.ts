import { mkdtempSync, rmSync } from 'node:fs';
import { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import {
  ChangeMessageVisibilityCommand,
  CreateQueueCommand,
  DeleteMessageCommand,
  type Message,
  ReceiveMessageCommand,
  SendMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import { type QueueServer, startQueueServer } from './queues.ts';
import { sqsClient } from './resources.ts';

const region = 'us-east-1';
const messages = 60;
let dataDir: string;
let server: QueueServer;
let client: SQSClient;
let QueueUrl: string;

async function open(): Promise<void> {
  server = await startQueueServer({ dataDir, region });
  client = sqsClient({ sqs: server.url, region }, { maxAttempts: 1 });
  QueueUrl = `${server.url}/000000000000/line`;
}

async function close(): Promise<void> {
  client.destroy();
  await server.stop();
}

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'holdfast-queues-'));
  await open();
  await client.send(new CreateQueueCommand({ QueueName: 'line' }));
});

afterEach(async () => {
  await close();
  rmSync(dataDir, { recursive: true });
});

const send = (body: string) => client.send(new SendMessageCommand({ QueueUrl, MessageBody: body }));

async function receiveAll(): Promise<Message[]> {
  const all: Message[] = [];
  for (;;) {
    const { Messages = [] } = await client.send(new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10 }));
    if (Messages.length === 0) return all;
    all.push(...Messages);
  }
}

test('messages are taken from the front, and those that were deleted stay so when the server comes again', async () => {
  const bodies = Array.from({ length: messages }, (_, index) => String(index));
  for (const body of bodies) await send(body);
  const received = await receiveAll();
  expect(received.map(({ Body }) => Body)).toEqual(bodies);
  for (const { ReceiptHandle, Body } of received) {
    const kept = Number(Body) % 2 === 1;
    if (kept) await client.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout: 0 }));
    else await client.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
  }
  await close();
  await open();
  const left = await receiveAll();
  expect(left.map(({ Body }) => Number(Body)).sort((a, b) => a - b)).toEqual(
    bodies.map(Number).filter((number) => number % 2 === 1),
  );
});

test('requests that come together are committed together, and answered after that', async () => {
  const sendTogether = () => Promise.all(Array.from({ length: messages }, (_, index) => send(String(index))));
  // Connections are opened one by one; what is sent over open ones comes together.
  await sendTogether();
  const order: ('commit' | 'answer')[] = [];
  const { exec } = DatabaseSync.prototype;
  const { end } = ServerResponse.prototype;
  DatabaseSync.prototype.exec = function (sql) {
    if (sql === 'COMMIT') order.push('commit');
    exec.call(this, sql);
  };
  ServerResponse.prototype.end = function (this: ServerResponse, ...args: Parameters<typeof end>) {
    order.push('answer');
    return end.apply(this, args);
  } as typeof end;
  try {
    await sendTogether();
  } finally {
    DatabaseSync.prototype.exec = exec;
    ServerResponse.prototype.end = end;
  }
  expect(order.filter((what) => what === 'answer')).toHaveLength(messages);
  expect(order.filter((what) => what === 'commit').length).toBeLessThan(messages / 2);
  expect(order[0]).toBe('commit');
  expect(order.at(-1)).toBe('answer');
  expect((await receiveAll()).length).toBe(2 * messages);
});

test('what could not be committed is refused, and what comes after it is kept', async () => {
  const { exec } = DatabaseSync.prototype;
  let full = true;
  DatabaseSync.prototype.exec = function (sql) {
    if (full && sql === 'COMMIT') throw new Error('database or disk is full');
    exec.call(this, sql);
  };
  try {
    await expect(send('refused')).rejects.toThrow();
    full = false;
    await send('kept');
  } finally {
    DatabaseSync.prototype.exec = exec;
  }
  await close();
  await open();
  expect((await receiveAll()).map(({ Body }) => Body)).toEqual(['kept']);
});
