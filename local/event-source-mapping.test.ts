import { randomUUID } from 'node:crypto';
import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import { jest } from '@jest/globals';
import type { Context, SQSEvent } from 'aws-lambda';
import { queueUrl, sqsClient } from './aws-resources.ts';
import {
  type MappingOptions,
  type RunningMapping,
  readBatchItemFailures,
  startMapping,
} from './event-source-mapping.ts';
import { type QueueServer, startQueueServer } from './queue-server.ts';
import { openSqs, type SqsPort } from './sqs.ts';
import { waitFor } from './wait.ts';

jest.setTimeout(30_000);

let server: QueueServer;
let client: SQSClient;
const ports: SqsPort[] = [];
const mappings: RunningMapping[] = [];
const endpoints = () => ({ sqs: server.url, region: 'us-east-1' });

beforeAll(async () => {
  server = await startQueueServer({});
  client = sqsClient(endpoints());
});

afterAll(async () => {
  await Promise.all(mappings.map((mapping) => mapping.drain()));
  for (const port of ports) port.close();
  client.destroy();
  await server.stop();
});

async function newQueue(attributes: Record<string, string> = {}): Promise<string> {
  const QueueName = `q-${randomUUID()}`;
  await client.send(new CreateQueueCommand({ QueueName, Attributes: attributes }));
  return queueUrl(endpoints(), QueueName);
}

async function sendMany(url: string, bodies: string[]): Promise<void> {
  for (let start = 0; start < bodies.length; start += 10) {
    const Entries = bodies.slice(start, start + 10).map((MessageBody, index) => ({ Id: String(index), MessageBody }));
    await client.send(new SendMessageBatchCommand({ QueueUrl: url, Entries }));
  }
}

async function depth(url: string): Promise<{ visible: number; inFlight: number }> {
  const { Attributes } = await client.send(
    new GetQueueAttributesCommand({
      QueueUrl: url,
      AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'],
    }),
  );
  return {
    visible: Number(Attributes?.ApproximateNumberOfMessages),
    inFlight: Number(Attributes?.ApproximateNumberOfMessagesNotVisible),
  };
}

async function feed(
  url: string,
  handler: MappingOptions['handler'],
  options: Partial<MappingOptions> = {},
): Promise<{ mapping: RunningMapping; reports: string[] }> {
  const sqs = openSqs(server.url, url, 'us-east-1');
  ports.push(sqs);
  const reports: string[] = [];
  const mapping = startMapping({
    sqs,
    queueArn: await sqs.arn(),
    region: 'us-east-1',
    handler,
    functionName: 'under-test',
    timeoutMs: 5_000,
    memoryMb: 128,
    batchSize: 10,
    batchingWindowMs: 0,
    concurrency: 2,
    reportsBatchItemFailures: true,
    report: (line) => reports.push(line),
    ...options,
  });
  mappings.push(mapping);
  return { mapping, reports };
}

const bodies = (count: number) => Array.from({ length: count }, (_, index) => `m${index}`);
const empty = async (url: string) => {
  const { visible, inFlight } = await depth(url);
  return visible + inFlight === 0;
};

describe('a batch', () => {
  test('is gathered from many receives up to the batch size, and deleted when the function took it', async () => {
    const url = await newQueue();
    await sendMany(url, bodies(120));
    const sizes: number[] = [];
    await feed(url, (event) => void sizes.push(event.Records.length), {
      batchSize: 50,
      batchingWindowMs: 1_000,
      concurrency: 1,
    });
    await waitFor('the queue to be empty', () => empty(url), { timeoutMs: 10_000 });
    expect(sizes).toEqual([50, 50, 20]);
  });

  test('that is not full waits for the end of its window and no longer', async () => {
    const url = await newQueue();
    const calls: { size: number; afterMs: number }[] = [];
    const sentAt = Date.now();
    await sendMany(url, ['one']);
    await feed(url, (event) => void calls.push({ size: event.Records.length, afterMs: Date.now() - sentAt }), {
      batchSize: 100,
      batchingWindowMs: 1_000,
    });
    await sendMany(url, ['two']);
    await waitFor('the function to be called', () => calls.length > 0, { timeoutMs: 5_000 });
    expect(calls[0]?.size).toBe(2);
    expect(calls[0]?.afterMs).toBeGreaterThanOrEqual(950);
    expect(calls[0]?.afterMs).toBeLessThan(2_500);
  });

  test('without a window is handed over at once', async () => {
    const url = await newQueue();
    const calls: number[] = [];
    await feed(url, () => void calls.push(Date.now()), { concurrency: 1 });
    const sentAt = Date.now();
    await sendMany(url, ['one']);
    await waitFor('the function to be called', () => calls.length > 0, { timeoutMs: 5_000 });
    expect((calls[0] ?? 0) - sentAt).toBeLessThan(500);
  });

  test('stays under 6 MB', async () => {
    const url = await newQueue();
    const large = 'x'.repeat(900_000);
    for (let n = 0; n < 14; n++) await client.send(new SendMessageCommand({ QueueUrl: url, MessageBody: large }));
    const sizes: number[] = [];
    await feed(url, (event) => void sizes.push(event.Records.length), {
      batchSize: 100,
      batchingWindowMs: 1_000,
      concurrency: 1,
    });
    await waitFor('the queue to be empty', () => empty(url), { timeoutMs: 10_000 });
    expect(sizes).toEqual([6, 6, 2]);
  });

  test('has the records and the context of Lambda', async () => {
    const url = await newQueue();
    const seen: { event: SQSEvent; context: Context; remainingMs: number }[] = [];
    const sentAt = Date.now();
    await client.send(
      new SendMessageCommand({
        QueueUrl: url,
        MessageBody: '{"a":1}',
        MessageAttributes: { kind: { DataType: 'String', StringValue: 'x' } },
      }),
    );
    await feed(
      url,
      (event, context) => void seen.push({ event, context, remainingMs: context.getRemainingTimeInMillis() }),
    );
    await waitFor('the function to be called', () => seen.length > 0, { timeoutMs: 5_000 });
    const [record] = seen[0]?.event.Records ?? [];
    expect(record).toMatchObject({
      body: '{"a":1}',
      eventSource: 'aws:sqs',
      awsRegion: 'us-east-1',
      messageAttributes: { kind: { dataType: 'String', stringValue: 'x' } },
      attributes: { ApproximateReceiveCount: '1' },
    });
    expect(record?.eventSourceARN).toMatch(/^arn:aws:sqs:us-east-1:000000000000:q-/);
    expect(Number(record?.attributes.SentTimestamp)).toBeGreaterThanOrEqual(sentAt - 5);
    expect(seen[0]?.context.functionName).toBe('under-test');
    expect(seen[0]?.remainingMs).toBeGreaterThan(4_000);
    expect(seen[0]?.remainingMs).toBeLessThanOrEqual(5_000);
  });
});

