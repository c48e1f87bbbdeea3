/**
 * What SQS and EventBridge promise and this code relies on, checked against the emulators in use: the embedded ones or
 * LocalStack. Where one of them does otherwise, docs/operations.md says so and the code does without.
 */
import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import {
  ChangeMessageVisibilityCommand,
  CreateQueueCommand,
  DeleteMessageCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  type Message,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SetQueueAttributesCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { waitFor } from '#local/wait.ts';
import { type TestBed, testBed, testStack } from '../support/stack.ts';

let bed: TestBed;
let sqs: SQSClient;
let events: EventBridgeClient;

beforeAll(async () => {
  bed = await testBed();
  sqs = new SQSClient({ maxAttempts: 1 });
  events = new EventBridgeClient({ maxAttempts: 1 });
});

afterAll(async () => {
  sqs?.destroy();
  events?.destroy();
  await bed?.close();
});

const urlOf = (name: string) => bed.registry[name] ?? '';

async function receive(name: string, more: { VisibilityTimeout?: number; WaitTimeSeconds?: number } = {}) {
  const { Messages = [] } = await sqs.send(
    new ReceiveMessageCommand({
      QueueUrl: urlOf(name),
      MessageAttributeNames: ['All'],
      MessageSystemAttributeNames: ['SentTimestamp', 'ApproximateReceiveCount'],
      ...more,
    }),
  );
  return Messages;
}

/** The first message that comes, taken out of its queue. */
async function take(name: string): Promise<Message> {
  const message = await waitFor(`a message in ${name}`, async () => (await receive(name, { WaitTimeSeconds: 1 }))[0], {
    timeoutMs: 20_000,
  });
  await sqs.send(new DeleteMessageCommand({ QueueUrl: urlOf(name), ReceiptHandle: message.ReceiptHandle }));
  return message;
}

async function depth(name: string) {
  const { Attributes = {} } = await sqs.send(
    new GetQueueAttributesCommand({ QueueUrl: urlOf(name), AttributeNames: ['All'] }),
  );
  return [
    Attributes.ApproximateNumberOfMessages,
    Attributes.ApproximateNumberOfMessagesNotVisible,
    Attributes.ApproximateNumberOfMessagesDelayed,
  ].map(Number);
}

describe('a queue', () => {
  test('judges each entry of a batch alone', async () => {
    const answer = await sqs.send(
      new SendMessageBatchCommand({
        QueueUrl: urlOf('queue/settle'),
        Entries: [
          { Id: 'good', MessageBody: 'good' },
          { Id: 'bad', MessageBody: 'a character that XML has not: \u0000' },
        ],
      }),
    );
    expect(answer.Successful?.map(({ Id }) => Id)).toEqual(['good']);
    expect(answer.Failed).toMatchObject([{ Id: 'bad', Code: expect.any(String) }]);
    await take('queue/settle');
  });

  test('refuses more than ten entries, and more than a megabyte', async () => {
    const QueueUrl = urlOf('queue/settle');
    const Entries = Array.from({ length: 11 }, (_, index) => ({ Id: String(index), MessageBody: 'x' }));
    await expect(sqs.send(new SendMessageBatchCommand({ QueueUrl, Entries }))).rejects.toThrow();
    const MessageBody = 'x'.repeat(1_048_577);
    await expect(sqs.send(new SendMessageCommand({ QueueUrl, MessageBody }))).rejects.toThrow();
  });

  test('hides a delivered message until its visibility timeout is set to zero, then delivers it with the same id', async () => {
    await sqs.send(
      new SendMessageCommand({
        QueueUrl: urlOf('queue/relay'),
        MessageBody: 'again',
        MessageAttributes: { firstSentAtMs: { DataType: 'Number', StringValue: '42' } },
      }),
    );
    const [first] = await receive('queue/relay', { VisibilityTimeout: 600, WaitTimeSeconds: 2 });
    expect(await receive('queue/relay')).toEqual([]);
    expect(await depth('queue/relay')).toEqual([0, 1, 0]);
    await sqs.send(
      new ChangeMessageVisibilityCommand({
        QueueUrl: urlOf('queue/relay'),
        ReceiptHandle: first?.ReceiptHandle,
        VisibilityTimeout: 0,
      }),
    );
    const again = await take('queue/relay');
    expect(again).toMatchObject({ MessageId: first?.MessageId, Body: 'again' });
    expect(again.MessageAttributes?.firstSentAtMs?.StringValue).toBe('42');
    expect(again.Attributes?.SentTimestamp).toBe(first?.Attributes?.SentTimestamp);
    expect([first?.Attributes?.ApproximateReceiveCount, again.Attributes?.ApproximateReceiveCount]).toEqual(['1', '2']);
    expect(await depth('queue/relay')).toEqual([0, 0, 0]);
  });

  test('delays a message as asked, and counts delayed messages separately', async () => {
    const sentAtMs = Date.now();
    await sqs.send(new SendMessageCommand({ QueueUrl: urlOf('queue/advance'), MessageBody: 'later', DelaySeconds: 2 }));
    expect(await depth('queue/advance')).toEqual([0, 0, 1]);
    expect(await receive('queue/advance')).toEqual([]);
    await take('queue/advance');
    expect(Date.now() - sentAtMs).toBeGreaterThanOrEqual(1_900);
  });

  test('moves a message beyond maxReceiveCount to the dead-letter queue, with its body and attributes', async () => {
    const QueueUrl = urlOf('queue/reconcile');
    const { Attributes } = await sqs.send(
      new GetQueueAttributesCommand({ QueueUrl: urlOf('dead/reconcile'), AttributeNames: ['QueueArn'] }),
    );
    const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: Attributes?.QueueArn, maxReceiveCount: 1 });
    await sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes: { RedrivePolicy } }));
    const MessageAttributes = { cause: { DataType: 'String', StringValue: 'why' } };
    await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: 'hopeless', MessageAttributes }));
    await receive('queue/reconcile', { VisibilityTimeout: 0, WaitTimeSeconds: 2 });
    expect(await receive('queue/reconcile', { WaitTimeSeconds: 1 })).toEqual([]);
    const letter = await take('dead/reconcile');
    expect([letter.Body, letter.MessageAttributes?.cause?.StringValue]).toEqual(['hopeless', 'why']);
  });
});

