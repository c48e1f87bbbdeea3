/** `npm run migrate` as a command: its output and its exit code. */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { createDatabase, dropDatabase, inDatabase } from '#local/databases.ts';
import { freePort } from '#local/free-port.ts';
import { projectRoot } from '#local/state-folder.ts';
import { newId } from '#test/support/ids.ts';
import { testStack } from '../support/stack.ts';

function migrate(url: string, args: string[] = [], input = '') {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(projectRoot, 'local/migrate.ts'), ...args], {
    input,
    env: { ...process.env, NODE_OPTIONS: '', MYSQL_URL: url },
    encoding: 'utf8',
    timeout: 20_000,
  });
  return { status, stdout, stderr };
}

/** One sentence on a line of its own, and nothing of the inside. */
const oneSentence = (text: string) => expect(text).toMatch(/^[A-Z][^\n]+\.\n$/);

test('a database gets its tables, and keeps them when the command is repeated', async () => {
  const url = inDatabase(testStack().mysql, `holdfast_m${newId().replaceAll('-', '')}`);
  await createDatabase(url);
  try {
    for (let times = 1; times <= 2; times++) {
      expect(migrate(url)).toEqual({ status: 0, stdout: 'The database is up to date.\n', stderr: '' });
    }
    const connection = await createConnection({ uri: url });
    const [tables] = await connection.query<RowDataPacket[]>("SHOW TABLES LIKE 'reservations'");
    await connection.end();
    expect(tables).toHaveLength(1);
  } finally {
    await dropDatabase(url);
  }
});

test('the account of the functions reads and writes rows of its database, and may do nothing else', async () => {
  const url = inDatabase(testStack().mysql, `holdfast_m${newId().replaceAll('-', '')}`);
  // What would match the name of the first if "_" stood for any character.
  const twin = url.replace('holdfast_m', 'holdfastxm');
  await Promise.all([createDatabase(url), createDatabase(twin)]);
  const username = `functions_${newId().slice(-12)}`;
  try {
    for (const password of ['the first one', 'the second one']) {
      const { status, stdout } = migrate(url, ['--account'], JSON.stringify({ username, password }));
      expect([status, stdout]).toEqual([0, `The database is up to date, and ${username} may use it.\n`]);
    }
    const own = new URL(url);
    Object.assign(own, { username, password: 'the second one' });
    const connection = await createConnection({ uri: own.toString() });
    const tried = async (sql: string) =>
      connection.query(sql).then(
        () => 'done',
        (error: { code?: string }) => error.code ?? '',
      );
    for (const sql of ['SELECT id FROM sales', 'UPDATE sales SET version = version', 'DELETE FROM sales']) {
      expect([sql, await tried(sql)]).toEqual([sql, 'done']);
    }
    for (const sql of [
      'DROP TABLE sales',
      'TRUNCATE sales',
      'TRUNCATE operator_acts',
      'DROP TRIGGER operator_acts_unchanged',
      'DROP TRIGGER operator_acts_undeleted',
      'ALTER TABLE sales ADD x INT',
      'CREATE TABLE x (x INT)',
      `CREATE TABLE \`${new URL(twin).pathname.slice(1)}\`.x (x INT)`,
      `USE \`${new URL(twin).pathname.slice(1)}\``,
      'SELECT * FROM mysql.user',
      "CREATE USER 'x'@'%' IDENTIFIED BY 'y'",
      "GRANT SELECT ON sales TO 'x'@'%'",
      'SET GLOBAL max_connections = 1',
      "SELECT 1 INTO OUTFILE '/tmp/holdfast-outfile'",
    ]) {
      expect([sql, await tried(sql)]).toEqual([sql, expect.stringMatching(/DENIED|GRANT|SPECIFIC_ACCESS/)]);
    }
    await connection.end();
  } finally {
    const master = await createConnection({ uri: url });
    await master.query('DROP USER IF EXISTS ?@?', [username, '%']);
    await master.end();
    await Promise.all([dropDatabase(url), dropDatabase(twin)]);
  }
});

test('what is no account is said in a sentence that repeats none of it', () => {
  const { status, stderr } = migrate(testStack().mysql, ['--account'], '{"username":"x","pass":"s3cret"}');
  expect(status).toBe(1);
  oneSentence(stderr);
  expect(stderr).not.toContain('s3cret');
});

test('an unreachable server is reported in a sentence', async () => {
  const { status, stdout, stderr } = migrate(`mysql://holdfast:secret@127.0.0.1:${await freePort()}/holdfast`);
  expect([status, stdout]).toEqual([1, '']);
  oneSentence(stderr);
  expect(stderr).toMatch(/^MySQL at 127\.0\.0\.1:\d+ cannot be reached/);
  expect(stderr).not.toContain('secret');
});

test.each([
  ['an account', (url: URL) => (url.password = 'wrong')],
  ['a database', (url: URL) => (url.pathname = '/nowhere')],
])('%s that the server does not know is said in a sentence', (_, change) => {
  const url = new URL(testStack().mysql);
  change(url);
  const { status, stderr } = migrate(url.toString());
  expect(status).toBe(1);
  oneSentence(stderr);
  expect(stderr).toMatch(/refuses/);
});

test('without the address of a database it asks for one', () => {
  for (const url of ['', 'nothing', 'localhost:3306/holdfast']) {
    const { status, stderr } = migrate(url);
    expect(status).toBe(1);
    oneSentence(stderr);
  }
});
