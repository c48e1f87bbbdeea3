import { jest } from '@jest/globals';
import { readKeyRing } from '#platform/security/key-ring.ts';
import { openWork } from '#platform/security/proof-of-work.ts';
import { openApi } from './api.ts';

interface Call {
  path: string;
  proof: string | undefined;
  body: { deviceToken?: string };
}

const work = openWork(readKeyRing('a secret'), Date.now);
let calls: Call[];
let answer: (call: Call) => Promise<Response> | Response;

const signedIn = (email: string) =>
  Response.json({
    accessToken: `h.${btoa(JSON.stringify({ exp: Date.now() / 1_000 + 600, sub: email }))}.s`,
    refreshToken: 'r',
    deviceToken: `device of ${email}`,
  });

/** An API and the browser around it; whoever is opened with the same `kept` is the same browser. */
function open(kept = new Map<string, string>()) {
  const localStorage = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, text: string) => void kept.set(key, text),
    removeItem: (key: string) => void kept.delete(key),
  };
  Object.defineProperty(globalThis, 'localStorage', { value: localStorage, configurable: true });
  Object.defineProperty(globalThis, 'addEventListener', { value: () => undefined, configurable: true });
  return openApi('https://api.example');
}

beforeEach(() => {
  calls = [];
  jest.spyOn(globalThis, 'fetch').mockImplementation(async (sent) => {
    const request = sent as Request;
    const call = {
      path: new URL(request.url).pathname,
      proof: request.headers.get('x-proof-of-work') ?? undefined,
      body: JSON.parse((await request.text()) || '{}') as Call['body'],
    };
    if (call.path === '/me') return Response.json({ customerId: 'ada' });
    calls.push(call);
    return answer(call);
  });
});
afterEach(() => {
  jest.restoreAllMocks();
});

const refused = async () =>
  Response.json({ code: 'work_required', challenge: await work.challenge('login') }, { status: 429 });

describe('the client of the API', () => {
  test('a call that is refused for want of work is sent again with the proof', async () => {
    answer = async ({ proof }) => ((await work.read(proof, 'login')) ? signedIn('ada@example.com') : refused());
    expect(await open().signIn('ada@example.com', 'a password')).toEqual({ customerId: 'ada' });
    expect(calls.map(({ proof }) => proof !== undefined)).toEqual([false, true]);
  });

  test('work is done twice at most: what is refused again is refused', async () => {
    answer = refused;
    await expect(open().signIn('ada@example.com', 'a password')).rejects.toMatchObject({ code: 'work_required' });
    expect(calls.map(({ proof }) => proof !== undefined)).toEqual([false, true, true]);
    expect(calls[1]?.proof).not.toBe(calls[2]?.proof);
  });

  test('the token of a device goes with the address it was given for, after signing out and in another tab', async () => {
    answer = ({ path }) =>
      path === '/auth/logout' ? new Response(null, { status: 204 }) : signedIn('ada@example.com');
    const browser = new Map<string, string>();
    const api = open(browser);
    await api.register('Ada', 'ada@example.com', 'a password');
    await api.signOut();
    calls = [];
    await open(browser).signIn('ada@example.com', 'a password');
    await open(browser).signIn('bea@example.com', 'a password');
    await open().signIn('ada@example.com', 'a password');
    expect(calls.map(({ body }) => body.deviceToken)).toEqual(['device of ada@example.com', undefined, undefined]);
  });

  test('what is no list of tokens is none', async () => {
    answer = () => signedIn('ada@example.com');
    for (const text of ['', '{', '{}', 'null', '[1]', '[["ada@example.com",1]]']) {
      const api = open(new Map([['holdfast.devices', text]]));
      await api.signIn('ada@example.com', 'a password');
    }
    expect(calls.map(({ body }) => body.deviceToken)).toEqual(Array(6).fill(undefined));
  });
});
