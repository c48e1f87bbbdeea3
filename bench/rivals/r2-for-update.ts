/** R2: no lock but the row's own: SELECT … FOR UPDATE, then the rows, then the stock. */
import { Redis } from 'ioredis';
import { acknowledged, type Contender } from '../contender.ts';
import { inTransaction, isConflict, mirrorPlainly, openPool, readAvailable, takeUnits, writeRows } from './rows.ts';

export const forUpdate: Contender = {
  name: 'r2-for-update',
  title: 'R2 SELECT … FOR UPDATE per request',
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
            const available = await readAvailable(connection, request, true);
            if (available < request.quantity) throw new Error('the sale has too little stock for this workload');
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
