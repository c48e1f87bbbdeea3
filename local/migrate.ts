/**
 * `npm run migrate`: brings the database that MYSQL_URL names up to date, and nothing else.
 */
import { migrate } from '#platform/mysql/migrate.ts';

const url = process.env.MYSQL_URL;
if (!url) {
  process.stderr.write('Set MYSQL_URL to the database to migrate, such as mysql://user:password@host:3306/holdfast.\n');
  process.exit(1);
}
await migrate(url);
process.stdout.write('The database is up to date.\n');
