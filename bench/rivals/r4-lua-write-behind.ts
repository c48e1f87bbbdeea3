/**
 * R4: a Lua script takes the units from Redis and the customer is told at once; rows are written behind, in batches. It
 * acknowledges before anything is durable, so a crash loses what was acknowledged: it is fast because it promises less.
 */
import { Redis } from 'ioredis';
import { toBytes } from '#platform/kernel/ids.ts';
import { acknowledged, type Contender } from '../contender.ts';
import type { Request } from '../workload.ts';
import {
  eventValues,
  insertEvent,
  insertLedger,
  insertReservations,
  inTransaction,
  movementRow,
  openPool,
  plainStatusKey,
  plainStockKey,
  reservationRow,
} from './rows.ts';

/** How many rows one write-behind transaction takes. */
const rowsPerWrite = 100;
/** How far the writer may fall behind before a worker waits for it: memory is not free. */
const mostBehind = 2_000;

const takeScript = `
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return 0 end
if tonumber(redis.call('HGET', KEYS[1], 'available')) < tonumber(ARGV[2]) then return -1 end
redis.call('HINCRBY', KEYS[1], 'available', -ARGV[2])
redis.call('HSET', KEYS[2], ARGV[1], 'allocated:' .. ARGV[2])
return 1`;

export const luaWriteBehind: Contender = {
  name: 'r4-lua-write-behind',
  title: 'R4 Lua pre-deduct, write behind (acknowledges before durability)',
  mirror: 'plain',
  stock: 'counters',
  batch: 1,
  lanes: [8, 32, 64],
  oneProcess: true,
  async open({ mysqlUrl, redisUrl }) {
    const pool = openPool(mysqlUrl, 4);
    const redis = new Redis(redisUrl, { scripts: { take: { lua: takeScript, numberOfKeys: 2 } } });
    // Defined above; ioredis cannot know it in its types.
    const scripts = redis as unknown as {
      take(stock: string, status: string, id: string, quantity: number): Promise<number>;
    };
    let behind: Request[] = [];
    let writing: Promise<void> | undefined;

    const write = async (): Promise<void> => {
      while (behind.length > 0) {
        const rows = behind.slice(0, rowsPerWrite);
        behind = behind.slice(rowsPerWrite);
        await inTransaction(pool, async (connection) => {
          const nowMs = Date.now();
          await connection.query(`${insertReservations} ?`, [rows.map((row) => reservationRow(row, nowMs))]);
          await connection.query(`${insertLedger} ?`, [rows.map((row) => movementRow(row, nowMs))]);
          await connection.query(insertEvent, eventValues(rows, nowMs));
          for (const [saleId, units] of unitsBySale(rows)) {
            await connection.query(
              'UPDATE sales SET available = available - ?, allocated = allocated + ?, version = version + 1 WHERE id = ?',
              [units, units, toBytes(saleId)],
            );
          }
        });
      }
    };
    const wake = (): Promise<void> => {
      writing ??= write().finally(() => {
        writing = undefined;
      });
      return writing;
    };

    return {
      async handle(requests) {
        const [request] = requests;
        if (!request) return acknowledged;
        const { saleId, reservationId, quantity } = request;
        const taken = await scripts.take(plainStockKey(saleId), plainStatusKey(saleId), reservationId, quantity);
        if (taken < 0) throw new Error('the sale has too little stock for this workload');
        if (taken === 1) behind.push(request);
        if (behind.length >= mostBehind) await wake();
        else if (behind.length >= rowsPerWrite) void wake();
        return acknowledged;
      },
      settle: wake,
      async close() {
        redis.disconnect();
        await pool.end();
      },
    };
  },
};

function unitsBySale(rows: readonly Request[]): [string, number][] {
  const units = new Map<string, number>();
  for (const { saleId, quantity } of rows) units.set(saleId, (units.get(saleId) ?? 0) + quantity);
  return [...units].sort(([a], [b]) => (a < b ? -1 : 1));
}
