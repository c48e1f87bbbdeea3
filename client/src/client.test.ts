import { type Client, createClient, type News } from './client.ts';

/** A WebSocket whose other side is the test. */
class FakeSocket extends EventTarget {
  static readonly OPEN = 1;
  static readonly all: FakeSocket[] = [];
  readyState = 0;
  readonly said: { action: string; saleId?: string }[] = [];

  constructor() {
    super();
    FakeSocket.all.push(this);
  }

  send(text: string): void {
    this.said.push(JSON.parse(text));
  }

  close(): void {
    this.readyState = 2;
  }

  opens(): void {
    this.readyState = FakeSocket.OPEN;
    this.dispatchEvent(new Event('open'));
  }

  hears(message: object): void {
    this.dispatchEvent(Object.assign(new Event('message'), { data: JSON.stringify(message) }));
  }

  /** What it was told to watch, and not to watch any more. */
  watching(): string[] {
    const ofSales = this.said.filter(({ saleId }) => saleId !== undefined);
    return ofSales.map(({ action, saleId }) => `${action} ${saleId}`);
  }
}

const { WebSocket } = globalThis;
let client: Client;

beforeEach(() => {
  FakeSocket.all.length = 0;
  Object.assign(globalThis, { WebSocket: FakeSocket });
  client = createClient({ api: 'http://api', websocket: 'ws://api', token: () => 'token' });
});

afterEach(() => {
  client.close();
  Object.assign(globalThis, { WebSocket });
});

/** The latest connection, open. */
async function connected(): Promise<FakeSocket> {
  await Promise.resolve();
  await Promise.resolve();
  const socket = FakeSocket.all.at(-1);
  if (!socket) throw new Error('nothing has connected');
  socket.opens();
  return socket;
}

const none = () => undefined;
const stock = (saleId: string, version: number) => ({ type: 'stock', saleId, epoch: 1, version });

test('a sale is watched for as long as somebody watches it', async () => {
  const first = client.watch('a', none);
  const second = client.watch('a', none);
  const socket = await connected();
  first();
  first();
  expect(socket.watching()).toEqual(['watch a']);
  const other = client.watch('b', none);
  second();
  expect(socket.watching()).toEqual(['watch a', 'watch b', 'unwatch a']);
  other();
});

test('what was watched before it was closed is watched no more, and its end ends nobody else', async () => {
  const before = client.watch('a', none);
  await connected();
  client.close();
  const listening = client.listen(none);
  const socket = await connected();
  expect(socket.watching()).toEqual([]);
  const after = client.watch('a', none);
  before();
  expect(socket.watching()).toEqual(['watch a']);
  after();
  expect(socket.watching()).toEqual(['watch a', 'unwatch a']);
  listening();
});

test('whoever listens hears news, and not what the server answers to the client', async () => {
  const heard: News['type'][] = [];
  client.listen(({ type }) => heard.push(type));
  const socket = await connected();
  for (const message of [
    stock('a', 1),
    { type: 'unwatched', saleId: 'a' },
    { type: 'problem', code: 'too_many_requests' },
    { type: 'of a later version' },
    stock('a', 2),
  ]) {
    socket.hears(message);
  }
  expect(heard).toEqual(['stock', 'stock']);
});
