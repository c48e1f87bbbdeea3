/**
 * The HTTP API as the pages call it: the client of the API, with tokens that renew themselves for all tabs, and answers that
 * say the time.
 */
import { type Http, openHttp } from '#client/http.ts';
import { Problem } from '#client/problem.ts';
import type { Challenge } from '#platform/security/proof-of-work.ts';
import { deviceTokenFor, keepDeviceToken } from './devices.ts';
import { createServerClock, type ServerClock } from './server-clock.ts';
import { byWebLocks, openSession, ownerOf, type Renewal, sessionKey, type Tokens } from './session.ts';
import type { Me } from './types.ts';
import { prove } from './work.ts';

export interface RequestOptions {
  body?: object | string | Blob | undefined;
  type?: string | undefined;
  /** The Idempotency-Key. */
  key?: string | undefined;
  anonymous?: boolean | undefined;
  /** How a good answer is read, if it is not JSON. */
  read?: ((response: Response) => Promise<unknown>) | undefined;
}

/** A part of a file, and the cursor of the next. */
export interface FilePart {
  readonly blob: Blob;
  readonly next: string | null;
}

export interface Api extends Pick<Http, 'http'> {
  readonly clock: ServerClock;
  get<T>(path: string, options?: RequestOptions): Promise<T>;
  file(path: string): Promise<FilePart>;
  post<T>(path: string, body?: RequestOptions['body'], options?: RequestOptions): Promise<T>;
  patch<T>(path: string, body: object): Promise<T>;
  delete<T>(path: string): Promise<T>;
  /** All items of a list, page after page, up to a limit. */
  all<T>(path: string, limit?: number): Promise<T[]>;
  register(name: string, email: string, password: string, locale?: string): Promise<Me>;
  signIn(email: string, password: string): Promise<Me>;
  /** Who is signed in on this browser, if anybody is. */
  resume(): Promise<Me | undefined>;
  signOut(): Promise<void>;
  /** A fresh access token, for the WebSocket. */
  token(): Promise<string | undefined>;
  /** Exchanges the access token for one that says what has become true of the account since. */
  renew(): Promise<void>;
}

export interface ApiOptions {
  /** Hears when somebody signs in or out, in this tab or in another. */
  onSession?: (me: Me | undefined) => void;
  /** The language in which the server should answer. */
  language?: () => string | undefined;
}

