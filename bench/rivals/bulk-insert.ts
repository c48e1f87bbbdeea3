/**
 * The yardstick of the database: the same rows (reservation, ledger, one event per batch), inserted in bulk and committed
 * durably, with nothing else: no read, no decision, no stock, no lock, no mirror. The statements are written out
 * beforehand, so this is what MariaDB itself can do.
 */
import type { SqlValue } from 'mysql2';
import mysql from 'mysql2/promise';
import { acknowledged, type Contender } from '../contender.ts';
import {
  eventValues,
  insertEvent,
  insertLedger,
  insertReservations,
  inTransaction,
  movementRow,
  openPool,
  reservationRow,
} from './rows.ts';

export const bulkInsert: Contender = {
  name: 'bulk-insert',
  title: 'Yardstick: bare bulk insert of the same rows',
  mirror: 'none',
  stock: 'untouched',
  skipsRepeats: true,
  batch: 500,
  batches: [500, 1_000, 2_000],
  lanes: [1],
  async open({ mysqlUrl }) {
    const pool = openPool(mysqlUrl, 4);
    return {
      deliver(requests) {
        const distinct = [
          ...new Map(
            requests.filter(({ repeated }) => !repeated).map((request) => [request.reservationId, request]),
          ).values(),
        ];
        const nowMs = Date.now();
        return [
          written(`${insertReservations} ?`, [distinct.map((request) => reservationRow(request, nowMs))]),
          written(`${insertLedger} ?`, [distinct.map((request) => movementRow(request, nowMs))]),
          written(insertEvent, eventValues(distinct, nowMs)),
        ];
      },
      async handle(_, delivery) {
        await inTransaction(pool, async (connection) => {
          for (const statement of delivery as string[]) await connection.query(statement);
        });
        return acknowledged;
      },
      close: () => pool.end(),
    };
  },
};

/** A statement as one piece of text: put together piece by piece, it would be joined only when it is sent. */
function written(sql: string, values: unknown[]): string {
  return Buffer.from(mysql.format(sql, values as SqlValue[])).toString();
}
