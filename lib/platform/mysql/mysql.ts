/**
 * MySQL: the pool, the transaction, and what its errors mean.
 *
 * Correctness lives here, so three rules hold everywhere. Isolation is READ COMMITTED and every write repeats its guard
 * in a WHERE. A statement never waits without a limit. When the result of a COMMIT is unknown the connection is
 * destroyed and the caller learns that it failed; redelivery then finds out from the rows themselves.
 */
import { drizzle, type MySql2Database } from 'drizzle-orm/mysql2';
import { format, type SqlValue } from 'mysql2';
import mysql, { type Pool, type PoolConnection, type ResultSetHeader, type RowDataPacket } from 'mysql2/promise';
import { Fault } from '#platform/kernel/errors.ts';
import {
  mysqlConnectTimeoutMs,
  poolWaitTimeoutMs,
  rowLockWaitSeconds,
  statementTimeoutMs,
} from '#platform/kernel/time-limits.ts';
import { BreakerOpen, type Breakers, openBreakers } from '#platform/resilience/circuit-breaker.ts';
import { sqlText } from './sql-text.ts';

/** What the nouns need of a connection, inside a transaction or outside. Values are always bound, never spliced. */
export interface Sql {
  /** Rows of a SELECT. Throws a mysql2 error, or a time-out after `statementTimeoutMs`. */
  rows<R>(sql: string, values?: unknown[]): Promise<R[]>;
  /** Runs a statement that changes rows; returns how many it changed. */
  change(sql: string, values?: unknown[]): Promise<number>;
  /** The same connection through Drizzle, for everything that is not on the hot path. */
  orm: MySql2Database;
}

/** An open transaction. A type of its own, so that a verb that needs one cannot be called without. */
export interface Tx extends Sql {
  readonly inTransaction: true;
}

export interface Db extends Sql {
  /** Runs `work` in one transaction and commits. A deadlock or lock wait is retried a few times with jitter. */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/**
 * Server errors after which the same transaction may simply be tried again, and why.
 * Numbers from the MySQL 8.4 and MariaDB 10.11 error references.
 */
const retryableErrors: ReadonlyMap<number, string> = new Map([
  [1205, 'ER_LOCK_WAIT_TIMEOUT: another transaction held the row for too long'],
  [1213, 'ER_LOCK_DEADLOCK: chosen as the victim of a deadlock'],
  [1020, 'ER_CHECKREAD: MariaDB saw the row change since the snapshot'],
]);

const transactionAttempts = 4;
const retryBaseMs = 15;

/** True if the server itself rolled the transaction back and asks for it to be repeated. */
export function isRetryable(error: unknown): boolean {
  return retryableErrors.has(errorNumber(error));
}

/** Server errors that lie in the values of a statement, so that repeating it is hopeless. */
const dataErrors: ReadonlyMap<number, string> = new Map([
  [1048, 'ER_BAD_NULL_ERROR'],
  [1264, 'ER_WARN_DATA_OUT_OF_RANGE'],
  [1265, 'WARN_DATA_TRUNCATED'],
  [1366, 'ER_TRUNCATED_WRONG_VALUE_FOR_FIELD'],
  [1406, 'ER_DATA_TOO_LONG'],
  [3140, 'ER_INVALID_JSON_TEXT'],
  [3819, 'ER_CHECK_CONSTRAINT_VIOLATED'],
  [4025, 'ER_CONSTRAINT_FAILED: the same in MariaDB'],
]);

/** True if the values themselves were refused: the statement would fail the same way however often it is sent. */
export function isDataError(error: unknown): boolean {
  return dataErrors.has(errorNumber(error));
}

/** True if a row with this key is there already; with `key`, only if it is the key of this name that says so. */
export function isDuplicateKey(error: unknown, key?: string): boolean {
  // MySQL writes the table in front of the key's name, MariaDB does not.
  return errorNumber(error) === 1062 && (key === undefined || String((error as Error).message).endsWith(`${key}'`));
}

function errorNumber(error: unknown): number {
  const own = (error as { errno?: unknown } | null)?.errno;
  if (typeof own === 'number') return own;
  const cause = (error as { cause?: unknown } | null)?.cause;
  return cause === undefined ? 0 : errorNumber(cause);
}

/**
 * True if an error says that something Holdfast depends on is away or too busy, and nothing about the work that was tried:
 * the same work may well succeed later.
 */
export function isOutage(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const own = error instanceof BreakerOpen || error instanceof Fault || isConnectionLoss(error) || isRetryable(error);
  return own || isOutage(error.cause);
}

/** Opens a pool. Connections are made when first needed. */
export function openDb(url: string, options: { connections?: number; breakers?: Breakers } = {}): Db {
  const pool = mysql.createPool({
    uri: url,
    connectionLimit: options.connections ?? 10,
    connectTimeout: mysqlConnectTimeoutMs,
    maxIdle: options.connections ?? 10,
    enableKeepAlive: true,
    supportBigNumbers: true,
    timezone: 'Z',
    // The driver would note the stack before every statement, at the cost of deciding dozens of reservations a batch.
    trace: false,
    // The driver would look for placeholders in text that has none left, at half the cost of a batch.
    queryFormat: (sql: string, values: unknown) => (hasValues(values) ? format(sql, values) : sql),
  });
  // Queued on the connection before anything else, so that no statement runs under other settings.
  pool.pool.on('connection', (connection) => {
    connection.query(`SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED`);
    connection.query(`SET SESSION innodb_lock_wait_timeout = ${rowLockWaitSeconds}`);
  });
  const guard = (options.breakers ?? openBreakers()).get('mysql', { isRefusal: (error) => !isConnectionLoss(error) });

  return {
    rows: (sql, values) =>
      guard.run(() => withConnection(pool, (connection) => statements(connection).rows(sql, values))),
    change: (sql, values) =>
      guard.run(() => withConnection(pool, (connection) => statements(connection).change(sql, values))),
    orm: drizzle({ client: pool }),
    close: () => pool.end(),
    async transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
      for (let attempt = 1; ; attempt++) {
        try {
          return await guard.run(() => attemptTransaction(pool, work));
        } catch (error) {
          if (!isRetryable(error) || attempt === transactionAttempts) throw error;
          await new Promise((resolve) => setTimeout(resolve, retryBaseMs * attempt * (0.5 + Math.random())));
        }
      }
    },
  };
}

