/** Posting to addresses that others chose, against real receivers on loopback. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Receiver, startReceiver, trustReceivers } from '#test/support/receiver.ts';
import { AddressNotPublic, type Outside, openOutside, type Resolve } from './outside-post.ts';

let plain: Receiver;
let secure: Receiver;
const opened: Outside[] = [];

function opening(options: Parameters<typeof openOutside>[0]): Outside {
  const outside = openOutside(options);
  opened.push(outside);
  return outside;
}

beforeAll(async () => {
  trustReceivers();
  [plain, secure] = await Promise.all([startReceiver('http'), startReceiver('https')]);
});

afterAll(async () => {
  for (const outside of opened) outside.close();
  await Promise.all([plain?.close(), secure?.close()]);
});

const post = (outside: Outside, url: string, limitMs = 2_000) =>
  outside.post(new URL(url), { 'content-type': 'application/json' }, '{}', limitMs);
const resolvesTo =
  (...addresses: string[]): Resolve =>
  async () =>
    addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));

describe('where loopback is not allowed', () => {
  test.each([
    ...['https://127.0.0.1', 'https://127.1', 'https://2130706433', 'https://0x7f000001', 'https://0177.0.0.1'],
    ...['https://[::1]', 'https://[::ffff:127.0.0.1]', 'https://[::ffff:7f00:1]', 'https://[64:ff9b::7f00:1]'],
    ...['https://[2002:7f00:1::]', 'https://[fe80::1]', 'https://[fd00:ec2::254]', 'https://169.254.169.254'],
    ...['https://10.0.0.1', 'https://192.168.0.1', 'https://0.0.0.0'],
  ])('%s is not called', async (url) => {
    const before = secure.connections();
    await expect(post(opening({ loopback: false }), `${url}:${secure.port}/`)).rejects.toThrow(AddressNotPublic);
    expect(secure.connections()).toBe(before);
  });

  test('a name that leads to such an address is not called, also if only one of its addresses is', async () => {
    const before = secure.connections();
    for (const addresses of [['127.0.0.1'], ['::1'], ['::ffff:127.0.0.1'], ['1.1.1.1', '127.0.0.1'], ['10.0.0.1']]) {
      const outside = opening({ loopback: false, resolve: resolvesTo(...addresses) });
      await expect(post(outside, `https://hooks.example.com:${secure.port}/`)).rejects.toThrow(AddressNotPublic);
    }
    await expect(post(opening({ loopback: false }), `https://localhost:${secure.port}/`)).rejects.toThrow(
      AddressNotPublic,
    );
    expect(secure.connections()).toBe(before);
  });

  test('an unknown name is an error of the network', async () => {
    const unknown = async () => [];
    const outside = opening({ loopback: false, resolve: unknown });
    await expect(post(outside, `https://hooks.example.com:${secure.port}/`)).rejects.toMatchObject({
      code: 'ENOTFOUND',
    });
  });

  test('plain HTTP is not spoken', async () => {
    const before = plain.connections();
    const outside = opening({ loopback: false, resolve: resolvesTo('1.1.1.1') });
    await expect(post(outside, `http://hooks.example.com:${plain.port}/`)).rejects.toThrow(AddressNotPublic);
    expect(plain.connections()).toBe(before);
  });
});

describe('where it is allowed', () => {
  test('a receiver is called over HTTPS, by its name, at the address that was checked', async () => {
    const outside = opening({ loopback: true, resolve: resolvesTo('127.0.0.1') });
    expect(await post(outside, `https://hooks.example.com:${secure.port}/hooks`)).toBe(204);
    expect(secure.received.at(-1)?.headers.host).toBe(`hooks.example.com:${secure.port}`);
  });

  test('a certificate for another name is refused', async () => {
    const outside = opening({ loopback: true, resolve: resolvesTo('127.0.0.1') });
    const before = secure.received.length;
    await expect(post(outside, `https://other.example.com:${secure.port}/`)).rejects.toMatchObject({
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
    expect(secure.received).toHaveLength(before);
  });

  test('a name is resolved once for each connection, and what it leads to later is checked again', async () => {
    let asked = 0;
    const answers = [['127.0.0.1'], ['10.0.0.1']];
    const resolve: Resolve = () => resolvesTo(...(answers[asked++] ?? ['10.0.0.1']))('');
    const outside = opening({ loopback: true, resolve });
    expect(await post(outside, `http://rebinding.example.com:${plain.port}/`)).toBe(204);
    expect(asked).toBe(1);
    outside.close();
    await expect(post(outside, `http://rebinding.example.com:${plain.port}/`)).rejects.toThrow(AddressNotPublic);
    expect(asked).toBe(2);
  });

  test('a connection that was kept is used again, and a new one is made if the other side has closed it', async () => {
    const outside = opening({ loopback: true });
    const before = plain.connections();
    expect(await post(outside, plain.url)).toBe(204);
    // The socket is free once its answer has been read to the end.
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await post(outside, plain.url)).toBe(204);
    expect(plain.connections()).toBe(before + 1);
    plain.answers({ drop: true });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await post(outside, plain.url)).toBe(204);
    expect(plain.connections()).toBe(before + 2);
    plain.answers({});
  });

  test('a redirect is an answer, and is not followed', async () => {
    plain.answers({ status: 307, headers: { location: secure.url } });
    const before = secure.received.length;
    expect(await post(opening({ loopback: true }), plain.url)).toBe(307);
    expect(secure.received).toHaveLength(before);
    plain.answers({});
  });

  test('one that does not answer is waited for as long as was said', async () => {
    plain.answers({ hang: true });
    const startedAt = performance.now();
    await expect(post(opening({ loopback: true }), plain.url, 200)).rejects.toMatchObject({ name: 'AbortError' });
    expect(performance.now() - startedAt).toBeLessThan(1_500);
    plain.answers({});
  });
});

describe('reading', () => {
  let answer: http.RequestListener = () => undefined;
  const server = http.createServer((request, response) => answer(request, response));
  const at = (path: string) => new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`);
  beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
  afterAll(() => new Promise((resolve) => server.close(resolve)));

  test('gives what is there, where loopback is allowed, and nowhere else', async () => {
    let calls = 0;
    answer = (_request, response) => {
      calls++;
      response.end('{"a":1}');
    };
    expect(await opening({ loopback: true }).get(at('/'), 2_000)).toBe('{"a":1}');
    await expect(opening({ loopback: false }).get(at('/'), 2_000)).rejects.toThrow(AddressNotPublic);
    expect(calls).toBe(1);
  });

  test('takes no redirect, no error, nothing that is too large, and does not wait for ever', async () => {
    const outside = opening({ loopback: true });
    for (const [status, body] of [
      [302, ''],
      [404, '{}'],
      [500, '{}'],
      [200, 'a'.repeat(65_537)],
    ] as const) {
      answer = (_request, response) => void response.writeHead(status, { location: '/elsewhere' }).end(body);
      await expect(outside.get(at('/'), 2_000)).rejects.toThrow(/answered with/);
    }
    answer = () => undefined;
    await expect(outside.get(at('/'), 200)).rejects.toThrow();
    server.closeAllConnections();
  });
});
