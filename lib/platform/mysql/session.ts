/**
 * The settings of a session, whatever the server's own are.
 *
 * The driver writes values into statements, and how it escapes them is right under some settings only: with
 * NO_BACKSLASH_ESCAPES a quote that it has escaped ends the text. So no statement runs before the session is ours.
 */
import type { Connection } from 'mysql2/promise';
import { rowLockWaitSeconds, statementTimeoutMs } from '#platform/kernel/time-limits.ts';

/** MySQL 8.4's default: what does not fit is refused. In particular neither ANSI_QUOTES nor NO_BACKSLASH_ESCAPES. */
const sqlMode = [
  'ONLY_FULL_GROUP_BY',
  'STRICT_TRANS_TABLES',
  'NO_ZERO_IN_DATE',
  'NO_ZERO_DATE',
  'ERROR_FOR_DIVISION_BY_ZERO',
  'NO_ENGINE_SUBSTITUTION',
].join();

/**
 * One statement, so that it is all or nothing. Isolation has a name for each server: MySQL passes over what stands in
 * a comment of MariaDB, and MariaDB 10.11 over what asks for MySQL 8.
 */
const settings = `SET NAMES utf8mb4 COLLATE utf8mb4_bin, @@SESSION.sql_mode = '${sqlMode}', @@SESSION.time_zone = '+00:00',
  @@SESSION.innodb_lock_wait_timeout = ${rowLockWaitSeconds}
  /*!80000 , @@SESSION.transaction_isolation = 'READ-COMMITTED' */ /*M! , @@SESSION.tx_isolation = 'READ-COMMITTED' */`;

/** Gives a new session its settings. A connection for which this throws must not be used. */
export async function prepareSession(connection: Pick<Connection, 'query'>): Promise<void> {
  await connection.query({ sql: settings, timeout: statementTimeoutMs });
}
