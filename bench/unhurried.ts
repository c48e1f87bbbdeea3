/**
 * Work of a benchmark that is not measured: what it prepares and looks up has no time limit, and goes on where Redis did not
 * answer in time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import mysql, { type Pool, type ResultSetHeader, type RowDataPacket } from 'mysql2/promise';
import type { Sql } from '#platform/mysql/mysql.ts';
import { serverOf } from '#platform/mysql/server.ts';
import { isOutage } from '#platform/resilience/outage.ts';

/** Statements without a time limit. */
export interface Unhurried extends Sql {
  close(): Promise<void>;
}

export function openUnhurried(url: string): Unhurried {
  const pool: Pool = mysql.createPool({ ...serverOf(url), connectionLimit: 2, supportBigNumbers: true, timezone: 'Z' });
  return {
    rows: async <R>(sql: string, values?: unknown[]) =>
      (await pool.query<RowDataPacket[]>(sql, values))[0] as unknown as R[],
    change: async (sql, values) => (await pool.query<ResultSetHeader>(sql, values))[0].affectedRows,
    close: () => pool.end(),
  };
}

const attempts = 100;

/** Repeats work that may be repeated until the server answers in time. */
export async function untilAnswered<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt === attempts || !isOutage(error)) throw error;
      await sleep(200);
    }
  }
}
