import { jest } from '@jest/globals';
import { type Live, openLive } from './live.ts';

/** A browser's WebSocket whose other side is the test. */
class FakeSocket extends EventTarget {
  static readonly OPEN = 1;
  static readonly all: FakeSocket[] = [];
  readyState = 0;
  readonly said: { action: string; token?: string; saleId?: string }[] = [];

  readonly url: string;

  constructor(url: string) {
    super();
    this.url = url;
    FakeSocket.all.push(this);
  }

  send(text: string): void {
    this.said.push(JSON.parse(text));
  }

  /** As a browser does when nobody answers any more: the end is not announced. */
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
}

const browser = { visibilityState: 'visible' };
let page: EventTarget;
let states: string[];
let backs: number;
let token: string;
let rejections: (string | undefined)[];
let live: Live;

beforeEach(() => {
  jest.useFakeTimers();
  FakeSocket.all.length = 0;
  page = new EventTarget();
  Object.assign(globalThis, {
    WebSocket: FakeSocket,
    window: page,
    document: Object.assign(new EventTarget(), browser),
  });
  [states, backs, token, rejections] = [[], 0, 'first', []];
  live = openLive({
    url: 'ws://api',
    async token(rejected) {
      rejections.push(rejected);
      return token;
    },
    onMessage: () => undefined,
    onState: (state) => states.push(state),
    onBack: () => backs++,
  });
});

afterEach(() => {
  live.close();
  jest.useRealTimers();
});

/** The latest connection, open, with its first ping answered. */
async function connected(): Promise<FakeSocket> {
  await jest.advanceTimersByTimeAsync(0);
  const socket = FakeSocket.all.at(-1);
  if (!socket) throw new Error('there is no connection');
  socket.opens();
  await jest.advanceTimersByTimeAsync(0);
  socket.hears({ type: 'pong' });
  return socket;
}

describe('the live connection of a page', () => {
  it('pings every 25 seconds', async () => {
    live.open();
    const socket = await connected();
    for (let n = 0; n < 3; n++) {
      await jest.advanceTimersByTimeAsync(25_000);
      socket.hears({ type: 'pong' });
    }
    expect(socket.said.map(({ action }) => action)).toEqual(['ping', 'ping', 'ping', 'ping']);
    expect(states).toEqual(['live']);
  });

  it('that is half-open is found within 35 s, and another is opened though its end is never announced', async () => {
    live.open();
    await connected();
    await jest.advanceTimersByTimeAsync(35_000);
    expect(states).toEqual(['live', 'reconnecting']);
    expect(FakeSocket.all).toHaveLength(2);
    await connected();
    expect([states.at(-1), backs]).toEqual(['live', 1]);
  });

  it('that does not open is given up after 10 s', async () => {
    live.open();
    await jest.advanceTimersByTimeAsync(0);
    await jest.advanceTimersByTimeAsync(11_000);
    expect(FakeSocket.all).toHaveLength(2);
  });

  it('that died while nobody looked is found when somebody does', async () => {
    live.open();
    await connected();
    page.dispatchEvent(new Event('online'));
    await jest.advanceTimersByTimeAsync(9_000);
    expect(FakeSocket.all).toHaveLength(2);
  });

  it('watches the last 50 of what is looked at; live is what the server has confirmed', async () => {
    live.open();
    const socket = await connected();
    const names = Array.from({ length: 52 }, (_, n) => `s${n}`);
    for (const saleId of names) live.watch(saleId);
    expect(names.filter(live.isLive)).toEqual([]);
    for (const { action, saleId } of [...socket.said])
      if (action === 'watch') socket.hears({ type: 'watching', saleId });
    expect(names.filter(live.isLive)).toEqual(names.slice(2));
    live.unwatch('s51');
    expect(socket.said.slice(-2)).toEqual([
      { action: 'unwatch', saleId: 's51' },
      { action: 'watch', saleId: 's1' },
    ]);
    await jest.advanceTimersByTimeAsync(40_000);
    expect(names.filter(live.isLive)).toEqual([]);
  });

  it('shows a code with what it watches; what is hidden is not live until it is watched anew', async () => {
    live.open();
    const socket = await connected();
    live.watch('s1', 'friends');
    expect(socket.said.at(-1)).toEqual({ action: 'watch', saleId: 's1', code: 'friends' });
    socket.hears({ type: 'watching', saleId: 's1' });
    expect(live.isLive('s1')).toBe(true);
    socket.hears({ type: 'hidden', saleId: 's1' });
    expect(live.isLive('s1')).toBe(false);
    live.watch('s1', 'others');
    expect(socket.said.at(-1)).toEqual({ action: 'watch', saleId: 's1', code: 'others' });
    live.watch('s1');
    expect(socket.said.at(-1)).toEqual({ action: 'watch', saleId: 's1' });
  });

  it('S2: sends a fresh token as soon as there is one, once, and stays', async () => {
    live.open();
    const socket = await connected();
    token = 'second';
    await jest.advanceTimersByTimeAsync(25_000);
    socket.hears({ type: 'authenticated' });
    await jest.advanceTimersByTimeAsync(25_000);
    expect(socket.said.slice(1)).toEqual([{ action: 'authenticate', token: 'second' }, { action: 'ping' }]);
    expect(FakeSocket.all).toHaveLength(1);
  });

  it('comes back with a fresh token, told which one was refused, and watches what was watched', async () => {
    live.watch('s1');
    live.open();
    const socket = await connected();
    socket.hears({ type: 'problem', code: 'unauthenticated' });
    token = 'second';
    await jest.advanceTimersByTimeAsync(1_000);
    const next = await connected();
    expect(next.url).toBe('ws://api?token=second');
    expect(rejections.filter((one) => one !== undefined)).toEqual(['first']);
    expect(next.said[0]).toEqual({ action: 'watch', saleId: 's1' });
  });

  it('of a program without a page is found silent all the same', async () => {
    Object.assign(globalThis, { window: undefined, document: undefined });
    live = openLive({
      url: 'ws://api',
      token: async () => token,
      onMessage: () => undefined,
      onState: () => undefined,
    });
    live.open();
    await connected();
    await jest.advanceTimersByTimeAsync(35_000);
    expect(FakeSocket.all).toHaveLength(2);
  });

  it.each(['unauthenticated', 'connection_silent'])('closed with %s, it comes back and reads again', async (code) => {
    live.open();
    (await connected()).hears({ type: 'closing', code });
    await jest.advanceTimersByTimeAsync(1_000);
    await connected();
    expect([FakeSocket.all.length, backs]).toEqual([2, 1]);
  });

  it('S7: displaced by newer connections, it rests until somebody looks at the page', async () => {
    live.open();
    (await connected()).hears({ type: 'closing', code: 'too_many_connections' });
    await jest.advanceTimersByTimeAsync(600_000);
    expect([FakeSocket.all.length, states.at(-1)]).toEqual([1, 'off']);
    page.dispatchEvent(new Event('focus'));
    await connected();
    expect([FakeSocket.all.length, states.at(-1), backs]).toEqual([2, 'live', 1]);
  });
});
