/**
 * Free ports on the loopback interface.
 *
 * Ports come from below the range that systems use for outgoing connections, so that a server that is killed finds its
 * port free when it restarts. Another program can still take a port between this check and its use. Called by
 * `startStack` and the database starters.
 */
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

const lowestPort = 20_000;
/** Linux uses ports from 32768 for outgoing connections, other systems from 49152. */
const highestPort = 32_700;
const mostTries = 500;

/** Ports that this process has returned: two parts of one stack never get the same. */
const given = new Set<number>();

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** A free port: the preferred one if possible, otherwise any. */
export async function freePort(preferred?: number): Promise<number> {
  let port = preferred;
  for (let tries = 0; tries < mostTries; tries++) {
    if (port && !given.has(port) && (await isFree(port))) {
      given.add(port);
      return port;
    }
    port = randomInt(lowestPort, highestPort);
  }
  throw new Error(`no free port between ${lowestPort} and ${highestPort} on 127.0.0.1`);
}
