/**
 * R0, the original design: a Redis lock per request (SET NX with a time to live), then one transaction that reads stock,
 * writes the reservation and takes the units, then stock and state in Redis, then the lock is given back by a script.
 * A worker that does not get the lock tries again every 50 ms, twenty times, and then leaves the message to redelivery.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { acknowledged, type Contender } from '../contender.ts';
import { inTransaction, openPool, plainMirror, readAvailable, takeUnits, writeRows } from './rows.ts';

const lockLifeMs = 5_000;
const retryDelayMs = 50;
const attempts = 20;
const unlock = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`;

export const setnx: Contender = {
  name: 'r0-setnx',
  title: 'R0 original design: Redis lock per request',
  mirror: 'plain',
  stock: 'counters',
  batch: 1,
  lanes: [1, 2, 4, 8],
  async open({ mysqlUrl, redisUrl }) {
    const pool = openPool(mysqlUrl, 8);
    const redis = new Redis(redisUrl, { scripts: { unlock: { lua: unlock, numberOfKeys: 1 } } });
    return {
      async handle(requests) {
        const [request] = requests;
        if (!request) return acknowledged;
        const key = `bench:lock:${request.saleId}`;
        const token = randomUUID();
        for (let attempt = 1; (await redis.set(key, token, 'PX', lockLifeMs, 'NX')) !== 'OK'; attempt++) {
          if (attempt === attempts) return requests;
          await sleep(retryDelayMs);
        }
        const written = await inTransaction(pool, async (connection) => {
          const available = await readAvailable(connection, request, false);
          if (available < request.quantity) throw new Error('the sale has too little stock for this workload');
          if (!(await writeRows(connection, request, Date.now()))) return false;
          await takeUnits(connection, request);
          return true;
        });
        const pipeline = redis.pipeline();
        if (written) plainMirror(pipeline, request);
        // Defined above; ioredis cannot know it in its types.
        (pipeline as unknown as { unlock(key: string, token: string): typeof pipeline }).unlock(key, token);
        await pipeline.exec();
        return acknowledged;
      },
      async close() {
        redis.disconnect();
        await pool.end();
      },
    };
  },
};
