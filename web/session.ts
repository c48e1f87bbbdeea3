/**
 * Who is signed in on this browser: the tokens, which all of its tabs share, and their renewal.
 *
 * A refresh token is good for one use; sent again within 30 seconds, it gets the same successor. So that nobody is signed
 * out by a reload, a lost answer or a duplicated tab:
 * - the tokens lie in one place for all tabs, and a page that is loaded again goes on with the access token it finds there;
 * - one tab at a time renews, under a lock of the browser, and looks first whether another has done it;
 * - a renewal whose answer is lost is repeated with the same token while the server still knows the answer.
 */
import type { Exclusively, Store } from '#client/intents.ts';
import type { components } from '#client/schema.ts';

/** What is kept of a session that the API has opened. */
export type Tokens = Pick<components['schemas']['Session'], 'accessToken' | 'refreshToken'>;

/** What a renewal may end with besides new tokens. */
export type Renewal = Tokens | 'refused';

export interface SessionOptions {
  store: Store;
  exclusively: Exclusively;
  /** Puts a refresh token to the server. Throws if it cannot say whether the token is good. */
  refresh(refreshToken: string): Promise<Renewal>;
  /** The time by the server, in milliseconds. */
  now(): number;
  pause(ms: number): Promise<void>;
}

export interface Session {
  /** The tokens, if somebody is signed in. */
  stored(): Tokens | undefined;
  keep(tokens: Tokens | undefined): void;
  /**
   * An access token that is good for a while yet and is not `rejected`; undefined if nobody is signed in any more. Throws if
   * the server cannot be asked.
   */
  token(rejected?: string): Promise<string | undefined>;
}

export const sessionKey = 'holdfast.session';
/** How long a token must be good for when it is handed out. */
const leftMs = 60_000;
/** When a lost answer is asked for again; all of it lies within the 30 seconds in which the server repeats it. */
const repeatAfterMs = [0, 500, 2_000, 4_000];

/** Opens the session of this browser. */
export function openSession({ store, exclusively, refresh, now, pause }: SessionOptions): Session {
  let renewing: Promise<string | undefined> | undefined;

  function stored(): Tokens | undefined {
    const tokens = parsed(store.getItem(sessionKey)) as Partial<Tokens> | undefined;
    return typeof tokens?.refreshToken === 'string' && typeof tokens.accessToken === 'string'
      ? { accessToken: tokens.accessToken, refreshToken: tokens.refreshToken }
      : undefined;
  }

  function keep(tokens: Tokens | undefined): void {
    if (tokens) {
      const { accessToken, refreshToken } = tokens;
      store.setItem(sessionKey, JSON.stringify({ accessToken, refreshToken }));
    } else {
      store.removeItem(sessionKey);
    }
  }

  const good = ({ accessToken }: Tokens, rejected?: string) =>
    accessToken !== rejected && endOf(accessToken) > now() + leftMs;

  async function renew(rejected?: string): Promise<string | undefined> {
    for (;;) {
      const before = stored();
      if (!before) return undefined;
      // Another tab has done it while this one waited for its turn.
      if (good(before, rejected)) return before.accessToken;
      const renewal = await ask(before.refreshToken);
      // Somebody has signed out, or in as somebody else, meanwhile; what they did counts.
      if (stored()?.refreshToken !== before.refreshToken) continue;
      keep(renewal === 'refused' ? undefined : renewal);
      return renewal === 'refused' ? undefined : renewal.accessToken;
    }
  }

  async function ask(refreshToken: string): Promise<Renewal> {
    for (const [attempt, afterMs] of repeatAfterMs.entries()) {
      await pause(afterMs);
      try {
        return await refresh(refreshToken);
      } catch (error) {
        if (attempt === repeatAfterMs.length - 1) throw error;
      }
    }
    throw new Error('never asked');
  }

  return {
    stored,
    keep,
    async token(rejected) {
      const tokens = stored();
      if (!tokens) return undefined;
      if (good(tokens, rejected)) return tokens.accessToken;
      renewing ??= exclusively(sessionKey, () => renew(rejected)).finally(() => {
        renewing = undefined;
      });
      return renewing;
    },
  };
}

/** One tab at a time, by the Web Locks of the browser; where there are none, the server's leeway has to do. */
export const byWebLocks: Exclusively = async (name, work) =>
  // A page that is not served over HTTPS has no locks.
  (navigator as Partial<Navigator>).locks ? await navigator.locks.request(name, work) : await work();

/** When an access token ends, in milliseconds; zero if it cannot be read. */
export function endOf(token: string): number {
  const { exp } = claimsOf(token);
  return typeof exp === 'number' ? exp * 1_000 : 0;
}

/** Whose access token this is. */
export function ownerOf(token: string): string | undefined {
  const { sub } = claimsOf(token);
  return typeof sub === 'string' ? sub : undefined;
}

function claimsOf(token: string): { exp?: unknown; sub?: unknown } {
  const [, claims = ''] = token.split('.');
  try {
    return JSON.parse(atob(claims.replaceAll('-', '+').replaceAll('_', '/'))) as object;
  } catch {
    return {};
  }
}

function parsed(text: string | null): unknown {
  try {
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
