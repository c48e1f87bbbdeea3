/**
 * The one place that decides whether an error is an outage, for HTTP and for queues: a dependency is unavailable, full,
 * busy or read-only, and the same work may well succeed later.
 *
 * An HTTP request that fails this way is answered 503 with a Retry-After. A batch of messages that fails this way is
 * delivered again as it is: it is neither split nor dead-lettered, since its messages are not at fault.
 */
import { Fault } from '#platform/kernel/errors.ts';
import { BreakerOpen } from './circuit-breaker.ts';

/**
 * What a MySQL error says about the server.
 * - `unavailable`: it accepts no work at present, or this connection is lost. The connection is replaced.
 * - `read-only`: it answers but accepts no writes. It may no longer be the primary, so the connection is replaced.
 * - `contended`: another transaction was in the way; the same one may be retried at once, on the same connection.
 */
export type MysqlOutage = 'unavailable' | 'read-only' | 'contended';

interface Meaning {
  readonly name: string;
  readonly kind: MysqlOutage;
  readonly meaning: string;
}

/** By error number, from the error references of MySQL 8.4 and MariaDB 10.11. */
export const mysqlOutages: ReadonlyMap<number, Meaning> = new Map([
  [3, { name: 'EE_WRITE', kind: 'unavailable', meaning: 'a file could not be written, as on a full disk' }],
  [1021, { name: 'ER_DISK_FULL', kind: 'unavailable', meaning: 'the disk is full' }],
  [1026, { name: 'ER_ERROR_ON_WRITE', kind: 'unavailable', meaning: 'a file could not be written' }],
  [1037, { name: 'ER_OUTOFMEMORY', kind: 'unavailable', meaning: 'the server is out of memory' }],
  [1041, { name: 'ER_OUT_OF_RESOURCES', kind: 'unavailable', meaning: 'the server is out of memory' }],
  [1114, { name: 'ER_RECORD_FILE_FULL', kind: 'unavailable', meaning: 'a table, or the disk below it, is full' }],
  [1040, { name: 'ER_CON_COUNT_ERROR', kind: 'unavailable', meaning: 'the server has too many connections' }],
  [1129, { name: 'ER_HOST_IS_BLOCKED', kind: 'unavailable', meaning: 'too many connections from here have failed' }],
  [1135, { name: 'ER_CANT_CREATE_THREAD', kind: 'unavailable', meaning: 'the server cannot serve another connection' }],
  [
    1203,
    { name: 'ER_TOO_MANY_USER_CONNECTIONS', kind: 'unavailable', meaning: 'the account has too many connections' },
  ],
  [1226, { name: 'ER_USER_LIMIT_REACHED', kind: 'unavailable', meaning: 'the account has used up a limit' }],
  [1045, { name: 'ER_ACCESS_DENIED_ERROR', kind: 'unavailable', meaning: 'the password is wrong, or was changed' }],
  [1053, { name: 'ER_SERVER_SHUTDOWN', kind: 'unavailable', meaning: 'the server shuts down' }],
  [1077, { name: 'ER_NORMAL_SHUTDOWN', kind: 'unavailable', meaning: 'the server shuts down' }],
  [1079, { name: 'ER_SHUTDOWN_COMPLETE', kind: 'unavailable', meaning: 'the server has shut down' }],
  [1158, { name: 'ER_NET_READ_ERROR', kind: 'unavailable', meaning: 'the connection broke while it was read' }],
  [
    1159,
    { name: 'ER_NET_READ_INTERRUPTED', kind: 'unavailable', meaning: 'reading from the connection took too long' },
  ],
  [1160, { name: 'ER_NET_ERROR_ON_WRITE', kind: 'unavailable', meaning: 'the connection broke while it was written' }],
  [1161, { name: 'ER_NET_WRITE_INTERRUPTED', kind: 'unavailable', meaning: 'writing to the connection took too long' }],
  [1206, { name: 'ER_LOCK_TABLE_FULL', kind: 'unavailable', meaning: 'the server has no memory for more locks' }],
  [1317, { name: 'ER_QUERY_INTERRUPTED', kind: 'unavailable', meaning: 'the statement was killed, as at a shutdown' }],
  [1969, { name: 'ER_STATEMENT_TIMEOUT', kind: 'unavailable', meaning: "the server's time limit is over (MariaDB)" }],
  [3024, { name: 'ER_QUERY_TIMEOUT', kind: 'unavailable', meaning: "the server's time limit is over (MySQL)" }],
  [3169, { name: 'ER_SESSION_WAS_KILLED', kind: 'unavailable', meaning: 'the session was killed (MySQL)' }],
  [1927, { name: 'ER_CONNECTION_KILLED', kind: 'unavailable', meaning: 'the connection was killed (MariaDB)' }],
  [
    4031,
    { name: 'ER_CLIENT_INTERACTION_TIMEOUT', kind: 'unavailable', meaning: 'the connection was idle too long (MySQL)' },
  ],
  [1290, { name: 'ER_OPTION_PREVENTS_STATEMENT', kind: 'read-only', meaning: 'the server runs with --read-only' }],
  [1792, { name: 'ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION', kind: 'read-only', meaning: 'transactions only read' }],
  [1836, { name: 'ER_READ_ONLY_MODE', kind: 'read-only', meaning: 'the server is in read-only mode' }],
  [1874, { name: 'ER_INNODB_READ_ONLY', kind: 'read-only', meaning: 'InnoDB is in read-only mode' }],
  [1020, { name: 'ER_CHECKREAD', kind: 'contended', meaning: 'the row has changed since the snapshot (MariaDB)' }],
  [1205, { name: 'ER_LOCK_WAIT_TIMEOUT', kind: 'contended', meaning: 'another transaction held the row for too long' }],
  [1213, { name: 'ER_LOCK_DEADLOCK', kind: 'contended', meaning: 'chosen as the victim of a deadlock' }],
]);

