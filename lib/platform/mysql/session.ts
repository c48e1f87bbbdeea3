/**
 * The settings of a session, independent of the server's defaults.
 *
 * The driver writes values into statements, and its escaping is correct only under some settings: with
 * NO_BACKSLASH_ESCAPES an escaped quote ends the string. So no statement runs before the session has these settings.
 */
import type { Connection } from 'mysql2/promise';
import { rowLockWaitSeconds, statementTimeoutMs } from '#platform/kernel/time-limits.ts';

/** MySQL 8.4's default, strict mode. In particular neither ANSI_QUOTES nor NO_BACKSLASH_ESCAPES. */
const sqlMode = [
  'ONLY_FULL_GROUP_BY',
  'STRICT_TRANS_TABLES',
  'NO_ZERO_IN_DATE',
  'NO_ZERO_DATE',
  'ERROR_FOR_DIVISION_BY_ZERO',
  'NO_ENGINE_SUBSTITUTION',
].join();

/**
 * One statement, so that it is all or nothing. The variable for isolation differs: MySQL ignores MariaDB's executable
 * comment, and MariaDB 10.11 ignores the one for MySQL 8.
 */
const settings = `SET NAMES utf8mb4 COLLATE utf8mb4_bin, @@SESSION.sql_mode = '${sqlMode}', @@SESSION.time_zone = '+00:00',
  @@SESSION.innodb_lock_wait_timeout = ${rowLockWaitSeconds}
  /*!80000 , @@SESSION.transaction_isolation = 'READ-COMMITTED' */ /*M! , @@SESSION.tx_isolation = 'READ-COMMITTED' */`;

/** Gives a new session its settings. A connection for which this throws must not be used. */
export async function prepareSession(connection: Pick<Connection, 'query'>): Promise<void> {
  await connection.query({ sql: settings, timeout: statementTimeoutMs });
}
