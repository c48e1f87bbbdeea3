import { openSession, type Renewal, type Session, sessionKey, type Tokens } from './session.ts';

/** The server's rule: a token is good for one use, for 30 seconds gets the same successor again, and then ends its family. */
class Server {
  nowMs = 1_800_000_000_000;
  ended = false;
  #used = new Map<string, { at: number; next: Tokens }>();
  #made = 0;
  asked = 0;

  issue(): Tokens {
    const exp = this.nowMs / 1_000 + 600;
    return {
      accessToken: `h.${btoa(JSON.stringify({ exp, sub: 'ada', n: ++this.#made }))}.s`,
      refreshToken: `r${this.#made}`,
    };
  }

  refresh(token: string): Renewal {
    this.asked += 1;
    const used = this.#used.get(token);
    if (used && (this.nowMs - used.at > 30_000 || this.#used.has(used.next.refreshToken))) this.ended = true;
    if (this.ended) return 'refused';
    const next = used?.next ?? this.issue();
    if (!used) this.#used.set(token, { at: this.nowMs, next });
    return next;
  }
}

/** A browser: what all its tabs share. */
class Browser {
  readonly kept = new Map<string, string>();
  readonly store = {
    getItem: (key: string) => this.kept.get(key) ?? null,
    setItem: (key: string, text: string) => void this.kept.set(key, text),
    removeItem: (key: string) => void this.kept.delete(key),
  };
  #turn: Promise<unknown> = Promise.resolve();
  /** Without locks, as in a page that is not served over HTTPS. */
  hasLocks = true;

  exclusively = <T>(_: string, work: () => Promise<T>): Promise<T> => {
    if (!this.hasLocks) return work();
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => undefined);
    return mine;
  };

  tab(server: Server, refresh = async (token: string) => server.refresh(token)): Session {
    const pause = async (ms: number) => {
      server.nowMs += ms;
      await Promise.resolve();
    };
    return openSession({ store: this.store, exclusively: this.exclusively, refresh, now: () => server.nowMs, pause });
  }
}

let server: Server;
let browser: Browser;
beforeEach(() => {
  server = new Server();
  browser = new Browser();
  browser.tab(server).keep(server.issue());
});

const tenMinutes = 600_000;

describe('the session of a browser', () => {
  test('a page that is loaded again goes on with the token it finds, and asks for none', async () => {
    const first = await browser.tab(server).token();
    expect([await browser.tab(server).token(), server.asked]).toEqual([first, 0]);
  });

  test('however many tabs and requests need a new token, one is asked for', async () => {
    server.nowMs += tenMinutes;
    const tabs = [browser.tab(server), browser.tab(server), browser.tab(server)];
    const tokens = await Promise.all(tabs.flatMap((tab) => [tab.token(), tab.token()]));
    expect([new Set(tokens).size, server.asked, server.ended]).toEqual([1, 1, false]);
  });

  test('a lost answer is asked for again while the server knows it', async () => {
    server.nowMs += tenMinutes;
    let lost = 0;
    const tab = browser.tab(server, async (token) => {
      const renewal = server.refresh(token);
      if (lost++ < 3) throw new Error('reset');
      return renewal;
    });
    expect(await tab.token()).toBeDefined();
    expect(server.ended).toBe(false);
  });

  test('a page that is ended in the middle of a renewal leaves the next one the same token', async () => {
    server.nowMs += tenMinutes;
    // The answer of the first page is never taken in; its lock goes with it.
    browser.hasLocks = false;
    const ended = browser.tab(server, (token) => {
      server.refresh(token);
      return new Promise(() => undefined);
    });
    void ended.token();
    server.nowMs += 160;
    expect(await browser.tab(server).token()).toBeDefined();
    expect(server.ended).toBe(false);
  });

  test('tabs without locks still end with one session', async () => {
    browser.hasLocks = false;
    server.nowMs += tenMinutes;
    const tokens = await Promise.all([browser.tab(server).token(), browser.tab(server).token()]);
    expect([tokens.every(Boolean), server.ended]).toEqual([true, false]);
  });

  test('a token that the server does not take is renewed, though it looks good', async () => {
    const tab = browser.tab(server);
    const rejected = await tab.token();
    expect(await tab.token(rejected)).not.toBe(rejected);
  });

  test('a refused renewal ends the session; one that failed does not', async () => {
    server.nowMs += tenMinutes;
    const failing = browser.tab(server, async () => {
      throw new Error('away');
    });
    await expect(failing.token()).rejects.toThrow('away');
    expect(failing.stored()).toBeDefined();
    server.ended = true;
    expect([await browser.tab(server).token(), failing.stored()]).toEqual([undefined, undefined]);
  });

  test('signing out during a renewal stays signed out', async () => {
    server.nowMs += tenMinutes;
    const tab = browser.tab(server, async (token) => {
      tab.keep(undefined);
      return server.refresh(token);
    });
    expect([await tab.token(), tab.stored()]).toEqual([undefined, undefined]);
  });

  test('what is no session is none', async () => {
    for (const text of ['', '{', '[]', 'null', '{"refreshToken":1}']) {
      browser.kept.set(sessionKey, text);
      expect(await browser.tab(server).token()).toBeUndefined();
    }
  });
});
