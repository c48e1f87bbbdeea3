/**
 * `npm run migrate`: brings the database that MYSQL_URL names up to date, and nothing else; with `--account`, also makes the
 * account of the functions, whose name and password it reads from standard input. Any error is reported in a sentence, with
 * exit code 1.
 */
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { ensureFunctionsAccount, type MysqlAccount } from '#platform/mysql/functions-account.ts';
import { authorities, migrate } from '#platform/mysql/migrate.ts';
import { isConnectionLoss, mysqlErrorNumber } from '#platform/resilience/outage.ts';

const example = 'mysql://user:password@host:3306/holdfast';

/** The error numbers of MySQL for an account or a database that it does not know. */
const refusals: ReadonlySet<number> = new Set([1044, 1045, 1049, 1698]);

const { values: flags } = parseArgs({ options: { account: { type: 'boolean' } } });
process.exitCode = await run(process.env.MYSQL_URL ?? '');

async function run(url: string): Promise<number> {
  if (!URL.parse(url)?.host) {
    process.stderr.write(`Set MYSQL_URL to the database to migrate, such as ${example}.\n`);
    return 1;
  }
  try {
    const account = flags.account ? accountIn(await text(process.stdin)) : undefined;
    await migrate(url);
    if (account) await ensureFunctionsAccount(url, account, authorities);
    process.stdout.write(`The database is up to date${account ? `, and ${account.username} may use it` : ''}.\n`);
    return 0;
  } catch (error) {
    process.stderr.write(`${sentenceFor(error, new URL(url).host)}\n`);
    return 1;
  }
}

/** The account of the functions, as its secret has it. Throws a sentence that repeats nothing of what it read. */
function accountIn(json: string): MysqlAccount {
  const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
  try {
    const { username, password } = JSON.parse(json) as Record<string, unknown>;
    if (isText(username) && isText(password)) return { username, password };
  } catch {
    // Said below.
  }
  throw new Error('--account reads {"username":…,"password":…} from standard input, as the secret has it');
}

function sentenceFor(error: unknown, host: string): string {
  const { message, code } = error as { message?: string; code?: string };
  if (refusals.has(mysqlErrorNumber(error))) return `MySQL at ${host} refuses: ${message}. Nothing was changed.`;
  if (isConnectionLoss(error))
    return `MySQL at ${host} cannot be reached (${message || code}). Run it again when it can.`;
  const { cause } = error as { cause?: { message?: string } };
  return `The migration failed: ${[message, cause?.message].filter(Boolean).join(': ')}.`;
}
