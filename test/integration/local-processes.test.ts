import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  ChangeMessageVisibilityCommand,
  DeleteMessageCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { jest } from '@jest/globals';
import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { localCredentials } from '#local/aws-resources.ts';
import type { Addresses, Registry } from '#local/stack.ts';
import { processBirth, projectRoot } from '#local/state-folder.ts';
import { waitFor } from '#local/wait.ts';
import { testStack } from '../support/stack.ts';

jest.setTimeout(90_000);

interface SmallStack {
  process: ChildProcess;
  addresses: Addresses;
  registry: Registry;
  pids: Record<string, number>;
}

let dir: string;
const started: ChildProcess[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(testStack().dir, 'processes-'));
});

afterEach(async () => {
  const children = started.splice(0);
  for (const child of children) child.kill('SIGTERM');
  await Promise.all(children.map(exit));
  await waitFor('the folder to be given back', () => !running(pidsSeen), { timeoutMs: 30_000 });
  rmSync(dir, { recursive: true, force: true });
});

let pidsSeen: number[] = [];

function running(pids: number[]): boolean {
  return pids.some((pid) => processBirth(pid) !== undefined);
}

function run(): { child: ChildProcess; output: () => { out: string; err: string } } {
  const child = spawn(process.execPath, [join(projectRoot, 'test/support/small-stack.ts'), dir], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      NODE_OPTIONS: '',
      HOLDFAST_AWS: 'embedded',
      MYSQL_URL: '',
      REDIS_URL: '',
      HOLDFAST_DOCKER: 'off',
    },
  });
  started.push(child);
  let out = '';
  let err = '';
  child.stdout?.on('data', (chunk) => (out += chunk));
  child.stderr?.on('data', (chunk) => (err += chunk));
  return { child, output: () => ({ out, err }) };
}

async function startSmall(): Promise<SmallStack> {
  const { child, output } = run();
  const line = await waitFor(
    'the stack',
    () =>
      output()
        .out.split('\n')
        .find((text) => text.startsWith('{')),
    {
      timeoutMs: 60_000,
      abort: () => (child.exitCode === null ? undefined : new Error(`it ended: ${output().err}`)),
    },
  );
  const seen = { process: child, ...(JSON.parse(line) as Omit<SmallStack, 'process'>) };
  pidsSeen = Object.values(seen.pids);
  return seen;
}

function exit(child: ChildProcess): Promise<number | null> {
  const ended = child.exitCode !== null || child.signalCode !== null;
  return new Promise((resolve) => (ended ? resolve(child.exitCode) : child.once('exit', resolve)));
}

const allGone = (stack: SmallStack) =>
  waitFor('its processes to be gone', () => !running(Object.values(stack.pids)), { timeoutMs: 30_000 });

async function query<T>(stack: SmallStack, sql: string): Promise<T[]> {
  const connection = await createConnection(stack.addresses.mysql);
  try {
    const [rows] = await connection.query<RowDataPacket[]>(sql);
    return rows as T[];
  } finally {
    await connection.end();
  }
}

const sqsOf = (stack: SmallStack) =>
  new SQSClient({ endpoint: stack.addresses.sqs, region: 'us-east-1', credentials: localCredentials });

test('a stack that is killed leaves nothing behind, and the next start finds everything it had written', async () => {
  const first = await startSmall();
  await query(first, 'CREATE TABLE kept (n INT PRIMARY KEY)');
  await query(first, 'INSERT INTO kept VALUES (42)');
  const sqs = sqsOf(first);
  const QueueUrl = first.registry['queue/reservations'];
  await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: 'kept' }));
  first.process.kill('SIGKILL');
  await allGone(first);

  const second = await startSmall();
  expect(await query(second, 'SELECT n FROM kept')).toEqual([{ n: 42 }]);
  const { Messages } = await sqsOf(second).send(
    new ReceiveMessageCommand({ QueueUrl: second.registry['queue/reservations'] }),
  );
  expect(Messages?.[0]?.Body).toBe('kept');
});

test('SIGTERM stops everything and releases the folder', async () => {
  const stack = await startSmall();
  stack.process.kill('SIGTERM');
  expect(await exit(stack.process)).toBe(143);
  expect(running(Object.values(stack.pids))).toBe(false);
  const again = await startSmall();
  expect(again.addresses.sqs).toBe(stack.addresses.sqs);
});

test('a second start in the same folder says which process holds it and what to do', async () => {
  const stack = await startSmall();
  const { child, output } = run();
  expect(await exit(child)).toBe(1);
  for (const part of [String(stack.process.pid), 'HOLDFAST_LOCAL']) expect(output().err).toContain(part);
  expect(running(Object.values(stack.pids))).toBe(true);
});

test('parts that are killed come back at the same address with what they had accepted', async () => {
  const stack = await startSmall();
  const sqs = sqsOf(stack);
  const QueueUrl = stack.registry['queue/reservations'];
  await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: 'deleted' }));
  const [deleted] = (await sqs.send(new ReceiveMessageCommand({ QueueUrl }))).Messages ?? [];
  await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: deleted?.ReceiptHandle }));
  await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: 'released' }));
  const [released] = (await sqs.send(new ReceiveMessageCommand({ QueueUrl }))).Messages ?? [];
  await sqs.send(
    new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle: released?.ReceiptHandle, VisibilityTimeout: 0 }),
  );
  await query(stack, 'CREATE TABLE kept (n INT PRIMARY KEY)');
  await query(stack, 'INSERT INTO kept VALUES (1)');
  for (const name of ['mysql', 'queues']) process.kill(stack.pids[name] ?? 0, 'SIGKILL');

  const rows = await waitFor('MySQL to be back', () => query(stack, 'SELECT n FROM kept'), { timeoutMs: 30_000 });
  expect(rows).toEqual([{ n: 1 }]);
  const bodies: string[] = [];
  await waitFor(
    'the queue to be back',
    async () => {
      const { Messages = [] } = await sqs.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 1 }));
      bodies.push(...Messages.map(({ Body }) => Body ?? ''));
      return bodies.length > 0;
    },
    { timeoutMs: 30_000 },
  );
  expect(bodies).toEqual(['released']);
  pidsSeen = pidsSeen.filter((pid) => pid !== stack.pids.mysql && pid !== stack.pids.queues);
  sqs.destroy();
});
