/**
 * Free ports on the loopback interface.
 *
 * Invariant: a port is only ever asked for on 127.0.0.1, which is the only address anything local binds to. A
 * port given out here can still be lost to another program before it is bound, so whoever starts a server on
 * one must be able to ask again. Called by the supervisor and the database starters.
 */
import { createServer } from 'node:net';

function tryPort(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      const address = server.address();
      const bound = typeof address === 'object' && address ? address.port : undefined;
      server.close(() => resolve(bound));
    });
  });
}

/** A port nobody listens on now: the preferred one when it is free, otherwise any. */
export async function freePort(preferred?: number): Promise<number> {
  const wanted = preferred ? await tryPort(preferred) : undefined;
  const port = wanted ?? (await tryPort(0));
  if (!port) throw new Error('no free port on 127.0.0.1');
  return port;
}