describe('maximum concurrency', () => {
  test('is reached and never exceeded', async () => {
    const url = await newQueue();
    await sendMany(url, bodies(60));
    let now = 0;
    let most = 0;
    await feed(
      url,
      async () => {
        most = Math.max(most, ++now);
        await new Promise((resolve) => setTimeout(resolve, 400));
        now--;
      },
      { concurrency: 3 },
    );
    await waitFor('the queue to be empty', () => empty(url), { timeoutMs: 10_000 });
    expect(most).toBe(3);
  });
});

describe('failures', () => {
  test('named in batchItemFailures come again after the visibility timeout, the others do not', async () => {
    const url = await newQueue({ VisibilityTimeout: '1' });
    await sendMany(url, bodies(10));
    const deliveries = new Map<string, number>();
    const { mapping } = await feed(url, (event) => {
      for (const { body } of event.Records) deliveries.set(body, (deliveries.get(body) ?? 0) + 1);
      const bad = event.Records.filter(({ body }) => body === 'm3' && deliveries.get(body) === 1);
      return { batchItemFailures: bad.map(({ messageId }) => ({ itemIdentifier: messageId })) };
    });
    await waitFor('the queue to be empty', () => empty(url), { timeoutMs: 10_000 });
    expect(deliveries.get('m3')).toBe(2);
    expect([...deliveries.values()].filter((count) => count === 1)).toHaveLength(9);
    expect(mapping.counts).toMatchObject({ deleted: 10, failed: 1 });
  });

  test.each([
    ['throws', () => Promise.reject(new Error('no'))],
    [
      'throws before its first await',
      () => {
        throw new Error('no');
      },
    ],
    ['names a message that was not in the batch', () => ({ batchItemFailures: [{ itemIdentifier: 'other' }] })],
    ['names an empty id', () => ({ batchItemFailures: [{ itemIdentifier: '' }] })],
    ['uses another key', () => ({ batchItemFailures: [{ id: 'x' }] })],
    ['answers with something else than a list', () => ({ batchItemFailures: 'all' })],
    ['answers with a text', () => 'done'],
  ])('of the whole batch: a function that %s deletes nothing', async (_, handler) => {
    const url = await newQueue({ VisibilityTimeout: '60' });
    await sendMany(url, bodies(3));
    const { mapping, reports } = await feed(url, handler as MappingOptions['handler']);
    await waitFor('the batch to fail', () => mapping.counts.failed === 3, { timeoutMs: 5_000 });
    await mapping.drain();
    expect(await depth(url)).toEqual({ visible: 0, inFlight: 3 });
    expect(reports).toHaveLength(1);
  });

  test('by timeout leave the batch to the visibility timeout, and the mapping goes on', async () => {
    const url = await newQueue({ VisibilityTimeout: '1' });
    await sendMany(url, ['slow once']);
    let calls = 0;
    const { reports } = await feed(url, () => (++calls === 1 ? new Promise(() => undefined) : undefined), {
      timeoutMs: 200,
      concurrency: 1,
    });
    await waitFor('the queue to be empty', () => empty(url), { timeoutMs: 10_000 });
    expect(calls).toBe(2);
    expect(reports[0]).toContain('Task timed out after 0.20 seconds');
  });

  test('that repeat end in the dead letters', async () => {
    const dead = await newQueue();
    const deadArn = (await client.send(new GetQueueAttributesCommand({ QueueUrl: dead, AttributeNames: ['QueueArn'] })))
      .Attributes?.QueueArn;
    const url = await newQueue({
      VisibilityTimeout: '1',
      RedrivePolicy: JSON.stringify({ deadLetterTargetArn: deadArn, maxReceiveCount: 2 }),
    });
    await sendMany(url, ['poison', 'fine']);
    let poisoned = 0;
    await feed(url, (event) => {
      const bad = event.Records.filter(({ body }) => body === 'poison');
      poisoned += bad.length;
      return { batchItemFailures: bad.map(({ messageId }) => ({ itemIdentifier: messageId })) };
    });
    const message = await waitFor(
      'a dead letter',
      async () => (await client.send(new ReceiveMessageCommand({ QueueUrl: dead }))).Messages?.[0],
      { timeoutMs: 10_000 },
    );
    expect(message.Body).toBe('poison');
    expect(poisoned).toBe(2);
    expect(await empty(url)).toBe(true);
  });

  test('are not read from the answer unless the mapping asks for them', async () => {
    const url = await newQueue();
    await sendMany(url, bodies(2));
    await feed(
      url,
      (event) => ({ batchItemFailures: event.Records.map(({ messageId }) => ({ itemIdentifier: messageId })) }),
      { reportsBatchItemFailures: false },
    );
    await waitFor('the queue to be empty', () => empty(url), { timeoutMs: 5_000 });
  });
});

