/**
 * The HTTP API as the pages call it: tokens that renew themselves, problems as errors with a code and a sentence, and
 * one Idempotency-Key for each thing a person meant to do, however often it has to be sent.
 */

/** A refusal or a fault of the API. `detail` is for people, `code` for programs. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The server answered ${status}.`);
    this.status = status;
    this.code = body.code ?? 'unknown';
    this.title = body.title ?? 'Something went wrong';
    this.body = body;
  }
}

const sessionKey = 'holdfast.session';
const attempts = 4;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Opens the API at an address. `onSession` hears when somebody signs in or out. */
export function openApi(base, onSession = () => {}) {
  let accessToken;
  let refreshing;
  const twins = new BroadcastChannel(sessionKey);

  const stored = () => JSON.parse(sessionStorage.getItem(sessionKey) ?? 'null');

  function keep(tokens) {
    accessToken = tokens?.accessToken;
    if (tokens) sessionStorage.setItem(sessionKey, JSON.stringify({ refreshToken: tokens.refreshToken }));
    else sessionStorage.removeItem(sessionKey);
  }

  /** A duplicated tab has the same session: whichever renews it tells the other. */
  twins.addEventListener('message', ({ data }) => {
    if (stored()?.refreshToken === data.used) keep(data.tokens);
  });

  /** A refresh token is good for one use, so however many requests need a new access token, one asks for it. */
  function renew() {
    refreshing ??= (async () => {
      const session = stored();
      if (!session) return false;
      try {
        const tokens = await send('POST', '/auth/refresh', { body: session, anonymous: true });
        keep(tokens);
        twins.postMessage({ used: session.refreshToken, tokens });
        return true;
      } catch (problem) {
        if (!(problem instanceof Problem) || problem.status >= 500) throw problem;
        keep(undefined);
        onSession(undefined);
        return false;
      }
    })().finally(() => {
      refreshing = undefined;
    });
    return refreshing;
  }

  async function send(method, path, { body, type = 'application/json', key, anonymous, asFile } = {}) {
    const headers = {};
    if (accessToken && !anonymous) headers.authorization = `Bearer ${accessToken}`;
    if (body !== undefined) headers['content-type'] = type;
    if (key) headers['idempotency-key'] = key;
    const asIs = body === undefined || typeof body === 'string' || body instanceof Blob;
    const response = await fetch(base + path, { method, headers, body: asIs ? body : JSON.stringify(body) });
    // A blob, since text would lose the byte order mark.
    if (response.ok && asFile) return { blob: await response.blob(), next: response.headers.get('x-next-cursor') };
    const answer = response.status === 204 ? undefined : await response.json().catch(() => ({}));
    if (response.ok) return answer;
    const problem = new Problem(response.status, answer ?? {});
    problem.retryAfterMs = 1000 * Number(response.headers.get('retry-after') ?? 0);
    throw problem;
  }

  /** Whether sending the same again can do no harm and may help. */
  const worthRepeating = (error, method, key) =>
    (method === 'GET' || key !== undefined) &&
    (!(error instanceof Problem) || error.status >= 500 || error.code === 'idempotency_in_progress');

  async function request(method, path, options = {}) {
    if (!accessToken && !options.anonymous && stored()) await renew();
    for (let attempt = 1; ; attempt++) {
      try {
        return await send(method, path, options);
      } catch (error) {
        if (
          error instanceof Problem &&
          error.status === 401 &&
          !options.anonymous &&
          attempt === 1 &&
          (await renew())
        ) {
          continue;
        }
        if (attempt >= attempts || !worthRepeating(error, method, options.key)) {
          if (error instanceof Problem) throw error;
          throw new Problem(0, {
            title: 'No connection',
            code: 'unreachable',
            detail: 'The server cannot be reached.',
          });
        }
        await pause(Math.max(error.retryAfterMs ?? 0, 250 * 2 ** attempt * (0.5 + Math.random())));
      }
    }
  }

  return {
    get: (path) => request('GET', path),
    /** A part of a file, and the cursor of the next. */
    file: (path) => request('GET', path, { asFile: true }),
    post: (path, body, options) => request('POST', path, { body, ...options }),
    patch: (path, body) => request('PATCH', path, { body }),
    delete: (path) => request('DELETE', path),
    /** All items of a list, page after page, up to a limit. */
    async all(path, limit = 500) {
      const items = [];
      let cursor = null;
      do {
        const query = new URLSearchParams({ limit: '100', ...(cursor ? { cursor } : {}) });
        const page = await request('GET', `${path}${path.includes('?') ? '&' : '?'}${query}`);
        items.push(...page.items);
        cursor = page.nextCursor;
      } while (cursor && items.length < limit);
      return items;
    },
    async register(name, email, password) {
      const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
      const body = { name, email, password, timeZone };
      return this.enter(await request('POST', '/auth/register', { body, anonymous: true }));
    },
    async signIn(email, password) {
      return this.enter(await request('POST', '/auth/login', { body: { email, password }, anonymous: true }));
    },
    /** Keeps a session that has just been opened, and says whose it is. */
    async enter(session) {
      keep(session);
      const me = await request('GET', '/me');
      onSession(me);
      return me;
    },
    /** Who is signed in from before, if anybody is. */
    async resume() {
      if (!stored()) return undefined;
      const me = await request('GET', '/me').catch((problem) => {
        if (problem.status === 401) return undefined;
        throw problem;
      });
      onSession(me);
      return me;
    },
    async signOut() {
      const session = stored();
      keep(undefined);
      onSession(undefined);
      if (session) await send('POST', '/auth/logout', { body: session, anonymous: true }).catch(() => undefined);
    },
    /** A fresh access token, for the WebSocket. */
    async token() {
      if (!accessToken || expiresSoon(accessToken)) await renew();
      return accessToken;
    },
  };
}

function expiresSoon(token) {
  try {
    const { exp } = JSON.parse(atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/')));
    return exp * 1000 < Date.now() + 60_000;
  } catch {
    return true;
  }
}

/** A key for one thing that somebody means to do. */
export const newKey = () => crypto.randomUUID();

/** Reads where everything is. */
export async function loadConfig() {
  const response = await fetch('/config.json');
  return response.json();
}
