/** The limits on Redis: a server that says nothing is given up soon, and one that was not listened to is not. */

import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { redisCommandTimeoutMs } from '#platform/kernel/time-limits.ts';
import { openRedis, type RedisClient, redisReady } from './redis.ts';

let server: Server;
let client: RedisClient;
let sockets: Socket[];
/** Whether the server answers what comes. */
let answers: boolean;

beforeEach(async () => {
  answers = true;
  sockets = [];
  server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      // One answer for each command; that of INFO must look like one.
      for (const [, name] of data.toString('latin1').matchAll(/\*\d+\r\n\$\d+\r\n(\w+)/g)) {
        if (answers) socket.write(name?.toLowerCase() === 'info' ? '$9\r\nloading:0\r\n' : '+OK\r\n');
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  client = openRedis(`redis://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

afterEach(() => {
  client.disconnect();
  for (const socket of sockets) socket.destroy();
  server.close();
});

/** The process stands still, as one does that compiles its code. */
function standStill(ms: number): void {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs);
}

const pause = 3 * redisCommandTimeoutMs;

test('a command that gets no answer fails in time', async () => {
  await redisReady(client);
  answers = false;
  const startedMs = performance.now();
  await expect(client.get('a')).rejects.toThrow('Command timed out');
  const tookMs = performance.now() - startedMs;
  expect(tookMs).toBeGreaterThanOrEqual(redisCommandTimeoutMs - 5);
  expect(tookMs).toBeLessThan(3 * redisCommandTimeoutMs);
});

test('a blocked event loop does not fail a command', async () => {
  await redisReady(client);
  for (let time = 0; time < 3; time++) {
    const answer = client.set('a', '1');
    standStill(pause);
    expect(await answer).toBe('OK');
  }
  const several = Promise.all(Array.from({ length: 5 }, () => client.set('a', '1')));
  standStill(pause);
  expect(await several).toHaveLength(5);
});

test('nor does a blocked event loop fail a connection', async () => {
  const ready = redisReady(client, redisCommandTimeoutMs);
  standStill(pause);
  await ready;
  expect(client.status).toBe('ready');
});

test('a server that never becomes ready is not waited for', async () => {
  answers = false;
  await expect(redisReady(client, 100)).rejects.toThrow('did not become ready');
});
