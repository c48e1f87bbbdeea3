import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  ChangeMessageVisibilityCommand,
  CreateQueueCommand,
  DeleteMessageCommand,
  type Message,
  ReceiveMessageCommand,
  SendMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import { queueUrl, sqsClient } from './aws-resources.ts';
import { type QueueServer, startQueueServer } from './queue-server.ts';

const region = 'us-east-1';
let dataDir: string;
let server: QueueServer;
let sqs: SQSClient;
let QueueUrl: string;

async function open(): Promise<void> {
  server = await startQueueServer({ dataDir, region });
  sqs = sqsClient({ sqs: server.url, region });
  QueueUrl = queueUrl({ sqs: server.url, region }, 'line');
}

async function close(): Promise<void> {
  sqs.destroy();
  await server.stop();
}

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'holdfast-queues-'));
  await open();
  await sqs.send(new CreateQueueCommand({ QueueName: 'line' }));
});

afterEach(async () => {
  await close();
  rmSync(dataDir, { recursive: true });
});

async function receiveAll(): Promise<Message[]> {
  const all: Message[] = [];
  for (;;) {
    const { Messages = [] } = await sqs.send(new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10 }));
    if (Messages.length === 0) return all;
    all.push(...Messages);
  }
}

test('a restart keeps every message that was not deleted, also those made visible again', async () => {
  const bodies = Array.from({ length: 60 }, (_, index) => String(index));
  for (const MessageBody of bodies) await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody }));
  const received = await receiveAll();
  expect(received.map(({ Body }) => Body)).toEqual(bodies);
  const odd = ({ Body }: Message) => Number(Body) % 2 === 1;
  for (const message of received) {
    const given = { QueueUrl, ReceiptHandle: message.ReceiptHandle };
    await (odd(message)
      ? sqs.send(new ChangeMessageVisibilityCommand({ ...given, VisibilityTimeout: 0 }))
      : sqs.send(new DeleteMessageCommand(given)));
  }
  await close();
  await open();
  const left = await receiveAll();
  expect(new Set(left.map(({ Body }) => Body))).toEqual(new Set(received.filter(odd).map(({ Body }) => Body)));
});

test('only this machine can reach it', () => {
  expect(new URL(server.url).hostname).toBe('127.0.0.1');
});