/** Codes of the network, from Node, and of a connection, from mysql2. */
const connectionCodes: ReadonlySet<string> = new Set([
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPIPE',
  'ETIMEDOUT',
  'HANDSHAKE_SSL_ERROR',
  'PROTOCOL_CONNECTION_LOST',
  // The statement got no answer within its own time limit.
  'PROTOCOL_SEQUENCE_TIMEOUT',
]);

/** The first words of Redis' error replies: https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors */
export const redisOutages: ReadonlyMap<string, string> = new Map([
  ['BUSY', 'a script has been running for too long'],
  ['CLUSTERDOWN', 'a part of the cluster is unavailable'],
  ['LOADING', 'the server reads its data from the disk'],
  ['MASTERDOWN', 'a replica has lost its primary'],
  ['MISCONF', 'the disk is full or fails, so nothing may be written'],
  ['NOREPLICAS', 'too few replicas follow'],
  ['OOM', 'the memory is full'],
  ['READONLY', 'the server is a replica, such as a demoted primary'],
  ['TRYAGAIN', 'keys are being moved between parts of the cluster'],
]);

/** ioredis's messages for a command that got no answer; these errors have no code. */
const redisSilence =
  /^(Command timed out|Command aborted due to connection close|Connection is closed|Stream isn't writ|Reached the max retries)/;

/** The names of what ends a call, or a whole invocation, that ran out of time: from Node and Middy, and from the AWS SDK. */
const timeoutNames: ReadonlySet<unknown> = new Set(['TimeoutError', 'AbortError']);

/** True if the error means that a dependency is unavailable or too busy, for any kind of work. Checks causes too. */
export function isOutage(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  return (
    error instanceof BreakerOpen ||
    error instanceof Fault ||
    isConnectionLoss(error) ||
    timeoutNames.has((error as { name?: unknown }).name) ||
    mysqlOutages.has(mysqlErrorNumber(error)) ||
    isRedisOutage(error) ||
    isOutage((error as { cause?: unknown }).cause)
  );
}

/** True if a server could not be reached, did not answer, or accepts no work, as opposed to having refused the work. */
export function isConnectionLoss(error: unknown): boolean {
  if (error instanceof Fault) return error.code === 'store_unavailable';
  const { code, fatal } = (error ?? {}) as { code?: unknown; fatal?: unknown };
  // The driver marks an error as fatal if its connection is no longer usable.
  return fatal === true || connectionCodes.has(String(code)) || mysqlOutage(error) === 'unavailable';
}

/** What a MySQL error says about the server; undefined if it is about the statement. */
export function mysqlOutage(error: unknown): MysqlOutage | undefined {
  return mysqlOutages.get(mysqlErrorNumber(error))?.kind;
}

/** The number of a MySQL error, or of the error that caused it; 0 if there is none. */
export function mysqlErrorNumber(error: unknown): number {
  const { errno, cause } = (error ?? {}) as { errno?: unknown; cause?: unknown };
  if (typeof errno === 'number') return errno;
  return cause === undefined ? 0 : mysqlErrorNumber(cause);
}

function isRedisOutage(error: object): boolean {
  const { name, message } = error as { name?: unknown; message?: unknown };
  const text = String(message ?? '');
  return name === 'ReplyError' ? redisOutages.has(text.split(' ', 1)[0] ?? '') : redisSilence.test(text);
}
