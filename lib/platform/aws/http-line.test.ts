/** Calls over kept connections: answers in every form and in any pieces, and no connection kept that is in doubt. */
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createSecureServer } from 'node:tls';
import { type Lines, openLines } from './http-line.ts';

const request = (what = 'x') => `POST / HTTP/1.1\r\nhost: test\r\ncontent-length: ${what.length}\r\n\r\n${what}`;

let server: Server;
let lines: Lines;
let sockets: Socket[];
/** What is sent for each request, in pieces, in order. `null` closes the connection. */
let answers: (string | null)[][];
let requests: { socket: number; text: string }[];

const listening = async (one: Server, scheme = 'http') => {
  await new Promise<void>((resolve) => one.listen(0, '127.0.0.1', resolve));
  return new URL(`${scheme}://127.0.0.1:${(one.address() as AddressInfo).port}/000000000000/things`);
};
/** Long enough for the other side to read what was sent before: a second immediate comes after a look at the sockets. */
const turn = async () => {
  for (let n = 0; n < 2; n++) await new Promise((resolve) => setImmediate(resolve));
};

function serve(socket: Socket): void {
  const number = sockets.push(socket) - 1;
  socket.on('error', () => undefined);
  socket.on('data', async (data) => {
    requests.push({ socket: number, text: data.toString() });
    for (const piece of answers.shift() ?? []) {
      if (piece === null) socket.end();
      else socket.write(piece, 'utf8');
      await turn();
    }
  });
}

beforeEach(() => {
  sockets = [];
  requests = [];
  answers = [];
  server = createServer(serve);
  lines = openLines();
});

afterEach(() => {
  lines.close();
  for (const socket of sockets) socket.destroy();
  server.close();
});

const soon = () => Date.now() + 5_000;
const whole = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const ok = { status: 200, body: 'ok' };

test.each<[string, (string | null)[], { status: number; body: string }]>([
  ['with a length', [whole], ok],
  ['byte by byte', [...whole], ok],
  [
    'in which bytes are counted, not characters',
    ['HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nü😀'],
    { status: 200, body: 'ü😀' },
  ],
  ['without a body', ['HTTP/1.1 204 No Content\r\ncontent-length:0\r\n\r\n'], { status: 204, body: '' }],
  [
    'in chunks',
    [...'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\nA;x=y\r\n two three\r\n0\r\n\r\n'],
    { status: 200, body: 'one two three' },
  ],
  [
    'in chunks with fields after them',
    ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nDate: x\r\nAge: 1\r\n', '\r\n'],
    ok,
  ],
  ['that ends with its connection', ['HTTP/1.1 200 OK\r\n\r\n', 'o', 'k', null], ok],
  [
    'that is a refusal',
    ['HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno'],
    { status: 503, body: 'no' },
  ],
])('an answer %s is read whole', async (_what, pieces, expected) => {
  answers = [pieces];
  expect(await lines.call(await listening(server), request(), soon())).toEqual(expected);
});

test('one connection carries one call after the other, and as many are opened as there are calls at once', async () => {
  const url = await listening(server);
  answers = [[...whole], [whole], [whole], [whole], [whole]];
  expect(await lines.call(url, request('a'), soon())).toEqual(ok);
  expect(await lines.call(url, request('b'), soon())).toEqual(ok);
  await Promise.all(['c', 'd', 'e'].map((what) => lines.call(url, request(what), soon())));
  expect(sockets).toHaveLength(3);
  expect(requests.slice(0, 2)).toEqual(['a', 'b'].map((what) => ({ socket: 0, text: request(what) })));
});

test.each<[string, (string | null)[]]>([
  ['is told that it will be closed', ['HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: close\r\n\r\nok']],
  ['brings more than the answer', [`${whole}HTTP/1.1 200 OK`]],
  ['brings something that nobody asked for', [whole, 'HTTP/1.1 408 Request Timeout\r\n\r\n']],
  ['was closed meanwhile', [whole, null]],
])('a connection that %s is not used again', async (_what, pieces) => {
  const url = await listening(server);
  answers = [pieces, [whole]];
  expect(await lines.call(url, request('a'), soon())).toEqual(ok);
  for (let n = 0; n < 20; n++) await turn();
  expect(await lines.call(url, request('b'), soon())).toEqual(ok);
  expect(requests.map(({ socket }) => socket)).toEqual([0, 1]);
});

test.each<[string, (string | null)[]]>([
  ['none', [null]],
  ['a part of one', ['HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok', null]],
  ['a part of its head', ['HTTP/1.1 200 OK\r\ncontent-le', null]],
  ['some chunks', ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n', null]],
  ['a chunk of no length', ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nok\r\n']],
  ['something else', ['SSH-2.0-OpenSSH_9.2\r\n\r\n']],
])('who gets %s instead of an answer is told so', async (_what, pieces) => {
  const url = await listening(server);
  answers = [pieces, [whole]];
  await expect(lines.call(url, request(), soon())).rejects.toThrow();
  expect(await lines.call(url, request(), soon())).toEqual(ok);
});

test('a call ends when it is due, or given up, and its connection with it', async () => {
  const url = await listening(server);
  await expect(lines.call(url, request(), Date.now() + 50)).rejects.toThrow('no answer in time');
  const abort = new AbortController();
  const call = lines.call(url, request(), soon(), abort.signal);
  while (requests.length < 2) await turn();
  abort.abort();
  await expect(call).rejects.toThrow('given up');
  await expect(lines.call(url, request(), soon(), abort.signal)).rejects.toThrow();
  expect(requests.map(({ socket }) => socket)).toEqual([0, 1]);
});

test('nobody there is an error like any other', async () => {
  const url = await listening(server);
  await new Promise((resolve) => server.close(resolve));
  await expect(lines.call(url, request(), soon())).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});

test('it speaks to Node’s own server', async () => {
  const http = createHttpServer((_, response) => response.writeHead(200).end('ok'));
  const url = await listening(http);
  expect(await lines.call(url, request(), soon())).toEqual(ok);
  expect(await lines.call(url, request(), soon())).toEqual(ok);
  lines.close();
  http.close();
});

test('and secretly, where the address asks for it', async () => {
  // A key that both have instead of a certificate, which the test would have to bring along.
  const key = Buffer.alloc(32, 7);
  const shared = { ciphers: 'PSK', maxVersion: 'TLSv1.2' } as const;
  const secure = createSecureServer({ ...shared, pskCallback: () => key }, serve);
  const url = await listening(secure, 'https');
  const secret = openLines({
    ...shared,
    pskCallback: () => ({ psk: key, identity: 'test' }),
    checkServerIdentity: () => undefined,
  });
  answers = [[...whole], [whole]];
  expect(await secret.call(url, request('a'), soon())).toEqual(ok);
  expect(await secret.call(url, request('b'), soon())).toEqual(ok);
  expect(sockets).toHaveLength(1);
  secret.close();
  // Without the key, and without a certificate, there is no connection.
  await expect(lines.call(url, request(), soon())).rejects.toThrow();
  secure.close();
});
