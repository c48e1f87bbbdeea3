/**
 * The live connection: one WebSocket that comes back by itself, watches what it is told to watch, and lets through only
 * what is news (see shown.js). A page that has been away asks the API again, since what was missed is not repeated.
 */
import { createShown } from './shown.js';

/** The server ends a connection on which no message arrives for 55 s. */
const pingMs = 25_000;
/** A connection whose ping is not answered for so long is dead, whatever the browser thinks of it. */
const answerMs = 20_000;
const firstRetryMs = 500;
const longestRetryMs = 15_000;
/** The server closed this connection because its customer opened newer ones: connecting again would close another. */
const displaced = 'too_many_connections';

/**
 * Opens the connection. `token` gives a fresh access token or nothing, `onMessage` takes news, `onState` hears
 * 'live', 'reconnecting' or 'off', and `onBack` is called when the connection is there again after it was away.
 */
export function openLive({ url, token, onMessage, onState, onBack }) {
  const watched = new Set();
  const shown = createShown();
  let socket;
  let retryMs = firstRetryMs;
  let retryTimer;
  let pingTimer;
  let answerTimer;
  let said;
  let closed = true;
  let resting = false;
  let wasAway = false;

  const say = (message) => {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  };

  /** Shows that this page is there, with a fresh token as soon as there is one. */
  async function ping() {
    const from = socket;
    const access = await token().catch(() => undefined);
    if (socket !== from) return;
    say(access && access !== said ? { action: 'authenticate', token: access } : { action: 'ping' });
    said = access ?? said;
    answerTimer = setTimeout(() => leave(from), answerMs);
  }

  /** The answer to a ping sets the next one: browsers throttle chained timers in background tabs. */
  function heard() {
    clearTimeout(answerTimer);
    clearTimeout(pingTimer);
    pingTimer = setTimeout(ping, pingMs);
  }

  async function connect() {
    const access = await token().catch(() => undefined);
    if (closed) return;
    if (!access) return retry();
    const opening = new WebSocket(`${url}?token=${encodeURIComponent(access)}`);
    socket = opening;
    said = access;
    opening.addEventListener('open', () => {
      retryMs = firstRetryMs;
      for (const saleId of watched) say({ action: 'watch', saleId });
      ping();
      onState('live');
      if (wasAway) onBack();
      wasAway = false;
    });
    opening.addEventListener('message', ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === 'pong' || message.type === 'authenticated') return heard();
      if (message.type === 'closing') return leave(opening, message.code === displaced);
      // The server has lost its registry and does not know this connection any more.
      if (message.type === 'problem' && message.code === 'unauthenticated') return leave(opening);
      if (shown.admit(message)) onMessage(message);
    });
    opening.addEventListener('close', () => leave(opening));
  }

  /** Gives a connection up without waiting for its close event, which may take long if the other side is gone. */
  function leave(left, rests = false) {
    if (socket !== left) return;
    socket = undefined;
    clearTimeout(pingTimer);
    clearTimeout(answerTimer);
    left.close();
    if (closed) return;
    if (rests) rest();
    else retry();
  }

  /** Stays disconnected until somebody looks at this page. */
  function rest() {
    wasAway = true;
    resting = true;
    onState('off');
  }

  const wake = () => {
    if (!resting || document.visibilityState !== 'visible') return;
    resting = false;
    connect();
  };
  document.addEventListener('visibilitychange', wake);
  window.addEventListener('focus', wake);

  function retry() {
    wasAway = true;
    onState('reconnecting');
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
      clearTimeout(retryTimer);
      if (socket) leave(socket);
      onState('off');
    },
    watch(saleId) {
      if (watched.has(saleId)) return;
      watched.add(saleId);
      say({ action: 'watch', saleId });
    },
    unwatch(saleId) {
      if (watched.delete(saleId)) say({ action: 'unwatch', saleId });
    },
    note: shown.note,
  };
}
