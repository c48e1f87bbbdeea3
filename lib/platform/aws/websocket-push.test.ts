import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { openPusher, type Pusher } from './websocket-push.ts';

/** A gateway whose connections are named after how they behave. */
const taken: { connectionId: string; body: unknown }[] = [];
let atOnce = 0;
let mostAtOnce = 0;
let gateway: Server;
let pusher: Pusher;

beforeAll(async () => {
  process.env.AWS_REGION ??= 'us-east-1';
  process.env.AWS_ACCESS_KEY_ID ??= 'test';
  process.env.AWS_SECRET_ACCESS_KEY ??= 'test';
  gateway = createServer((request, response) => {
    const connectionId = decodeURIComponent(request.url?.split('/').pop() ?? '');
    mostAtOnce = Math.max(mostAtOnce, ++atOnce);
    let text = '';
    request.on('data', (chunk) => {
      text += chunk;
    });
    response.on('close', () => atOnce--);
    request.on('end', () => {
      if (connectionId.startsWith('silent')) return;
      if (connectionId.startsWith('gone')) response.writeHead(410).end();
      else if (request.method === 'DELETE') {
        taken.push({ connectionId, body: 'closed' });
        response.writeHead(204).end();
      } else if (connectionId.startsWith('refusing')) response.writeHead(500).end();
      else {
        taken.push({ connectionId, body: JSON.parse(text) });
        setImmediate(() => response.writeHead(200).end());
      }
    });
  });
  await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve));
  pusher = openPusher(`http://127.0.0.1:${(gateway.address() as AddressInfo).port}`);
});

afterAll(() => {
  pusher.close();
  gateway.closeAllConnections();
  gateway.close();
});

beforeEach(() => {
  taken.length = 0;
  mostAtOnce = 0;
});

describe('pushing', () => {
  it('a connection receives its messages in order', async () => {
    const messages = [{ n: 1 }, { n: 2 }, { n: 3 }];
    const result = await pusher.send([{ connectionId: 'one', messages }], 2_000);
    expect(result).toEqual({ reached: 1, gone: [], missed: 0 });
    expect(taken.map(({ body }) => body)).toEqual(messages);
  });

  it('names the connections that are gone and serves the others', async () => {
    const pushes = ['one', 'gone-1', 'two', 'gone-2'].map((connectionId) => ({ connectionId, messages: [{}] }));
    const result = await pusher.send(pushes, 2_000);
    expect({ ...result, gone: result.gone.sort() }).toEqual({ reached: 2, gone: ['gone-1', 'gone-2'], missed: 0 });
  });

  it('closes a connection after its last message, whether or not it took that', async () => {
    const pushes = ['one', 'refusing', 'gone'].map((connectionId) => ({
      connectionId,
      messages: [{ n: 1 }],
      thenClose: true,
    }));
    expect(await pusher.send(pushes, 2_000)).toEqual({ reached: 1, gone: ['gone'], missed: 1 });
    expect(taken.filter(({ connectionId }) => connectionId === 'one').map(({ body }) => body)).toEqual([
      { n: 1 },
      'closed',
    ]);
    expect(taken).toContainEqual({ connectionId: 'refusing', body: 'closed' });
  });

  it('many connections that are gone do not open the breaker', async () => {
    const pushes = Array.from({ length: 60 }, (_, n) => ({ connectionId: `gone-${n}`, messages: [{}] }));
    expect((await pusher.send(pushes, 3_000)).gone).toHaveLength(60);
    expect((await pusher.send([{ connectionId: 'one', messages: [{}] }], 2_000)).reached).toBe(1);
  });

  it('serves a bounded number of connections at a time', async () => {
    const pushes = Array.from({ length: 200 }, (_, n) => ({ connectionId: `c${n}`, messages: [{}] }));
    expect((await pusher.send(pushes, 5_000)).reached).toBe(200);
    expect(mostAtOnce).toBeLessThanOrEqual(32);
  });

  it('a gateway that does not answer costs no more than the time limit', async () => {
    const pushes = Array.from({ length: 100 }, (_, n) => ({ connectionId: `silent-${n}`, messages: [{}] }));
    const startedAtMs = Date.now();
    const result = await pusher.send(pushes, 300);
    expect(Date.now() - startedAtMs).toBeLessThan(1_000);
    expect(result).toEqual({ reached: 0, gone: [], missed: 100 });
  });

  it('without an address there are no connections, and nothing throws', async () => {
    const nowhere = openPusher(undefined);
    expect(await nowhere.send([{ connectionId: 'one', messages: [{}] }], 100)).toMatchObject({ reached: 0, missed: 1 });
  });
});
