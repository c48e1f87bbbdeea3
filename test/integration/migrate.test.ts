/** `npm run migrate` as a command: its output and its exit code. */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { createDatabase, dropDatabase, inDatabase } from '#local/databases.ts';
import { freePort } from '#local/free-port.ts';
import { projectRoot } from '#local/state-folder.ts';
import { newId } from '#test/support/ids.ts';
import { testStack } from '../support/stack.ts';

function migrate(url: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(projectRoot, 'local/migrate.ts'), ...args], {
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
  for (const url of ['', 'nothing']) {
    const { status, stderr } = migrate(url);
    expect(status).toBe(1);
    oneSentence(stderr);
  }
});
