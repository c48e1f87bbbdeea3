/**
 * The HTTP API as the pages call it: tokens that renew themselves, problems as errors with a code, answers that say the
 * time, and requests that end even if nobody answers.
 */
import { Problem, type ProblemBody } from '#client/problem.ts';
import type { Challenge } from '#platform/security/proof-of-work.ts';
import { deviceTokenFor, keepDeviceToken } from './devices.ts';
import { createServerClock, type ServerClock } from './server-clock.ts';
import { byWebLocks, openSession, ownerOf, type Renewal, sessionKey, type Tokens } from './session.ts';
import type { Me } from './types.ts';
import { prove } from './work.ts';

/** A refusal or a fault of the API. Where it asks for work, it holds the challenge. */
interface Refusal extends ProblemBody {
  readonly challenge?: Challenge;
}

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

export interface Api {
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

/** Work that is shown with a call, and how many times work was done for it. */
interface Work {
  readonly proof: string;
  readonly times: number;
}

const attempts = 4;
/** What was worked for before a sale opened does not count once it is open, so a second time may be asked for. */
const worksAtMost = 2;
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
        return await send<Tokens>('POST', '/auth/refresh', { body: { refreshToken }, anonymous: true });
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

  async function send<T>(
    method: string,
    path: string,
    options: RequestOptions = {},
    access?: string,
    work?: Work,
  ): Promise<T> {
    const { body, type = 'application/json', key, read = readJson } = options;
    const headers: Record<string, string> = {};
    const spoken = language?.();
    if (spoken) headers['accept-language'] = spoken;
    if (access) headers.authorization = `Bearer ${access}`;
    if (body !== undefined) headers['content-type'] = type;
    if (key) headers['idempotency-key'] = key;
    if (work) headers['x-proof-of-work'] = work.proof;
    const asIs = typeof body === 'string' || body instanceof Blob;
    const sent = clock.stopwatch();
    const response = await fetch(base + path, {
      method,
      headers,
      ...(body === undefined ? {} : { body: asIs ? body : JSON.stringify(body) }),
      signal: AbortSignal.timeout(answerMs),
    });
    clock.heard(response.headers.get('date'), sent, clock.stopwatch());
    if (response.ok) return (await read(response)) as T;
    const answer = (await response.json().catch(() => ({}))) as Refusal;
    // Many call from this address: a moment of work, and the call passes. What was refused so has not been carried out.
    const times = work?.times ?? 0;
    if (answer.code === 'work_required' && answer.challenge && times < worksAtMost) {
      return send(method, path, options, access, { proof: await prove(answer.challenge), times: times + 1 });
    }
    throw new Problem(response.status, answer, 1_000 * Number(response.headers.get('retry-after') ?? 0));
  }

  /** Whether sending the same again can do no harm and may help. */
  const worthRepeating = (error: unknown, method: string, key: string | undefined) =>
    (method === 'GET' || key !== undefined) &&
    (!(error instanceof Problem) || error.status >= 500 || error.code === 'idempotency_in_progress');

  async function request<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    let rejected: string | undefined;
    for (let attempt = 1; ; attempt++) {
      let access: string | undefined;
      try {
        access = options.anonymous ? undefined : await session.token(rejected);
        return await send<T>(method, path, options, access);
      } catch (error) {
        const problem = error instanceof Problem ? error : undefined;
        if (problem?.status === 401 && access !== undefined && rejected === undefined) {
          rejected = access;
          continue;
        }
        if (problem?.status === 401 && !options.anonymous && session.stored() === undefined && customerId) {
          told(undefined);
        }
        if (attempt >= attempts || !worthRepeating(error, method, options.key)) {
          throw problem ?? new Problem(0, { title: 'No connection', code: 'unreachable' });
        }
        await pause(Math.max(problem?.retryAfterMs ?? 0, 250 * 2 ** attempt * (0.5 + Math.random())));
      }
    }
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
      await send('POST', '/auth/logout', { body, anonymous: true }).catch(() => undefined);
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
}

/** Reads where everything is. Throws if that cannot be had. */
export async function loadConfig(): Promise<PageConfig> {
  const response = await fetch('/config.json', { signal: AbortSignal.timeout(answerMs) });
  if (!response.ok) throw new Problem(response.status, { code: 'unreachable' });
  const config = (await response.json()) as PageConfig;
  // One that stands behind the origin of the pages has no origin of its own in its address.
  return { ...config, websocket: new URL(config.websocket, location.href.replace(/^http/, 'ws')).href };
}
