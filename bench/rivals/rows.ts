/**
 * The durable rows that every rival writes, so that none wins by writing less: the reservation, its line in the ledger
 * and the event in the outbox. Each rival keeps stock in its own way.
 */
import type { Redis } from 'ioredis';
import type { ResultSetHeader, RowDataPacket } from 'mysql2';
import mysql, { type Pool, type PoolConnection } from 'mysql2/promise';
import { newId, toBytes } from '#platform/kernel/ids.ts';
import type { Request } from '../workload.ts';

export const insertReservations = `INSERT INTO reservations (id, sale_id, customer_id, nth, ticket, quantity, at_least,
  state, units, reason, version, accepted_at_ms, decided_at_ms) VALUES`;
export const insertLedger = 'INSERT INTO ledger (subject_id, kind, sale_id, units, at_ms) VALUES';
export const insertOutbox = 'INSERT INTO outbox (id, detail_type, detail, created_at_ms) VALUES';

/** The same three statements for one row. */
export const insertReservation = `${insertReservations} (?, ?, ?, 0, ?, ?, ?, 'allocated', ?, NULL, 1, ?, ?)`;
export const insertMovement = `${insertLedger} (?, 'ALLOCATE', ?, ?, ?)`;
export const insertEvent = `${insertOutbox} (?, 'reservations.changed', ?, ?)`;

type Value = Buffer | string | number | null;

/** The values of `insertReservation`. */
export function reservationValues(request: Request, nowMs: number): Value[] {
  const { quantity, ticket } = request;
  const ids = [toBytes(request.reservationId), toBytes(request.saleId), toBytes(request.customerId)];
  return [...ids, ticket, quantity, request.atLeast, quantity, Math.floor(ticket / 1000), nowMs];
}

/** The values of one row of `insertReservations`. */
export function reservationRow(request: Request, nowMs: number): Value[] {
  const { quantity, ticket } = request;
  const ids = [toBytes(request.reservationId), toBytes(request.saleId), toBytes(request.customerId)];
  const acceptedAtMs = Math.floor(ticket / 1000);
  return [...ids, 0, ticket, quantity, request.atLeast, 'allocated', quantity, null, 1, acceptedAtMs, nowMs];
}

/** The values of `insertMovement`. */
export function movementValues(request: Request, nowMs: number): Value[] {
  return [toBytes(request.reservationId), toBytes(request.saleId), request.quantity, nowMs];
}

/** The values of one row of `insertLedger`. */
export function movementRow(request: Request, nowMs: number): Value[] {
  return [toBytes(request.reservationId), 'ALLOCATE', toBytes(request.saleId), request.quantity, nowMs];
}

/** The values of `insertEvent`, for one change or many. */
export function eventValues(requests: readonly Request[], nowMs: number): Value[] {
  const eventId = newId(nowMs);
  const detail = {
    eventId,
    schemaVersion: 1,
    occurredAtMs: nowMs,
    changes: requests.map(({ reservationId, saleId, customerId, quantity, ticket }) => ({
      reservationId,
      saleId,
      customerId,
      from: 'requested',
      to: 'allocated',
      units: quantity,
      quantity,
      ticket,
      version: 1,
    })),
    stocks: [],
    released: false,
  };
  return [toBytes(eventId), JSON.stringify(detail), nowMs];
}

/** A pool as the rivals use it: READ COMMITTED, as everywhere. */
export function openPool(url: string, connections: number): Pool {
  const pool = mysql.createPool({ uri: url, connectionLimit: connections, supportBigNumbers: true });
  pool.pool.on('connection', (connection) => {
    connection.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED');
  });
  return pool;
}

/** Runs `work` in a transaction; what it throws undoes it. */
export async function inTransaction<T>(pool: Pool, work: (connection: PoolConnection) => Promise<T>): Promise<T> {
  const connection = await pool.getConnection();
  try {
    await connection.query('START TRANSACTION');
    const result = await work(connection);
    await connection.query('COMMIT');
    return result;
  } catch (error) {
    await connection.query('ROLLBACK');
    throw error;
  } finally {
    connection.release();
  }
}

/** Writes the three rows of a request. False, and nothing else, if the reservation is there already. */
export async function writeRows(connection: PoolConnection, request: Request, nowMs: number): Promise<boolean> {
  try {
    await connection.query(insertReservation, reservationValues(request, nowMs));
  } catch (error) {
    if (isDuplicate(error)) return false;
    throw error;
  }
  await connection.query(insertMovement, movementValues(request, nowMs));
  await connection.query(insertEvent, eventValues([request], nowMs));
  return true;
}

const takeStock = `UPDATE sales SET available = available - ?, allocated = allocated + ?, version = version + 1
  WHERE id = ? AND available >= ?`;

/** The conditional update of stock. Throws if there is not enough: the workloads never ask for more than there is. */
export async function takeUnits(connection: PoolConnection, request: Request): Promise<void> {
  const { quantity, saleId } = request;
  const [result] = await connection.query<ResultSetHeader>(takeStock, [quantity, quantity, toBytes(saleId), quantity]);
  if (result.affectedRows !== 1) throw new Error('the sale has too little stock for this workload');
}

/** The available units of a sale; `lock` holds the row. */
export async function readAvailable(connection: PoolConnection, request: Request, lock: boolean): Promise<number> {
  const [rows] = await connection.query<RowDataPacket[]>(
    `SELECT available FROM sales WHERE id = ?${lock ? ' FOR UPDATE' : ''}`,
    [toBytes(request.saleId)],
  );
  return Number(rows[0]?.available ?? 0);
}

export function isDuplicate(error: unknown): boolean {
  return (error as { errno?: number }).errno === 1062;
}

/** True if InnoDB gave up on a transaction and asks for it again. */
export function isConflict(error: unknown): boolean {
  const { errno } = error as { errno?: number };
  return errno === 1205 || errno === 1213;
}

/** Where the rivals keep stock and states in Redis. */
export const plainStockKey = (saleId: string) => `bench:stock:${saleId}`;
export const plainStatusKey = (saleId: string) => `bench:status:${saleId}`;

/** Copies an allocation into Redis, in one round trip. */
export async function mirrorPlainly(redis: Redis, request: Request): Promise<void> {
  await plainMirror(redis.pipeline(), request).exec();
}

/** The two commands of `mirrorPlainly`, for callers that have more to send with them. */
export function plainMirror(pipeline: ReturnType<Redis['pipeline']>, request: Request) {
  return pipeline
    .hincrby(plainStockKey(request.saleId), 'available', -request.quantity)
    .hset(plainStatusKey(request.saleId), request.reservationId, `allocated:${request.quantity}`);
}
