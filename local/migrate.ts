/**
 * `npm run migrate`: brings the database that MYSQL_URL names up to date, and nothing else. Any error is reported in
 * a sentence, with exit code 1.
 */
import { migrate } from '#platform/mysql/migrate.ts';
import { isConnectionLoss, mysqlErrorNumber } from '#platform/resilience/outage.ts';

const example = 'mysql://user:password@host:3306/holdfast';

/** The error numbers of MySQL for an account or a database that it does not know. */
const refusals: ReadonlySet<number> = new Set([1044, 1045, 1049, 1698]);

process.exitCode = await run(process.env.MYSQL_URL ?? '');

async function run(url: string): Promise<number> {
  if (!URL.canParse(url)) {
    process.stderr.write(`Set MYSQL_URL to the database to migrate, such as ${example}.\n`);
    return 1;
  }
  try {
    await migrate(url);
    process.stdout.write('The database is up to date.\n');
    return 0;
  } catch (error) {
    process.stderr.write(`${sentenceFor(error, new URL(url).host)}\n`);
    return 1;
  }
}

function sentenceFor(error: unknown, host: string): string {
  const { message, code } = error as { message?: string; code?: string };
  if (refusals.has(mysqlErrorNumber(error))) return `MySQL at ${host} refuses: ${message}. Nothing was changed.`;
  if (isConnectionLoss(error))
    return `MySQL at ${host} cannot be reached (${message || code}). Run it again when it can.`;
  const { cause } = error as { cause?: { message?: string } };
  return `The migration failed: ${[message, cause?.message].filter(Boolean).join(': ')}.`;
}