describe('the bus', () => {
  const put = (entries: { detail: string; type?: string }[]) =>
    events.send(
      new PutEventsCommand({
        Entries: entries.map(({ detail, type = 'sale.changed' }) => ({
          EventBusName: urlOf('bus/main'),
          Source: 'holdfast',
          DetailType: type,
          Detail: detail,
        })),
      }),
    );

  test('judges each entry alone, and says which failed by their place', async () => {
    const answer = await put([{ detail: '{"n":1}' }, { detail: 'no JSON' }, { detail: '{"n":3}' }]);
    expect(answer.FailedEntryCount).toBe(1);
    expect(answer.Entries?.map(({ EventId, ErrorCode }) => [Boolean(EventId), ErrorCode])).toEqual([
      [true, undefined],
      [false, 'MalformedDetail'],
      [true, undefined],
    ]);
    const bodies = [await take('queue/notifications'), await take('queue/notifications')].map(({ Body = '' }) =>
      JSON.parse(Body),
    );
    expect(bodies.map(({ detail }) => detail.n).sort()).toEqual([1, 3]);
  });

  test('refuses more than ten entries as a whole', async () => {
    await expect(put(Array.from({ length: 11 }, () => ({ detail: '{}' })))).rejects.toThrow();
  });

  test('wraps an event as its consumers read it, and passes it on to every rule that wants it and to no other', async () => {
    await put([{ type: 'reservations.changed', detail: '{"released":true}' }]);
    for (const queue of ['queue/notifications', 'queue/advance']) {
      const event = JSON.parse((await take(queue)).Body ?? '');
      expect(event).toMatchObject({
        version: '0',
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        source: 'holdfast',
        'detail-type': 'reservations.changed',
        account: expect.any(String),
        region: 'us-east-1',
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:]{8}Z$/),
        resources: [],
        detail: { released: true },
      });
    }
    await put([{ type: 'reservations.changed', detail: '{"released":false}' }]);
    await take('queue/notifications');
    expect(await receive('queue/advance', { WaitTimeSeconds: 1 })).toEqual([]);
  });

  // LocalStack drops such an event (docs/operations.md).
  if (testStack().aws === 'embedded') {
    test('puts what a queue that is gone cannot take among the dead letters of the rule, with the reason', async () => {
      const QueueUrl = urlOf('queue/advance');
      await sqs.send(new DeleteQueueCommand({ QueueUrl }));
      await put([{ type: 'reservations.changed', detail: '{"released":true}' }]);
      const letter = await take('dead/advance');
      expect(JSON.parse(letter.Body ?? '')).toMatchObject({ detail: { released: true } });
      expect(Object.keys(letter.MessageAttributes ?? {})).toEqual(
        expect.arrayContaining(['ERROR_CODE', 'ERROR_MESSAGE', 'RULE_ARN', 'TARGET_ARN']),
      );
      await sqs.send(new CreateQueueCommand({ QueueName: QueueUrl.split('/').at(-1) }));
    });
  }
});
