/**
 * Free ports on the loopback interface.
 *
 * Invariant: a port is only ever asked for on 127.0.0.1, which is the only address anything local binds to. Ports
 * come from below the range that systems use for outgoing connections, so that a server which is killed finds its
 * port free when it is started again. A port given out here can still be lost to another program before it is
 * bound. Called by the supervisor and the database starters.
 */
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

const LOWEST_PORT = 20_000;
/** Linux begins outgoing connections at 32768, others at 49152. */
const HIGHEST_PORT = 32_700;
const MOST_TRIES = 500;

/** Ports this process has given out: two parts of one stack never get the same. */
const given = new Set<number>();

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** A port nobody listens on now: the preferred one when it is free, otherwise any. */
export async function freePort(preferred?: number): Promise<number> {
  let port = preferred;
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    if (port && !given.has(port) && (await isFree(port))) {
      given.add(port);
      return port;
    }
    port = randomInt(LOWEST_PORT, HIGHEST_PORT);
  }
  throw new Error(`no free port between ${LOWEST_PORT} and ${HIGHEST_PORT} on 127.0.0.1`);
}
