/** Who runs sales: roles are given by admins, the first admin by a command, and the last one stays. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { setRole } from '#identity/operators.ts';
import { freePort } from '#local/free-port.ts';
import { projectRoot } from '#local/state-folder.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import type { Db, Tx } from '#platform/mysql/mysql.ts';
import { newId } from '#test/support/ids.ts';
import { type Api, openApi, password } from '../support/api.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;

beforeAll(async () => {
  bed = await testBed();
  api = openApi();
  deps = await api.deps();
});

afterAll(async () => {
  await api?.close();
  await bed?.close();
});

const admins = async () =>
  (await deps.db.rows<{ email: string }>("SELECT email FROM customers WHERE role = 'admin' ORDER BY email")).map(
    ({ email }) => email,
  );
const withoutAdmins = () => deps.db.change("UPDATE customers SET role = 'customer' WHERE role = 'admin'");
const setTo = (token: string, customerId: CustomerId, role: string) =>
  api.call('POST /ops/operators', { token, json: { customerId, role } });
const signIn = async (email: string) =>
  (await api.call('POST /auth/login', { json: { email, password } })).body.accessToken as string;

const command = (...args: string[]) => commandAt(bed.mysqlUrl, ...args);

function commandAt(mysqlUrl: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(projectRoot, 'local/admin.ts'), ...args], {
    env: { ...process.env, NODE_OPTIONS: '', MYSQL_URL: mysqlUrl },
    encoding: 'utf8',
    timeout: 20_000,
  });
  return { status, stdout, stderr };
}

describe('the first admin', () => {
  test('is made by a command, of an account that is registered, and the trail tells of it', async () => {
    await withoutAdmins();
    const { email, customerId } = await api.customer();
    expect(command('--customer', customerId)).toEqual({
      status: 0,
      stdout: `${email} is an admin now, and has to sign in again.\n`,
      stderr: '',
    });
    const token = await signIn(email);
    expect((await api.call('GET /me', { token })).body.role).toBe('admin');
    const { items } = (await api.call(`GET /ops/acts?subjectId=${customerId}`, { token })).body;
    expect(items).toMatchObject([
      { act: 'npm run admin', operatorId: null, before: { role: 'customer' }, after: { role: 'admin' } },
    ]);
  });

  test.each([[['--customer', newId()]], [['--customer', 'no id']], [[]]])(
    'cannot be made with %j, and a sentence says why',
    async (args) => {
      const before = await admins();
      const { status, stdout, stderr } = command(...args);
      expect([status, stdout]).toEqual([1, '']);
      expect(stderr).toMatch(/^[A-Z][^\n]+\.\n$/);
      expect(await admins()).toEqual(before);
    },
  );

  test.each(['', '?ssl=Amazon%20RDS', '?ssl=nonsense'])(
    'cannot be made in a database that is not reached, and a sentence says why: %j',
    async (settings) => {
      const url = `mysql://holdfast:secret@127.0.0.1:${await freePort()}/holdfast${settings}`;
      const { status, stdout, stderr } = commandAt(url, '--customer', newId());
      expect([status, stdout]).toEqual([1, '']);
      expect(stderr).toMatch(/^[A-Z][^\n]+\.\n$/);
      expect(stderr).not.toContain('secret');
      // The certificates of Amazon RDS are known, so it gets as far as the network.
      expect(stderr.includes('ECONNREFUSED')).toBe(settings !== '?ssl=nonsense');
    },
  );
});

describe('a role', () => {
  test('is given and taken by an admin, and holds from the next token on', async () => {
    const admin = await api.operator('admin');
    const { customerId, email, refreshToken } = await api.customer();
    const acted = () => api.call('POST /ops/reconcile', { token, json: {} });
    let token = await signIn(email);
    expect((await acted()).body.code).toBe('forbidden');
    expect((await setTo(admin, customerId, 'operator')).body).toMatchObject({ email, role: 'operator' });
    expect((await acted()).body.code).toBe('forbidden');
    const renewed = (await api.call('POST /auth/refresh', { json: { refreshToken } })).body;
    token = renewed.accessToken;
    expect((await acted()).status).toBe(202);
    await setTo(admin, customerId, 'customer');
    token = (await api.call('POST /auth/refresh', { json: { refreshToken: renewed.refreshToken } })).body.accessToken;
    expect((await acted()).body.code).toBe('forbidden');
  });

  test('is given to one account of an address, and not to another that somebody made with it', async () => {
    const admin = await api.operator('admin');
    const { customerId, email } = await api.customer();
    const json = { email, password: 'somebody else typed this', name: 'Mallory' };
    const other = (await api.call('POST /auth/register', { json })).body;
    expect(other.customerId).not.toBe(customerId);
    await setTo(admin, customerId, 'admin');
    expect((await api.call('GET /me', { token: other.accessToken })).body.role).toBe('customer');
  });

  test('cannot be given to an account that is not there', async () => {
    const { status, body } = await setTo(await api.operator('admin'), newId(), 'viewer');
    expect([status, body.code]).toEqual([404, 'not_found']);
  });

  test('is listed in pages, and customers are not', async () => {
    const admin = await api.operator('admin');
    await Promise.all([api.operator('viewer'), api.operator(), api.customer()]);
    const all = (await api.call('GET /ops/operators?limit=100', { token: admin })).body.items;
    expect(new Set(all.map(({ role }: { role: string }) => role))).toEqual(new Set(['viewer', 'operator', 'admin']));
    const paged: unknown[] = [];
    let cursor = '';
    do {
      const { body } = await api.call(`GET /ops/operators?limit=1${cursor && `&cursor=${cursor}`}`, { token: admin });
      paged.push(...body.items);
      cursor = body.nextCursor ?? '';
    } while (cursor);
    expect(paged).toEqual(all);
  });
});

describe('the last admin', () => {
  test('stays one, and goes once there is another', async () => {
    await withoutAdmins();
    const token = await api.operator('admin');
    const { customerId, email } = (await api.call('GET /me', { token })).body;
    for (const role of ['customer', 'viewer', 'operator']) {
      const { status, body } = await setTo(token, customerId, role);
      expect([status, body.code]).toEqual([409, 'illegal_state']);
    }
    expect(await admins()).toEqual([email]);
    expect((await setTo(token, customerId, 'admin')).status).toBe(200);
    const next = await api.customer();
    await setTo(token, next.customerId, 'admin');
    expect((await setTo(token, customerId, 'customer')).status).toBe(200);
    expect(await admins()).toEqual([next.email]);
  });

  /** Two admins who remove each other at once, so many times; returns how many admins were left each time. */
  async function removals(db: Db, rounds: number): Promise<number[]> {
    const [one, other] = [await api.customer(), await api.customer()];
    const left: number[] = [];
    for (let round = 0; round < rounds; round++) {
      await withoutAdmins();
      await deps.db.change("UPDATE customers SET role = 'admin' WHERE email IN (?)", [[one.email, other.email]]);
      const answers = await Promise.all(
        [one, other].map(({ customerId }) => setRole({ db }, { customerId, role: 'customer' })),
      );
      left.push((await admins()).length);
      expect(answers.filter(isRefusal)).toHaveLength(left.at(-1) ?? 0);
    }
    return left;
  }

  test('stays one also if two remove each other at once', async () => {
    expect(new Set(await removals(deps.db, 40))).toEqual(new Set([1]));
  });

  test('would not, if the admins were not locked', async () => {
    const unlocked = (tx: Tx): Tx => ({ ...tx, rows: (sql, values) => tx.rows(sql.replace('FOR UPDATE', ''), values) });
    const db = {
      ...deps.db,
      transaction: <T>(work: (tx: Tx) => Promise<T>) => deps.db.transaction((tx) => work(unlocked(tx))),
    };
    expect(await removals(db, 40)).toContain(0);
  });
});
