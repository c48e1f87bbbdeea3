/**
 * The live connection: one WebSocket that comes back by itself, watches what it is told to watch, and lets through only
 * what is news (see shown.ts). Who has been away asks the API again, since what was missed is not repeated.
 *
 * A connection may watch a limited number of sales. What was asked for last is watched; what no longer is, and what the
 * server has not confirmed, is known, so that nothing looks live that is not. In a browser the connection also looks after
 * itself when its page is looked at or the network is back.
 */
import { createShown, type Shown } from './shown.ts';

export type LinkState = 'live' | 'reconnecting' | 'off';

/** What the server says. Only the fields that are read here; a page reads more by the type. */
export interface LiveMessage {
  readonly type?: string;
  readonly code?: string;
  readonly saleId?: string;
  readonly reservationId?: string;
  readonly purchaseId?: string;
}

export interface LiveOptions {
  url: string;
  /** A fresh access token, or nothing if nobody is signed in; `rejected` is one that the server has refused. */
  token(rejected?: string): Promise<string | undefined>;
  onMessage(message: LiveMessage): void;
  /** Called with what is no news: it came before, or is older than what did. */
  onStale?(message: LiveMessage): void;
  onState(state: LinkState): void;
  /** Called when the connection is there again after it was away. */
  onBack?(): void;
  /** Called when other sales are live than before. */
  onWatched?(): void;
  /** How often the connection is tried. Default 25,000: the server ends one on which no message arrives for 55 s. */
  pingMs?: number | undefined;
}

export interface Live {
  open(): void;
  close(): void;
  /** Watches a sale; one that asks for a code, with it. */
  watch(saleId: string, code?: string): void;
  unwatch(saleId: string): void;
  /** Whether changes of this sale arrive by themselves at the moment. */
  isLive(saleId: string): boolean;
  note: Shown['note'];
}

/** A connection whose ping is not answered for so long is dead, whatever the browser thinks of it. */
const answerMs = 8_000;
/** A connection that does not open within this time is given up. */
const openMs = 10_000;
const firstRetryMs = 500;
const longestRetryMs = 15_000;
/** How many sales one connection may watch (`salesPerConnection` of the server). */
export const watchedAtMost = 50;
/** The server closed this connection because its customer opened newer ones: connecting again would close another. */
const displaced = 'too_many_connections';

/** A browser's page, where there is one. */
interface MaybePage {
  document?: EventTarget & { visibilityState: string };
  window?: EventTarget;
}

