import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isOutage } from '#platform/resilience/outage.ts';
import { openSqs } from './sqs.ts';
import type { SqsClient } from './sqs-client.ts';

const hourMs = 3_600_000;

/** An SQS that answers each call as the next of `plan` says, and after that takes every entry. */
type Answer = (response: ServerResponse, entries: { Id: string }[], request: IncomingMessage) => void;
let plan: Answer[] = [];
let calls: { headers: IncomingMessage['headers']; input: { QueueUrl: string; Entries: { Id: string }[] } }[] = [];
let server: Server;
let client: SqsClient;
let url: string;
const before = { ...process.env };

const say = (response: ServerResponse, status: number, body: object, headers: Record<string, string> = {}): void => {
  response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0', ...headers });
  response.end(JSON.stringify(body));
};
const takes = (entries: { Id: string }[]) => ({
  Successful: entries.map(({ Id }) => ({ Id, MessageId: `message-${Id}`, MD5OfMessageBody: 'not looked at' })),
  Failed: [],
});
const take: Answer = (response, entries) => say(response, 200, takes(entries));
const refuse =
  (status: number, type: string, headers: Record<string, string> = {}): Answer =>
  (response) =>
    say(response, status, { __type: `com.amazonaws.sqs#${type}`, message: type }, headers);

beforeAll(async () => {
  server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (part: string) => {
      text += part;
    });
    request.on('end', () => {
      const input = JSON.parse(text);
      calls.push({ headers: request.headers, input });
      (plan.shift() ?? take)(response, input.Entries, request);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  url = `${origin}/000000000000/orders`;
  Object.assign(process.env, {
    AWS_REGION: 'eu-central-1',
    AWS_ACCESS_KEY_ID: 'anyone',
    AWS_SECRET_ACCESS_KEY: 'secret',
    AWS_SESSION_TOKEN: 'of this session',
    AWS_ENDPOINT_URL_SQS: origin,
  });
});

afterAll(() => {
  process.env = before;
  server.closeAllConnections();
  server.close();
});

beforeEach(() => {
  plan = [];
  calls = [];
  client = openSqs();
});

afterEach(() => client.destroy());

const two = [
  { Id: '0', MessageBody: '{"n":"zero ✓"}' },
  { Id: '1', MessageBody: '{"n":1}', DelaySeconds: 5 },
];
const idsOf = ({ Successful = [] }: Awaited<ReturnType<SqsClient['sendMessages']>>) => Successful.map(({ Id }) => Id);

test('what SQS takes at once is one call, signed with the credentials and the region of the environment', async () => {
  expect(idsOf(await client.sendMessages(url, two))).toEqual(['0', '1']);
  expect(calls).toHaveLength(1);
  const [call] = calls;
  expect(call?.input).toEqual({ QueueUrl: url, Entries: two });
  expect(call?.headers).toMatchObject({
    'x-amz-target': 'AmazonSQS.SendMessageBatch',
    'content-type': 'application/x-amz-json-1.0',
    'x-amz-security-token': 'of this session',
    authorization: expect.stringMatching(
      /^AWS4-HMAC-SHA256 Credential=anyone\/\d{8}\/eu-central-1\/sqs\/aws4_request, SignedHeaders=[a-z0-9;-]*host;x-amz-date;x-amz-security-token;x-amz-target, Signature=[0-9a-f]{64}$/,
    ),
  });
});

test('what SQS does not take of a call is told, and not sent again', async () => {
  const Failed = [{ Id: '0', Code: 'InternalError', SenderFault: false }];
  plan = [(response) => say(response, 200, { Successful: takes([{ Id: '1' }]).Successful, Failed })];
  const sent = await client.sendMessages(url, two);
  expect([idsOf(sent), sent.Failed]).toEqual([['1'], Failed]);
  expect(calls).toHaveLength(1);
});

test.each<[string, Answer]>([
  ['an error of the server', refuse(500, 'InternalFailure')],
  ['throttling', refuse(400, 'RequestThrottled')],
  ['a connection that ends', (response) => response.destroy()],
  [
    'an answer that is cut off',
    (response) => response.writeHead(200, { 'content-length': '100' }).write('{"Succ', () => response.destroy()),
  ],
  ['an answer that is no JSON', (response) => response.writeHead(200).end('<html>')],
])('after %s the SDK sends', async (_, answer) => {
  plan = [answer];
  expect(idsOf(await client.sendMessages(url, two))).toEqual(['0', '1']);
  expect(calls).toHaveLength(2);
  expect(calls[1]?.input).toEqual(calls[0]?.input);
  expect(calls[1]?.headers['user-agent']).toMatch(/aws-sdk-js/);
});

test('what is refused is thrown as the SDK throws it', async () => {
  plan = [1, 2, 3].map(() => refuse(400, 'QueueDoesNotExist'));
  await expect(client.sendMessages(url, two)).rejects.toMatchObject({
    name: 'QueueDoesNotExist',
    $metadata: { httpStatusCode: 400 },
  });
});

test('the SDK finds out how far the clock is off, and from then on one call is enough', async () => {
  const atServer = Date.now() + hourMs;
  const dateOf = ({ 'x-amz-date': date = '' }: IncomingMessage['headers']) =>
    Date.parse(String(date).replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5'));
  const judge: Answer = (response, entries, { headers }) => {
    const date = new Date(atServer).toUTCString();
    if (Math.abs(dateOf(headers) - atServer) < hourMs / 12) say(response, 200, takes(entries), { date });
    else refuse(403, 'RequestTimeTooSkewed', { date })(response, entries, {} as IncomingMessage);
  };
  plan = [1, 2, 3, 4].map(() => judge);
  expect(idsOf(await client.sendMessages(url, two))).toEqual(['0', '1']);
  calls = [];
  expect(idsOf(await client.sendMessages(url, two))).toEqual(['0', '1']);
  expect(calls).toHaveLength(1);
});

test('a call that gets no answer ends in time, as an outage, and is not begun anew', async () => {
  plan = [() => undefined];
  const startedAtMs = performance.now();
  const error = await client.sendMessages(url, two).catch((thrown: unknown) => thrown);
  expect(isOutage(error)).toBe(true);
  expect(performance.now() - startedAtMs).toBeLessThan(5_000);
  expect(calls).toHaveLength(1);
});