const tries = 4;
/** Somebody looks at a page that waits: after so long they rather hear that they have to. */
const longestWaitMs = 5_000;
/** A request that is not answered for so long has been lost, whatever the browser thinks of its connection. */
const answerMs = 12_000;

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Opens the API at an address. */
export function openApi(base: string, { onSession = () => undefined, language }: ApiOptions = {}): Api {
  const clock = createServerClock();
  const session = openSession({
    store: localStorage,
    exclusively: byWebLocks,
    now: clock.now,
    pause,
    async refresh(refreshToken): Promise<Renewal> {
      try {
        return await request<Tokens>('POST', '/auth/refresh', { body: { refreshToken }, anonymous: true });
      } catch (problem) {
        if (problem instanceof Problem && problem.status === 401) return 'refused';
        throw problem;
      }
    },
  });
  let customerId: string | undefined;

  function told(me: Me | undefined): void {
    customerId = me?.customerId;
    onSession(me);
  }

  /** Another tab has signed in or out. */
  addEventListener('storage', ({ key }) => {
    if (key !== null && key !== sessionKey) return;
    const tokens = session.stored();
    if (!tokens && customerId !== undefined) told(undefined);
    // A renewal leaves the same customer; somebody else's tokens do not.
    if (tokens && ownerOf(tokens.accessToken) !== customerId) resume().catch(() => undefined);
  });

  const called = {
    ...{ api: base, language, tries, answerMs, longestWaitMs },
    prove: (challenge: object) => prove(challenge as Challenge),
    async fetch(request: Request) {
      const sent = clock.stopwatch();
      const response = await fetch(request);
      clock.heard(response.headers.get('date'), sent, clock.stopwatch());
      return response;
    },
  };
  const anybody = openHttp(called);
  const somebody = openHttp({
    ...called,
    async token(rejected) {
      const access = await session.token(rejected);
      // The session has ended, or has been ended by another tab.
      if (access === undefined && customerId !== undefined) told(undefined);
      return access;
    },
  });

  async function request<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    const { body, type = 'application/json', key, anonymous, read = readJson } = options;
    const asIs = typeof body === 'string' || body instanceof Blob;
    const response = await (anonymous ? anybody : somebody).send(path, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': type }),
        ...(key ? { 'idempotency-key': key } : {}),
      },
      ...(body === undefined ? {} : { body: asIs ? body : JSON.stringify(body) }),
    });
    return (await read(response)) as T;
  }

  /** Keeps a session that has just been opened, and says whose it is. */
  async function enter(email: string, tokens: Tokens & { deviceToken?: string }): Promise<Me> {
    session.keep(tokens);
    if (tokens.deviceToken) keepDeviceToken(localStorage, email, tokens.deviceToken);
    const me = await request<Me>('GET', '/me');
    told(me);
    return me;
  }

  async function resume(): Promise<Me | undefined> {
    if (!session.stored()) return undefined;
    const me = await request<Me>('GET', '/me').catch((problem: unknown) => {
      if (problem instanceof Problem && problem.status === 401) return undefined;
      throw problem;
    });
    told(me);
    return me;
  }

  return {
    clock,
    http: somebody.http,
    get: (path, options) => request('GET', path, options),
    post: (path, body, options) => request('POST', path, { body, ...options }),
    file: (path) => request('GET', path, { read: readFile }),
    patch: (path, body) => request('PATCH', path, { body }),
    delete: (path) => request('DELETE', path),
    async all<T>(path: string, limit = 500) {
      const items: T[] = [];
      let cursor: string | null = null;
      do {
        const query: URLSearchParams = new URLSearchParams({ limit: '100', ...(cursor ? { cursor } : {}) });
        const page: { items: T[]; nextCursor: string | null } = await request(
          'GET',
          `${path}${path.includes('?') ? '&' : '?'}${query}`,
        );
        items.push(...page.items);
        cursor = page.nextCursor;
      } while (cursor && items.length < limit);
      return items;
    },
    async register(name, email, password, locale) {
      const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
      const body = { name, email, password, timeZone, ...(locale ? { locale } : {}) };
      return enter(email, await request('POST', '/auth/register', { body, anonymous: true }));
    },
    async signIn(email, password) {
      const deviceToken = deviceTokenFor(localStorage, email);
      const body = { email, password, ...(deviceToken ? { deviceToken } : {}) };
      return enter(email, await request('POST', '/auth/login', { body, anonymous: true }));
    },
    resume,
    async signOut() {
      const tokens = session.stored();
      session.keep(undefined);
      told(undefined);
      if (!tokens) return;
      const body = { refreshToken: tokens.refreshToken };
      await request('POST', '/auth/logout', { body, anonymous: true }).catch(() => undefined);
    },
    token: () => session.token(),
    async renew() {
      await session.token(session.stored()?.accessToken);
    },
  };
}

/** Reads what was answered; an answer may have nothing to say. */
async function readJson(response: Response): Promise<unknown> {
  const text = await response.text();
  return text === '' ? undefined : JSON.parse(text);
}

/** Reads a part of a file: a blob, since text would lose the byte order mark. */
const readFile = async (response: Response): Promise<FilePart> => ({
  blob: await response.blob(),
  next: response.headers.get('x-next-cursor'),
});

/** What the pages are told about where everything is. */
export interface PageConfig {
  api: string;
  websocket: string;
  docs?: string;
  minorDigits?: Readonly<Record<string, number>>;
  payments?: { token: string; label: string }[];
  /** False where customers come from another sign-in, and accounts are not opened here. */
  ownAccounts?: boolean;
}

/** Reads where everything is. Throws if that cannot be had. */
export async function loadConfig(): Promise<PageConfig> {
  const response = await fetch('/config.json', { signal: AbortSignal.timeout(answerMs) });
  if (!response.ok) throw new Problem(response.status, { code: 'unreachable' });
  const config = (await response.json()) as PageConfig;
  // One that stands behind the origin of the pages has no origin of its own in its address.
  return { ...config, websocket: new URL(config.websocket, location.href.replace(/^http/, 'ws')).href };
}
