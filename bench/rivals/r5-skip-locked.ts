/**
 * R5, Shopify's way: one row for each unit, taken with SKIP LOCKED, so that no two requests wait for the same row. Stock
 * is the number of rows that are still free; there is no counter to update.
 */
import { Redis } from 'ioredis';
import type { RowDataPacket } from 'mysql2';
import { toBytes } from '#platform/kernel/ids.ts';
import { acknowledged, type Contender } from '../contender.ts';
import { inTransaction, isConflict, mirrorPlainly, openPool, writeRows } from './rows.ts';

export const skipLocked: Contender = {
  name: 'r5-skip-locked',
  title: 'R5 one row per unit, SKIP LOCKED',
  mirror: 'plain',
  stock: 'unit-rows',
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
            const [rows] = await connection.query<RowDataPacket[]>(
              'SELECT unit FROM bench_units WHERE sale_id = ? AND taken = 0 LIMIT ? FOR UPDATE SKIP LOCKED',
              [toBytes(request.saleId), request.quantity],
            );
            if (rows.length < request.quantity) throw new Error('the sale has too little stock for this workload');
            await connection.query(
              'UPDATE bench_units SET taken = 1, reservation_id = ? WHERE sale_id = ? AND taken = 0 AND unit IN (?)',
              [toBytes(request.reservationId), toBytes(request.saleId), rows.map(({ unit }) => unit)],
            );
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