/** True if the server could not be reached or did not answer, as opposed to having answered with a no. */
function isConnectionLoss(error: unknown): boolean {
  if (error instanceof Fault) return error.code === 'store_unavailable';
  const code = String((error as { code?: unknown } | null)?.code ?? '');
  return /^(ECONN|ETIMEDOUT|EPIPE|EHOSTUNREACH|ENOTFOUND|PROTOCOL_)/.test(code) || serverIsAway.has(errorNumber(error));
}

/** Errors by which the server says that it takes no work at present: too many connections, shutting down, disk full. */
const serverIsAway: ReadonlySet<number> = new Set([1021, 1040, 1053, 1077, 1114, 1203, 3]);

function hasValues(values: unknown): values is SqlValue[] {
  return Array.isArray(values) && values.length > 0;
}

/** Runs one statement outside a transaction. A connection whose statement did not end is never given back. */
async function withConnection<T>(pool: Pool, run: (connection: PoolConnection) => Promise<T>): Promise<T> {
  const connection = await acquire(pool);
  try {
    const result = await run(connection);
    connection.release();
    return result;
  } catch (error) {
    if (isConnectionLoss(error)) connection.destroy();
    else connection.release();
    throw error;
  }
}

async function attemptTransaction<T>(pool: Pool, work: (tx: Tx) => Promise<T>): Promise<T> {
  const connection = await acquire(pool);
  let reusable = false;
  try {
    await connection.query({ sql: 'START TRANSACTION', timeout: statementTimeoutMs });
    const tx: Tx = { ...statements(connection), orm: drizzle({ client: connection }), inTransaction: true };
    let result: T;
    try {
      result = await work(tx);
    } catch (error) {
      await connection.query({ sql: 'ROLLBACK', timeout: statementTimeoutMs });
      reusable = true;
      throw error;
    }
    await connection.query({ sql: 'COMMIT', timeout: statementTimeoutMs });
    reusable = true;
    return result;
  } finally {
    // A connection in an unknown state is never given back: a late COMMIT or a half-read answer must not meet the next caller.
    if (reusable) connection.release();
    else connection.destroy();
  }
}

/** A connection of the pool, or a fault after `poolWaitTimeoutMs`; one that arrives late goes back unused. */
async function acquire(pool: Pool): Promise<PoolConnection> {
  const pending = pool.getConnection();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      pending.then((connection) => connection.release()).catch(() => undefined);
      reject(new Fault('store_unavailable', 'no database connection became free in time'));
    }, poolWaitTimeoutMs);
  });
  try {
    return await Promise.race([pending, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Values are let go as soon as they are written out. What an async function was given lives until it ends, and a batch has
 * thousands of values, which the garbage collector would carry about while the server works.
 */
function statements(connection: PoolConnection): Pick<Sql, 'rows' | 'change'> {
  const query = async <Result extends RowDataPacket[] | ResultSetHeader>(sql: string): Promise<Result> => {
    try {
      const [result] = await connection.query<Result>({ sql, timeout: statementTimeoutMs });
      return result;
    } catch (error) {
      // Here the stack leads to who waits for the statement, instead of to the socket that brought the answer.
      if (error instanceof Error) Error.captureStackTrace(error);
      throw error;
    }
  };
  return {
    rows: <R>(sql: string, values?: unknown[]) => query<RowDataPacket[]>(sqlText(sql, values)) as Promise<R[]>,
    change: (sql, values) => query<ResultSetHeader>(sqlText(sql, values)).then(({ affectedRows }) => affectedRows),
  };
}
