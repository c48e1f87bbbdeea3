/**
 * MySQL: the pool, the session, the transaction, and what its errors mean.
 *
 * MySQL is the truth, so four rules hold everywhere. Values reach the server through the driver only, on sessions with
 * fixed settings (`session.ts`). Isolation is READ COMMITTED and every write repeats its guard in a WHERE. No statement
 * waits without a time limit. When the result of a COMMIT is unknown the connection is destroyed and the caller gets an
 * error; the redelivery then determines the result from the rows.
 */
import mysql, { type Pool, type PoolConnection, type ResultSetHeader, type RowDataPacket } from 'mysql2/promise';
import { Fault } from '#platform/kernel/errors.ts';
import { mysqlConnectTimeoutMs, poolWaitTimeoutMs, statementTimeoutMs } from '#platform/kernel/time-limits.ts';
import { type Breakers, openBreakers } from '#platform/resilience/circuit-breaker.ts';
import { isConnectionLoss, mysqlErrorNumber, mysqlOutage } from '#platform/resilience/outage.ts';
import { type Authorities, serverOf } from './server.ts';
import { prepareSession } from './session.ts';

/** A connection, inside a transaction or outside. Values are always bound, never spliced into the text. */
export interface Sql {
  /** Rows of a SELECT. Throws a mysql2 error, or a timeout after `statementTimeoutMs`. */
  rows<R>(sql: string, values?: unknown[]): Promise<R[]>;
  /** Runs a statement that changes rows; returns how many it changed. */
  change(sql: string, values?: unknown[]): Promise<number>;
}

/** An open transaction. A type of its own, so that a function that needs one cannot be called without. */
export interface Tx extends Sql {
  readonly inTransaction: true;
}

