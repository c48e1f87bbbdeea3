/**
 * The account with which functions reach MySQL, with the least privilege: it reads and writes rows of one database and may do nothing else: no function
 * changes a table, makes an account, or reads another database, even if other statements are made to run in it.
 */
import mysql, { type Connection } from 'mysql2/promise';
import type { Authorities } from './server.ts';
import { serverOf } from './server.ts';

export interface MysqlAccount {
  readonly username: string;
  readonly password: string;
}

/** What functions may do in their database. */
const rights = 'SELECT, INSERT, UPDATE, DELETE';

/**
 * Makes the account, or gives it this password, and grants it the database that the URL names, and nothing beside. The URL's own
 * account must be allowed to.
 */
export async function ensureFunctionsAccount(
  url: string,
  { username, password }: MysqlAccount,
  authorities?: Authorities,
): Promise<void> {
  const connection: Connection = await mysql.createConnection(serverOf(url, authorities));
  const database = decodeURIComponent(new URL(url).pathname.slice(1));
  try {
    // A wildcard in the name of a database would grant others as well.
    const named = database.replace(/[_%\\]/g, '\\$&');
    await connection.query('CREATE USER IF NOT EXISTS ?@? IDENTIFIED BY ?', [username, '%', password]);
    await connection.query('ALTER USER ?@? IDENTIFIED BY ?', [username, '%', password]);
    await connection.query('REVOKE ALL PRIVILEGES, GRANT OPTION FROM ?@?', [username, '%']);
    await connection.query(`GRANT ${rights} ON ??.* TO ?@?`, [named, username, '%']);
  } finally {
    await connection.end();
  }
}
