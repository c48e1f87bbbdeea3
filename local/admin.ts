/**
 * `npm run admin`: makes a registered account an admin, in the database that MYSQL_URL names, or else in that of the stack
 * that runs here. So the first admin is made by whoever has the database's own password, and by nobody else.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeAdmin } from '#identity/operators.ts';
import { systemClock } from '#platform/kernel/clock.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import { authorities } from '#platform/mysql/migrate.ts';
import { type Db, openDb } from '#platform/mysql/mysql.ts';
import { ownArguments } from './arguments.ts';
import { defaultFolder } from './state-folder.ts';

process.exitCode = await run();

async function run(): Promise<number> {
  const customerId = idOf<CustomerId>().safeParse(ownArguments('admin').values.customer);
  if (!customerId.success)
    return fail('Name the account with --customer and the customerId that its owner reads from GET /me.');
  const url = process.env.MYSQL_URL || runningStack();
  if (!url || !URL.parse(url)?.host) {
    return fail('Set MYSQL_URL to the database of the account, or run npm start in this clone.');
  }
  let db: Db | undefined;
  try {
    db = openDb(url, { connections: 1, authorities });
    const made = await makeAdmin({ db, clock: systemClock }, customerId.data);
    if (isRefusal(made)) return fail(made.detail);
    process.stdout.write(`${made.email} is an admin now, and has to sign in again.\n`);
    return 0;
  } catch (error) {
    return fail(`MySQL at ${new URL(url).host} did not do it: ${error instanceof Error ? error.message : error}.`);
  } finally {
    await db?.close();
  }
}

function fail(sentence: string): number {
  process.stderr.write(`${sentence}\n`);
  return 1;
}

/** The database of the stack that `npm start` runs from this clone's folder. */
function runningStack(): string | undefined {
  try {
    return (JSON.parse(readFileSync(join(defaultFolder(), 'stack.json'), 'utf8')) as { mysql?: string }).mysql;
  } catch {
    return undefined;
  }
}