/** Opens the connection. */
export function openLive(options: LiveOptions): Live {
  const { url, token, onMessage, onStale, onState, onBack, onWatched, pingMs = 25_000 } = options;
  /** What somebody looks at, the latest last. */
  const wanted = new Map<string, string | undefined>();
  /** What this connection was told to watch, and with which code. */
  const asked = new Map<string, string | undefined>();
  /** What the server has confirmed. */
  const confirmed = new Set<string>();
  const shown = createShown();
  const page: MaybePage = globalThis as object;
  let socket: WebSocket | undefined;
  let retryMs = firstRetryMs;
  let retryTimer: ReturnType<typeof setTimeout> | undefined;
  let pingTimer: ReturnType<typeof setTimeout> | undefined;
  let answerTimer: ReturnType<typeof setTimeout> | undefined;
  let said: string | undefined;
  let closed = true;
  let resting = false;
  let wasAway = false;
  let rejected: string | undefined;

  const say = (message: object) => {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  };

  /** Watches the latest of what is wanted, as many as one connection may. */
  function watchWanted(): void {
    if (socket?.readyState !== WebSocket.OPEN) return;
    const latest = new Map([...wanted].slice(-watchedAtMost));
    for (const saleId of asked.keys()) {
      if (latest.has(saleId)) continue;
      asked.delete(saleId);
      confirmed.delete(saleId);
      say({ action: 'unwatch', saleId });
    }
    for (const [saleId, code] of latest) {
      if (asked.has(saleId) && asked.get(saleId) === code) continue;
      asked.set(saleId, code);
      say({ action: 'watch', saleId, ...(code === undefined ? {} : { code }) });
    }
    onWatched?.();
  }

  /** Shows that this page is there, with a fresh token as soon as there is one. */
  async function ping(): Promise<void> {
    const from = socket;
    clearTimeout(pingTimer);
    clearTimeout(answerTimer);
    answerTimer = setTimeout(() => leave(from), answerMs);
    const access = await token().catch(() => undefined);
    if (socket !== from) return;
    say(access && access !== said ? { action: 'authenticate', token: access } : { action: 'ping' });
    said = access ?? said;
  }

  /** The answer to a ping sets the next one: browsers throttle chained timers in background tabs. */
  function heard(): void {
    clearTimeout(answerTimer);
    clearTimeout(pingTimer);
    pingTimer = setTimeout(ping, pingMs);
  }

  async function connect(): Promise<void> {
    clearTimeout(retryTimer);
    const access = await token(rejected).catch(() => undefined);
    if (closed || socket) return;
    if (!access) return retry();
    const opening = new WebSocket(`${url}?token=${encodeURIComponent(access)}`);
    socket = opening;
    said = access;
    rejected = undefined;
    asked.clear();
    confirmed.clear();
    answerTimer = setTimeout(() => leave(opening), openMs);
    opening.addEventListener('open', () => {
      if (socket !== opening) return;
      retryMs = firstRetryMs;
      watchWanted();
      ping();
      onState('live');
      if (wasAway) onBack?.();
      wasAway = false;
    });
    opening.addEventListener('message', ({ data }) => {
      if (socket !== opening) return;
      const message = JSON.parse(String(data)) as LiveMessage;
      if (message.type === 'pong' || message.type === 'authenticated') return heard();
      if (message.code === 'unauthenticated') rejected = said;
      if (message.type === 'closing') return leave(opening, message.code === displaced);
      if (message.type === 'watching' && message.saleId !== undefined) {
        if (asked.has(message.saleId)) confirmed.add(message.saleId);
        return onWatched?.();
      }
      if (message.type === 'hidden' && message.saleId !== undefined) {
        asked.delete(message.saleId);
        confirmed.delete(message.saleId);
        return onWatched?.();
      }
      // The server has lost its registry and does not know this connection any more.
      if (message.type === 'problem' && message.code === 'unauthenticated') return leave(opening);
      if (shown.admit(message)) onMessage(message);
      else onStale?.(message);
    });
    opening.addEventListener('close', () => leave(opening));
  }

  /** Gives a connection up without waiting for its close event, which may take long if the other side is gone. */
  function leave(left: WebSocket | undefined, rests = false): void {
    if (left === undefined || socket !== left) return;
    socket = undefined;
    asked.clear();
    confirmed.clear();
    clearTimeout(pingTimer);
    clearTimeout(answerTimer);
    left.close();
    if (closed) return;
    if (rests) rest();
    else retry();
  }

  /** Stays disconnected until somebody looks at this page. */
  function rest(): void {
    wasAway = true;
    resting = true;
    onState('off');
  }

  /** Somebody looks at this page, or the network is back: what is dead is found now rather than at the next ping. */
  function wake(): void {
    if (closed || page.document?.visibilityState === 'hidden') return;
    if (socket?.readyState === WebSocket.OPEN) return void ping();
    if (socket) return;
    resting = false;
    connect();
  }
  page.document?.addEventListener('visibilitychange', wake);
  page.window?.addEventListener('focus', () => resting && wake());
  page.window?.addEventListener('online', wake);

  function retry(): void {
    wasAway = true;
    onState('reconnecting');
    clearTimeout(retryTimer);
    retryTimer = setTimeout(connect, retryMs * (0.5 + Math.random()));
    retryMs = Math.min(retryMs * 2, longestRetryMs);
  }

  return {
    open() {
      if (!closed) return;
      closed = false;
      connect();
    },
    close() {
      closed = true;
      resting = false;
      wasAway = false;
      clearTimeout(retryTimer);
      leave(socket);
      onState('off');
    },
    watch(saleId, code) {
      wanted.delete(saleId);
      wanted.set(saleId, code);
      watchWanted();
    },
    unwatch(saleId) {
      if (wanted.delete(saleId)) watchWanted();
    },
    isLive: (saleId) => confirmed.has(saleId),
    note: shown.note,
  };
}
