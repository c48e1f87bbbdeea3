/**
 * R1: the lock of R0 by redlock with its defaults, as its README shows it: ten attempts, 200 ms apart, no queue, no fence.
 */
import { Redis } from 'ioredis';
import Redlock from 'redlock';
import { acknowledged, type Contender } from '../contender.ts';
import { inTransaction, mirrorPlainly, openPool, readAvailable, takeUnits, writeRows } from './rows.ts';

const lockLifeMs = 5_000;

export const redlock: Contender = {
  name: 'r1-redlock',
  title: 'R1 redlock per request, its defaults',
  mirror: 'plain',
  stock: 'counters',
  batch: 1,
  lanes: [1, 2, 4, 8],
  async open({ mysqlUrl, redisUrl }) {
    const pool = openPool(mysqlUrl, 8);
    const redis = new Redis(redisUrl);
    // redlock 4 knows the callback style only, which ioredis still offers.
    const locks = new Redlock([redis as unknown as Redlock.CompatibleRedisClient]);
    return {
      async handle(requests) {
        const [request] = requests;
        if (!request) return acknowledged;
        let lock: Redlock.Lock;
        try {
          lock = await locks.lock(`bench:lock:${request.saleId}`, lockLifeMs);
        } catch {
          return requests;
        }
        const written = await inTransaction(pool, async (connection) => {
          const available = await readAvailable(connection, request, false);
          if (available < request.quantity) throw new Error('the sale has too little stock for this workload');
          if (!(await writeRows(connection, request, Date.now()))) return false;
          await takeUnits(connection, request);
          return true;
        });
        if (written) await mirrorPlainly(redis, request);
        await lock.unlock().catch(() => undefined);
        return acknowledged;
      },
      async close() {
        redis.disconnect();
        await pool.end();
      },
    };
  },
};
