/**
 * The live connection: one WebSocket that comes back by itself, watches what it is told to watch, and lets through only
 * what is news (see shown.js). A page that has been away asks the API again, since what was missed is not repeated.
 */
import { createShown } from './shown.js';

/** The gateway closes a connection that is silent for ten minutes. */
const pingMs = 4 * 60_000;
const firstRetryMs = 500;
const longestRetryMs = 15_000;

/**
 * Opens the connection. `token` gives a fresh access token or nothing, `onMessage` takes news, `onState` hears
 * 'live' or 'away', and `onBack` is called when the connection is there again after it was away.
 */
export function openLive({ url, token, onMessage, onState, onBack }) {
  const watched = new Set();
  const shown = createShown();
  let socket;
  let retryMs = firstRetryMs;
  let retryTimer;
  let pingTimer;
  let closed = true;
  let wasAway = false;

  const say = (message) => {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  };

  const ping = async () => say({ action: 'ping', token: await token() });

  async function connect() {
    const access = await token().catch(() => undefined);
    if (closed) return;
    if (!access) return retry();
    const opening = new WebSocket(`${url}?token=${encodeURIComponent(access)}`);
    socket = opening;
    opening.addEventListener('open', () => {
      retryMs = firstRetryMs;
      say({ action: 'ping', token: access });
      for (const saleId of watched) say({ action: 'watch', saleId });
      pingTimer = setInterval(ping, pingMs);
      onState('live');
      if (wasAway) onBack();
      wasAway = false;
    });
    opening.addEventListener('message', ({ data }) => {
      const message = JSON.parse(data);
      if (shown.admit(message)) onMessage(message);
    });
    opening.addEventListener('close', () => {
      clearInterval(pingTimer);
      if (socket === opening && !closed) retry();
    });
  }

  function retry() {
    wasAway = true;
    onState('away');
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
      clearTimeout(retryTimer);
      clearInterval(pingTimer);
      socket?.close();
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