describe('readBatchItemFailures', () => {
  const known = new Set(['a', 'b']);
  test.each([[undefined], [null], [{}], [{ batchItemFailures: null }], [{ batchItemFailures: [] }]])(
    'reads %j as nothing failed',
    (answer) => expect(readBatchItemFailures(answer, known)).toEqual(new Set()),
  );
  test('reads the ids', () => {
    expect(readBatchItemFailures({ batchItemFailures: [{ itemIdentifier: 'b' }] }, known)).toEqual(new Set(['b']));
  });
});

describe('a drain', () => {
  test('lets the function finish and gives back what never reached it', async () => {
    const url = await newQueue({ VisibilityTimeout: '60' });
    await sendMany(url, bodies(30));
    let finished = 0;
    let started = 0;
    const { mapping } = await feed(
      url,
      async (event) => {
        started++;
        await new Promise((resolve) => setTimeout(resolve, 200));
        finished += event.Records.length;
      },
      { concurrency: 1 },
    );
    await waitFor('a first call', () => started > 0, { timeoutMs: 5_000 });
    await mapping.drain();
    expect(finished).toBeGreaterThan(0);
    expect(await depth(url)).toEqual({ visible: 30 - finished, inFlight: 0 });
  });
});

/** A mapping with a queue that does what the test says. */
function feedFrom(port: Partial<SqsPort>, handler: MappingOptions['handler'], options: Partial<MappingOptions> = {}) {
  const reports: string[] = [];
  const mapping = startMapping({
    sqs: {
      receive: () => later([]),
      delete: async () => [],
      release: async () => undefined,
      arn: async () => 'arn',
      close: () => undefined,
      ...port,
    },
    queueArn: 'arn',
    region: 'us-east-1',
    handler,
    functionName: 'f',
    timeoutMs: 1_000,
    memoryMb: 128,
    batchSize: 10,
    batchingWindowMs: 0,
    concurrency: 1,
    reportsBatchItemFailures: true,
    report: (line) => reports.push(line),
    ...options,
  });
  return { mapping, reports };
}

const later = <T>(value: T): Promise<T> => new Promise((resolve) => setTimeout(() => resolve(value), 50));
const message = (id: number | string) => ({ MessageId: `${id}`, ReceiptHandle: `${id}`, Body: 'x', MD5OfBody: '' });

describe('an outage of the queue', () => {
  test('is reported once and survived', async () => {
    let calls = 0;
    const seen: string[] = [];
    const receive = async () => {
      if (++calls <= 3) throw new Error('refused');
      return calls === 4 ? [message('a')] : later([]);
    };
    const { mapping, reports } = feedFrom({ receive }, (event) => {
      seen.push(...event.Records.map(({ messageId }) => messageId));
    });
    await waitFor('the message', () => seen.length === 1, { timeoutMs: 5_000 });
    await mapping.drain();
    expect(reports).toEqual(['f: the queue is unreachable: refused']);
  });

  test('that comes while a batch is gathered does not take it from the function', async () => {
    let calls = 0;
    const sizes: number[] = [];
    const receive = async () => {
      if (++calls === 1) return [message('a')];
      throw new Error('refused');
    };
    const { mapping } = feedFrom({ receive }, (event) => void sizes.push(event.Records.length), {
      batchingWindowMs: 100,
    });
    await waitFor('the message', () => sizes.length === 1, { timeoutMs: 5_000 });
    await mapping.drain();
    expect(sizes).toEqual([1]);
  });
});
