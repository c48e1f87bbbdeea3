/**
 * R7: group commit inside one process, with no queue and no Redis. Callers wait while requests are gathered;
 * then one locking read, one multi-row insert for each table, one CASE update, COMMIT, and all are answered.
 *
 * It remembers the ids it has written, so that a repeated request costs it nothing; the primary key is what it trusts,
 * and a group that meets one is sorted out by a read. A process that is killed forgets who was waiting.
 */
import type { RowDataPacket } from 'mysql2';
import { toBytes } from '#platform/kernel/ids.ts';
import { acknowledged, type Contender } from '../contender.ts';
import type { Request } from '../workload.ts';
import {
  eventValues,
  insertEvent,
  insertLedger,
  insertReservations,
  inTransaction,
  isDuplicate,
  movementRow,
  openPool,
  reservationRow,
} from './rows.ts';

interface Waiting {
  readonly request: Request;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export const groupCommit: Contender = {
  name: 'r7-group-commit',
  title: 'R7 group commit inside one process, no queue, no Redis',
  mirror: 'none',
  stock: 'counters',
  batch: 500,
  batches: [500, 1_000, 2_000, 4_000],
  gathers: true,
  // Callers that wait at once: what fills the groups.
  lanes: [1_000, 2_000, 4_000, 8_000],
  oneProcess: true,
  async open({ mysqlUrl }) {
    const pool = openPool(mysqlUrl, 4);
    let written = new Set<string>();
    let waiting: Waiting[] = [];
    let committing = false;
    let mostInGroup = 0;

    async function commitGroups(): Promise<void> {
      committing = true;
      while (waiting.length > 0) {
        const group = waiting.slice(0, mostInGroup);
        waiting = waiting.slice(mostInGroup);
        try {
          await commit(group.map(({ request }) => request));
          for (const { resolve } of group) resolve();
        } catch (error) {
          for (const { reject } of group) reject(error);
        }
      }
      committing = false;
    }

    async function commit(group: Request[]): Promise<void> {
      const fresh = [...new Map(group.map((request) => [request.reservationId, request])).values()].filter(
        ({ reservationId }) => !written.has(reservationId),
      );
      if (fresh.length === 0) return;
      try {
        await write(fresh);
      } catch (error) {
        if (!isDuplicate(error)) throw error;
        const known = await writtenBefore(fresh);
        const unknown = fresh.filter(({ reservationId }) => !known.has(toBytes(reservationId).toString('hex')));
        if (unknown.length > 0) await write(unknown);
      }
      for (const { reservationId } of fresh) written.add(reservationId);
    }

    async function write(group: Request[]): Promise<void> {
      const wanted = new Map<string, number>();
      for (const { saleId, quantity } of group) wanted.set(saleId, (wanted.get(saleId) ?? 0) + quantity);
      const saleIds = [...wanted.keys()].sort().map(toBytes);
      await inTransaction(pool, async (connection) => {
        const [sales] = await connection.query<RowDataPacket[]>(
          'SELECT id, available FROM sales WHERE id IN (?) ORDER BY id FOR UPDATE',
          [saleIds],
        );
        if (sales.length !== wanted.size) throw new Error('a sale of this workload is missing');
        const available = new Map(
          sales.map(({ id, available }) => [(id as Buffer).toString('hex'), Number(available)]),
        );
        for (const [saleId, units] of wanted) {
          if ((available.get(saleId.replaceAll('-', '')) ?? 0) < units)
            throw new Error('the sale has too little stock for this workload');
        }
        const nowMs = Date.now();
        await connection.query(`${insertReservations} ?`, [group.map((request) => reservationRow(request, nowMs))]);
        await connection.query(`${insertLedger} ?`, [group.map((request) => movementRow(request, nowMs))]);
        await connection.query(insertEvent, eventValues(group, nowMs));
        const cases = [...wanted].flatMap(([saleId, units]) => [toBytes(saleId), units]);
        const units = `CASE id ${'WHEN ? THEN ? '.repeat(wanted.size)}END`;
        await connection.query(
          `UPDATE sales SET available = available - ${units}, allocated = allocated + ${units}, version = version + 1
           WHERE id IN (?)`,
          [...cases, ...cases, saleIds],
        );
      });
    }

    async function writtenBefore(group: Request[]): Promise<Set<string>> {
      const [rows] = await pool.query<RowDataPacket[]>('SELECT id FROM reservations WHERE id IN (?)', [
        group.map(({ reservationId }) => toBytes(reservationId)),
      ]);
      return new Set(rows.map(({ id }) => (id as Buffer).toString('hex')));
    }

    return {
      async reset(_, batch) {
        written = new Set();
        mostInGroup = batch;
      },
      async handle(requests) {
        const [request] = requests;
        if (!request) return acknowledged;
        await new Promise<void>((resolve, reject) => {
          waiting.push({ request, resolve, reject });
          // Callers of this turn of the event loop are part of the next group.
          if (!committing) {
            committing = true;
            setImmediate(() => void commitGroups());
          }
        });
        return acknowledged;
      },
      close: () => pool.end(),
    };
  },
};
