/** R3, the best of the per-request designs on one sale: the rows first, then the conditional update, then COMMIT. */
import { Redis } from 'ioredis';
import { acknowledged, type Contender } from '../contender.ts';
import { inTransaction, isConflict, mirrorPlainly, openPool, takeUnits, writeRows } from './rows.ts';

export const conditional: Contender = {
  name: 'r3-conditional',
  title: 'R3 INSERT + conditional UPDATE per request',
  mirror: 'plain',
  stock: 'counters',
  batch: 1,
  lanes: [1, 2, 4, 8],
  async open({ mysqlUrl, redisUrl }) {
    const pool = openPool(mysqlUrl, 8);
    const redis = new Redis(redisUrl);
    return {
      async handle(requests) {
        const [request] = requests;
        if (!request) return acknowledged;
        try {
          const written = await inTransaction(pool, async (connection) => {
            if (!(await writeRows(connection, request, Date.now()))) return false;
            await takeUnits(connection, request);
            return true;
          });
          if (written) await mirrorPlainly(redis, request);
        } catch (error) {
          if (isConflict(error)) return requests;
          throw error;
        }
        return acknowledged;
      },
      async close() {
        redis.disconnect();
        await pool.end();
      },
    };
  },
};