export interface Db extends Sql {
  /** Runs `work` in one transaction and commits. A deadlock or lock wait is retried a few times with jitter. */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /**
   * Runs reads that all see one snapshot of the database; they lock nothing. Each statement has its own time limit. The
   * server keeps old versions of rows until the snapshot ends, so it should take seconds.
   */
  snapshot<T>(read: (sql: Pick<Sql, 'rows'>) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

const transactionAttempts = 4;
const retryBaseMs = 15;

/** True if the server itself rolled the transaction back and asks for it to be repeated. */
export function isRetryable(error: unknown): boolean {
  return mysqlOutage(error) === 'contended';
}

/** Server errors caused by the values of a statement, so that repeating it is pointless. */
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

/** True if the values themselves were refused: the statement would fail the same way again. */
export function isDataError(error: unknown): boolean {
  return dataErrors.has(mysqlErrorNumber(error));
}

/** True for a duplicate key error; with `key`, only if it concerns the key of this name. */
export function isDuplicateKey(error: unknown, key?: string): boolean {
  // MySQL writes the table in front of the key's name, MariaDB does not.
  return (
    mysqlErrorNumber(error) === 1062 && (key === undefined || String((error as Error).message).endsWith(`${key}'`))
  );
}

/** Opens a pool. Connections are made when first needed. */
export function openDb(
  url: string,
  options: { connections?: number; breakers?: Breakers; random?: () => number; authorities?: Authorities } = {},
): Db {
  const pool = mysql.createPool({
    ...serverOf(url, options.authorities),
    connectionLimit: options.connections ?? 10,
    connectTimeout: mysqlConnectTimeoutMs,
    maxIdle: options.connections ?? 10,
    enableKeepAlive: true,
    supportBigNumbers: true,
    timezone: 'Z',
  });
  const acquire = acquireFrom(pool);
  const guard = (options.breakers ?? openBreakers()).get('mysql', { isRefusal: (error) => !isConnectionLoss(error) });

  const random = options.random ?? Math.random;

  return {
    rows: (sql, values) =>
      guard.run(() => withConnection(acquire, (connection) => statements(connection).rows(sql, values))),
    change: (sql, values) =>
      guard.run(() => withConnection(acquire, (connection) => statements(connection).change(sql, values))),
    close: () => pool.end(),
    snapshot: (read) => guard.run(() => attempt(acquire, beginSnapshot, read)),
    async transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
      for (let count = 1; ; count++) {
        try {
          return await guard.run(() => attempt(acquire, begin, (sql) => work({ ...sql, inTransaction: true })));
        } catch (error) {
          if (!isRetryable(error) || count === transactionAttempts) throw error;
          await new Promise((resolve) => setTimeout(resolve, retryBaseMs * count * (0.5 + random())));
        }
      }
    },
  };
}

type Acquire = () => Promise<PoolConnection>;

/** Runs one statement outside a transaction. A connection whose statement did not finish is never returned to the pool. */
async function withConnection<T>(acquire: Acquire, run: (connection: PoolConnection) => Promise<T>): Promise<T> {
  const connection = await acquire();
  try {
    const result = await run(connection);
    connection.release();
    return result;
  } catch (error) {
    if (isSpent(error)) connection.destroy();
    else connection.release();
    throw error;
  }
}

/** Begins a transaction. */
export async function begin(connection: PoolConnection): Promise<void> {
  await connection.query({ sql: 'START TRANSACTION', timeout: statementTimeoutMs });
}

/** Begins a transaction that only reads, and sees what was committed at this moment until it ends. */
async function beginSnapshot(connection: PoolConnection): Promise<void> {
  // For the next transaction only.
  await connection.query({ sql: 'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ', timeout: statementTimeoutMs });
  await connection.query({ sql: 'START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY', timeout: statementTimeoutMs });
}

/** Commits. If it throws, the transaction may have been committed or not. */
export async function commit(connection: PoolConnection): Promise<void> {
  await connection.query({ sql: 'COMMIT', timeout: statementTimeoutMs });
}

async function attempt<T>(acquire: Acquire, start: typeof begin, work: (sql: Sql) => Promise<T>): Promise<T> {
  const connection = await acquire();
  let reusable = false;
  try {
    await start(connection);
    let result: T;
    try {
      result = await work(statements(connection));
    } catch (error) {
      // A spent connection is closed, which rolls back as well. A ROLLBACK would wait, without a time limit of its own, until
      // the statement before it has ended.
      if (!isSpent(error)) {
        await connection.query({ sql: 'ROLLBACK', timeout: statementTimeoutMs });
        reusable = true;
      }
      throw error;
    }
    await commit(connection);
    reusable = true;
    return result;
  } finally {
    // A connection in an unknown state is never reused: a late COMMIT or a half-read answer must not reach the next caller.
    if (reusable) connection.release();
    else connection.destroy();
  }
}

/** True if the connection is unusable after this error, or leads to a server that is no longer the primary. */
function isSpent(error: unknown): boolean {
  return isConnectionLoss(error) || mysqlOutage(error) === 'read-only';
}

/**
 * Acquires connections of a pool with their session prepared, so that no statement runs under other settings. A
 * connection that cannot be prepared is destroyed.
 */
function acquireFrom(pool: Pool): Acquire {
  const prepared = new WeakSet<PoolConnection['connection']>();
  return async () => {
    const connection = await waitForConnection(pool);
    if (prepared.has(connection.connection)) return connection;
    try {
      await prepareSession(connection);
    } catch (error) {
      connection.destroy();
      throw error;
    }
    prepared.add(connection.connection);
    return connection;
  };
}

/**
 * A connection of the pool, or a fault after `poolWaitTimeoutMs`, for which the driver has no option; a connection that
 * arrives later is returned to the pool unused.
 */
async function waitForConnection(pool: Pool): Promise<PoolConnection> {
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

function statements(connection: PoolConnection): Sql {
  const query = async <Result extends RowDataPacket[] | ResultSetHeader>(sql: string, values: unknown[] = []) => {
    const [result] = await connection.query<Result>({ sql, values, timeout: statementTimeoutMs });
    return result;
  };
  return {
    rows: <R>(sql: string, values?: unknown[]) =>
      query<RowDataPacket[]>(sql, values) as Promise<unknown> as Promise<R[]>,
    change: async (sql, values) => (await query<ResultSetHeader>(sql, values)).affectedRows,
  };
}
