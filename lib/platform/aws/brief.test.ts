/** The short way to SQS and EventBridge: signed as the SDK signs, and the SDK's own way whenever something is wrong. */
import { createHash, createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { SendMessageBatchCommand, SQSClient } from '@aws-sdk/client-sqs';
import { publishBriefly, sendBriefly } from './brief.ts';

interface Received {
  headers: IncomingHttpHeaders;
  body: string;
}

const secretAccessKey = 'secret/of+the-test';
let server: Server;
let url: string;
let received: Received[];
/** How each request is answered, in order; those that come later are taken. */
let answers: ((response: ServerResponse) => void)[];
const opened: { destroy(): void }[] = [];

beforeEach(async () => {
  received = [];
  answers = [];
  server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const body = Buffer.concat(parts).toString('utf8');
      received.push({ headers: request.headers, body });
      (answers.shift() ?? take(body))(response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/000000000000/things`;
});

afterEach(() => {
  for (const client of opened.splice(0)) client.destroy();
  server.closeAllConnections();
  server.close();
});

/** Answers as SQS does when it takes every message. */
const take = (body: string) => (response: ServerResponse) => {
  const { Entries } = JSON.parse(body) as { Entries: { Id: string; MessageBody: string }[] };
  const Successful = Entries.map(({ Id, MessageBody }) => ({
    Id,
    MessageId: `id-${Id}`,
    MD5OfMessageBody: createHash('md5').update(MessageBody).digest('hex'),
  }));
  response.writeHead(200, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify({ Successful }));
};

function settings(sessionToken?: string) {
  const credentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
  return { endpoint: new URL(url).origin, region: 'eu-central-1', credentials, maxAttempts: 1 };
}

function open(sessionToken?: string): SQSClient {
  const client = new SQSClient(settings(sessionToken));
  opened.push(client);
  return client;
}

function openEvents(sessionToken?: string): EventBridgeClient {
  const client = publishBriefly(new EventBridgeClient(settings(sessionToken)));
  opened.push(client);
  return client;
}

const events = (Time?: Date) =>
  new PutEventsCommand({
    Entries: [
      { EventBusName: 'bus', Source: 'test', DetailType: 'x', Detail: '{"what":"ü \\" 😀"}', ...(Time && { Time }) },
    ],
  });

/** Answers as EventBridge does when it takes every event. */
const takeEvents = (response: ServerResponse) =>
  void response
    .writeHead(200, { 'content-type': 'application/x-amz-json-1.1' })
    .end(JSON.stringify({ FailedEntryCount: 0, Entries: [{ EventId: 'id-0' }] }));

const batch = (Entries = [{ Id: '0', MessageBody: '{"what":"ü \\" 😀"}' }]) =>
  new SendMessageBatchCommand({ QueueUrl: url, Entries });

/** Whether the request is signed as the service would check it: knowing only the request and the secret. */
function isWellSigned({ headers, body }: Received, service = 'sqs'): boolean {
  const [, day = '', region = '', signedFor = '', names = '', signature] =
    /Credential=AKIDEXAMPLE\/(\d{8})\/([\w-]+)\/(\w+)\/aws4_request, SignedHeaders=([\w;-]+), Signature=(\w{64})$/.exec(
      headers.authorization ?? '',
    ) ?? [];
  const sha = (text: string) => createHash('sha256').update(text).digest('hex');
  const lines = names.split(';').map((name) => `${name}:${headers[name]}\n`);
  const canonical = ['POST', '/', '', lines.join(''), names, sha(body)].join('\n');
  const scope = `${day}/${region}/${service}/aws4_request`;
  let key: string | Buffer = `AWS4${secretAccessKey}`;
  for (const part of scope.split('/')) key = createHmac('sha256', key).update(part).digest();
  const text = ['AWS4-HMAC-SHA256', headers['x-amz-date'], scope, sha(canonical)].join('\n');
  return (
    region === 'eu-central-1' &&
    signedFor === service &&
    signature === createHmac('sha256', key).update(text).digest('hex')
  );
}

const bySdk = ({ headers }: Received) => /aws-sdk-js/.test(String(headers['user-agent']));

test.each([['a key'], ['a key and a session token']])('with %s both ways are signed as SQS wants it', async (what) => {
  const token = what === 'a key' ? undefined : 'token/of+the=session';
  const short = await sendBriefly(open(token)).send(batch());
  const long = await open(token).send(batch());
  expect(received.map(bySdk)).toEqual([false, true]);
  expect(received.map((one) => isWellSigned(one))).toEqual([true, true]);
  expect(received[0]?.headers['x-amz-security-token']).toBe(token);
  expect(received[0]?.headers['x-amz-date']).toMatch(/^\d{8}T\d{6}Z$/);
  expect(short.Successful).toEqual(long.Successful);
  expect(JSON.parse(received[0]?.body ?? '')).toEqual(JSON.parse(received[1]?.body ?? ''));
  // The check can fail.
  expect(received.map(({ headers, body }) => isWellSigned({ headers, body: `${body} ` }))).toEqual([false, false]);
});

test('messages that were refused are said to be', async () => {
  const Failed = [{ Id: '1', Code: 'InternalError', SenderFault: false }];
  answers = [(response) => response.end(JSON.stringify({ Successful: [{ Id: '0' }], Failed }))];
  const answer = await sendBriefly(open()).send(batch());
  expect(answer).toMatchObject({ Successful: [{ Id: '0' }], Failed });
  expect(received).toHaveLength(1);
});

test.each<[string, (response: ServerResponse) => void]>([
  ['an error', (response) => response.writeHead(503).end('{"__type":"ServiceUnavailable"}')],
  ['a connection that breaks before the answer', (response) => void response.socket?.destroy()],
  [
    'a connection that breaks within the answer',
    (response) => {
      response.writeHead(200, { 'content-length': 100 }).write('{"Successful":[');
      setImmediate(() => response.socket?.destroy());
    },
  ],
  ['an answer that is not JSON', (response) => response.end('<html>')],
  ['an answer that says nothing', (response) => response.end('{}')],
])('after %s the SDK sends it once more', async (_what, answer) => {
  answers = [answer];
  const sent = await sendBriefly(open()).send(batch());
  expect(sent.Successful).toMatchObject([{ Id: '0' }]);
  expect(received.map(bySdk)).toEqual([false, true]);
});

test('what fails both ways fails as the SDK says', async () => {
  const refuse = (response: ServerResponse) => response.writeHead(400).end('{"__type":"QueueDoesNotExist"}');
  answers = [refuse, refuse];
  await expect(sendBriefly(open()).send(batch())).rejects.toMatchObject({ name: 'QueueDoesNotExist' });
});

test('a call that is given up stays given up', async () => {
  answers = [() => undefined];
  const abort = new AbortController();
  const sent = sendBriefly(open()).send(batch(), { abortSignal: abort.signal });
  while (received.length === 0) await new Promise((resolve) => setImmediate(resolve));
  abort.abort();
  await expect(sent).rejects.toMatchObject({ name: 'AbortError' });
  expect(received).toHaveLength(1);
});

test('what JSON alone cannot say is left to the SDK', async () => {
  const bytes = { DataType: 'Binary', BinaryValue: new Uint8Array([1, 2]) };
  const entry = { Id: '0', MessageBody: 'x', MessageAttributes: { bytes } };
  await sendBriefly(open()).send(batch([entry]));
  expect(received.map(bySdk)).toEqual([true]);
});

describe('events', () => {
  test.each([['a key'], ['a key and a session token']])(
    'with %s go the short way once the SDK has shown where',
    async (what) => {
      const token = what === 'a key' ? undefined : 'token/of+the=session';
      answers = [takeEvents, takeEvents];
      const client = openEvents(token);
      const first = await client.send(events());
      const second = await client.send(events());
      expect(received.map(bySdk)).toEqual([true, false]);
      expect(received.map((one) => isWellSigned(one, 'events'))).toEqual([true, true]);
      expect(received.map(({ headers }) => headers['x-amz-target'])).toEqual([
        'AWSEvents.PutEvents',
        'AWSEvents.PutEvents',
      ]);
      expect(received.map(({ headers }) => headers['content-type'])).toEqual([
        'application/x-amz-json-1.1',
        'application/x-amz-json-1.1',
      ]);
      expect(received[1]?.headers['x-amz-security-token']).toBe(token);
      expect(JSON.parse(received[1]?.body ?? '')).toEqual(JSON.parse(received[0]?.body ?? ''));
      expect(second.Entries).toEqual(first.Entries);
    },
  );

  test('that were refused are said to be', async () => {
    const Entries = [{ ErrorCode: 'ThrottlingException', ErrorMessage: 'slow down' }];
    answers = [takeEvents, (response) => response.end(JSON.stringify({ FailedEntryCount: 1, Entries }))];
    const client = openEvents();
    await client.send(events());
    expect(await client.send(events())).toMatchObject({ FailedEntryCount: 1, Entries });
    expect(received).toHaveLength(2);
  });

  test('are sent once more by the SDK after an error, and fail as the SDK says', async () => {
    const refuse = (response: ServerResponse) => response.writeHead(400).end('{"__type":"ResourceNotFoundException"}');
    answers = [takeEvents, refuse, takeEvents, refuse, refuse];
    const client = openEvents();
    await client.send(events());
    expect(await client.send(events())).toMatchObject({ Entries: [{ EventId: 'id-0' }] });
    await expect(client.send(events())).rejects.toMatchObject({ name: 'ResourceNotFoundException' });
    expect(received.map(bySdk)).toEqual([true, false, true, false, true]);
  });

  test('with a time of their own are left to the SDK', async () => {
    answers = [takeEvents, takeEvents];
    const client = openEvents();
    await client.send(events());
    await client.send(events(new Date(0)));
    expect(received.map(bySdk)).toEqual([true, true]);
  });
});
