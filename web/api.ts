/**
 * The HTTP API as the pages call it: the client of the API, with tokens that renew themselves for all tabs, and answers that
 * say the time.
 */
import { dataOf, type Http, openHttp } from '#client/http.ts';
import { Problem } from '#client/problem.ts';
import type { Challenge } from '#platform/security/proof-of-work.ts';
import { deviceTokenFor, keepDeviceToken } from './devices.ts';
import { createServerClock, type ServerClock } from './server-clock.ts';
import { byWebLocks, openSession, ownerOf, type Renewal, sessionKey, type Tokens } from './session.ts';
import type { Me, Page } from './types.ts';
import { prove } from './work.ts';

/** What a list is asked for page after page. */
export interface PageQuery {
  limit: number;
  cursor?: string;
}

export interface Api extends Http {
  readonly clock: ServerClock;
  /** The same calls without an access token, for whoever has no account or does not get into it. */
  readonly anybody: Http['http'];
  register(name: string, email: string, password: string, locale?: string): Promise<Me>;
  signIn(email: string, password: string): Promise<Me>;
  /** Whether this browser has kept a session; only `resume` says whether it still holds. */
  hasSession(): boolean;
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
        return await dataOf(anybody.http.POST('/auth/refresh', { body: { refreshToken } }));
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

  /** Keeps a session that has just been opened, and says whose it is. */
  async function enter(email: string, tokens: Tokens & { deviceToken?: string }): Promise<Me> {
    session.keep(tokens);
    if (tokens.deviceToken) keepDeviceToken(localStorage, email, tokens.deviceToken);
    const me = await dataOf(somebody.http.GET('/me'));
    told(me);
    return me;
  }

  async function resume(): Promise<Me | undefined> {
    if (!session.stored()) return undefined;
    const me = await dataOf(somebody.http.GET('/me')).catch((problem: unknown) => {
      if (problem instanceof Problem && problem.status === 401) return undefined;
      throw problem;
    });
    told(me);
    return me;
  }

  return {
    clock,
    ...somebody,
    anybody: anybody.http,
    async register(name, email, password, locale) {
      const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
      const body = { name, email, password, timeZone, ...(locale ? { locale } : {}) };
      return enter(email, await dataOf(anybody.http.POST('/auth/register', { body })));
    },
    async signIn(email, password) {
      const deviceToken = deviceTokenFor(localStorage, email);
      const body = { email, password, ...(deviceToken ? { deviceToken } : {}) };
      return enter(email, await dataOf(anybody.http.POST('/auth/login', { body })));
    },
    hasSession: () => session.stored() !== undefined,
    resume,
    async signOut() {
      const tokens = session.stored();
      session.keep(undefined);
      told(undefined);
      if (!tokens) return;
      const body = { refreshToken: tokens.refreshToken };
      await anybody.http.POST('/auth/logout', { body }).catch(() => undefined);
    },
    token: () => session.token(),
    async renew() {
      await session.token(session.stored()?.accessToken);
    },
  };
}

/** All items of a list, page after page, up to a limit. */
export async function allOf<T>(read: (query: PageQuery) => Promise<Page<T>>, atMost = 500): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | null = null;
  do {
    const page: Page<T> = await read({ limit: 100, ...(cursor === null ? {} : { cursor }) });
    items.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== null && items.length < atMost);
  return items;
}

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
