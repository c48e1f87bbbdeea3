/**
 * What a MySQL server may be set to, on a server of this file's own: with any `sql_mode`, text from users
 * stays text and a sale runs to its end; and a read-only server counts as an outage, not as a failure of the message.
 */

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DeleteMessageCommand, ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import { jest } from '@jest/globals';
import { createPool, type Pool, type RowDataPacket } from 'mysql2/promise';
import { handler as allocate } from '#functions/queue/allocate.ts';
import { handler as pay } from '#functions/queue/pay.ts';
import { handler as advance } from '#functions/schedule/advance.ts';
import { startOwnMysql } from '#local/databases.ts';
import { Supervisor } from '#local/supervisor.ts';
import { waitFor } from '#local/wait.ts';
import { queueDepth } from '#platform/aws/sqs.ts';
import type { Deps } from '#platform/environment/deps.ts';
import type { QueueHandler } from '#platform/handlers/queue.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import { locate } from '#platform/kernel/registry.ts';
import { deliveriesAtMost, maxReceiveCount } from '#platform/kernel/time-limits.ts';
import { openDb } from '#platform/mysql/mysql.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { openTokens, type Tokens } from '#platform/security/access-token.ts';
import { newId } from '#test/support/ids.ts';
import { TroubledProxy } from '../chaos/proxy.ts';
import { type Answer, type Api, openApi, password } from '../support/api.ts';
import { deliver } from '../support/deliver.ts';
import { startProviders, type TestProviders } from '../support/provider.ts';
import { delivered, givenSale } from '../support/sales.ts';
import { type TestBed, testBed, testStack } from '../support/stack.ts';

jest.setTimeout(60_000);

let folder: string;
let supervisor: Supervisor;
/** A temporary table of another server on this machine. */
const ofAnother = join(tmpdir(), `#sql-temptable-${process.pid}-1-1.MAI`);
/** The server's administrator: the only one here who may change its settings. */
let admin: Pool;
let bed: TestBed;
let database: string;
let providers: TestProviders;
let api: Api;
let deps: Deps;
let tokens: Tokens;

beforeAll(async () => {
  folder = mkdtempSync(join(testStack().dir, 'mysql-settings-'));
  supervisor = new Supervisor(folder, () => undefined);
  writeFileSync(ofAnother, '');
  const server = await startOwnMysql(supervisor);
  admin = createPool({ uri: server, connectionLimit: 2 });
  bed = await testBed({ mysql: server });
  // An ordinary account: administrators may write while a server is read-only.
  database = new URL(bed.mysqlUrl).pathname.slice(1);
  await admin.query(`CREATE USER 'shop'@'%' IDENTIFIED BY 'shop'`);
  await admin.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${database}.* TO 'shop'@'%'`);
  const url = new URL(bed.mysqlUrl);
  url.username = 'shop';
  url.password = 'shop';
  providers = await startProviders(
    1,
    {
      apiKey: locate(bed.registry, 'secret/payment-api-key'),
      webhookSecret: locate(bed.registry, 'secret/payment-webhook'),
    },
    async () => 200,
  );
  const registry = {
    ...bed.registry,
    'mysql/main': url.toString(),
    'provider/payments': providers.addresses.join(','),
  };
  writeFileSync(bed.registryFile, JSON.stringify(registry), { mode: 0o600 });
  api = openApi();
  deps = await api.deps();
  tokens = await openTokens(locate(registry, 'secret/token-signing-key'), deps.clock);
  await redisReady(deps.redis);
});

afterAll(async () => {
  await api?.close();
  await providers?.stop();
  await bed?.close();
  await admin?.end();
  await supervisor?.stop();
  rmSync(folder, { recursive: true, force: true });
  rmSync(ofAnother, { force: true });
});

async function asked<Row>(sql: string): Promise<Row[]> {
  const [rows] = await admin.query<RowDataPacket[]>(sql);
  return rows as Row[];
}

/** The ids of the shop's sessions on the server. */
const sessions = async () =>
  (await asked<{ id: number }>(`SELECT id FROM information_schema.processlist WHERE user = 'shop'`)).map(
    ({ id }) => id,
  );

/** Sets the server's `sql_mode` and ends the shop's sessions, so that all that follow begin with it. */
async function setGlobalMode(mode: string): Promise<void> {
  await admin.query(`SET GLOBAL sql_mode = '${mode}'`);
  await endSessions();
}

async function endSessions(): Promise<void> {
  for (const id of await sessions()) await admin.query(`KILL ${id}`).catch(() => undefined);
  await noSessions('the sessions to end');
}

const noSessions = (what: string) => waitFor(what, async () => (await sessions()).length === 0, { timeoutMs: 10_000 });

/** Names that would leave their quotes, one for each way in which a server may read them. */
const names = [
  // The hash and the role without quotes: with NO_BACKSLASH_ESCAPES this is a whole row, and its owner an operator.
  "x', 0x61, 0x6f70657261746f72, 1) -- .",
  "x', 'a', 'operator', 1) -- .",
  "x\\', 'a', 'operator', 1) -- .",
  'x", "a", "operator", 1) -- .',
  'x\\", "a", "operator", 1) -- .',
  "x'', 'a', 'operator', 1) #",
  'x\\',
  '\\\' \\" \\\\ \\0 \\n % _ ? ?? :name',
  '`x`; DROP TABLE customers; --',
  "ĳ 👩‍🚀 ¿' 縗\\' 誠\\'",
];

async function operators(): Promise<number> {
  const [row] = await asked<{ n: number }>(`SELECT COUNT(*) AS n FROM ${database}.customers WHERE role = 'operator'`);
  return row?.n ?? Number.NaN;
}

/** The isolation of the shop's sessions, which each server calls by another name. */
async function isolation(): Promise<unknown> {
  const name = (await asked<{ v: string }>('SELECT VERSION() AS v'))[0]?.v.includes('MariaDB') ? 'tx' : 'transaction';
  const [row] = await deps.db.rows<{ level: string }>(`SELECT @@SESSION.${name}_isolation AS level`);
  return row?.level;
}

/** Signs a new customer up under a name, and in. */
async function register(name: string): Promise<{ token: string; me: Answer }> {
  const email = `${newId()}@example.com`;
  const registered = await api.call('POST /auth/register', { json: { email, password, name }, ip: newId() });
  expect([registered.status, registered.text]).toEqual([201, expect.any(String)]);
  expect(await operators()).toBe(0);
  const session = await api.call('POST /auth/login', { json: { email, password }, ip: newId() });
  expect(session.status).toBe(200);
  const token = session.body.accessToken as string;
  return { token, me: await api.call('GET /me', { token }) };
}

/** Hands what is in a queue to its consumer until nothing is left for a moment. Returns how many messages it took. */
async function work(queue: string, handler: QueueHandler): Promise<number> {
  const { url } = deps.queue(queue);
  const { Messages = [] } = await deps.sqs.send(
    new ReceiveMessageCommand({ QueueUrl: url, MaxNumberOfMessages: 10, WaitTimeSeconds: 1 }),
  );
  if (Messages.length === 0) return 0;
  const repeat = await deliver(
    handler,
    Messages.map(({ MessageId = '', Body = '' }) => ({ messageId: MessageId, body: Body })),
  );
  for (const { MessageId = '', ReceiptHandle } of Messages) {
    if (!repeat.includes(MessageId)) await deps.sqs.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle }));
  }
  return Messages.length;
}

const inMinutes = (minutes: number) => toIso(Date.now() + minutes * 60_000);

/** Puts a product on sale, all text of which is this one. Returns the sale's id. */
async function openSale(text: string): Promise<string> {
  const token = await tokens.issue({ customerId: newId(), role: 'operator' });
  const price = { amountMinor: 1_250, currency: 'EUR' };
  const product = await api.call('POST /products', {
    token,
    json: { sku: `s-${newId()}`, name: text, description: `${text}\n\t${text}`, price },
  });
  expect(product.status).toBe(201);
  const csv = ['sku,name,description,price_minor,currency'];
  for (const name of names)
    csv.push(`i-${newId()},"${name.replaceAll('"', '""')}","${name.replaceAll('"', '""')}",5,EUR`);
  const imported = await api.call('POST /products/import', {
    token,
    text: csv.join('\n'),
    headers: { 'content-type': 'text/csv' },
  });
  expect(imported.body).toEqual({ created: names.length, updated: 0 });
  const sale = await api.call('POST /sales', {
    token,
    key: newId(),
    json: {
      productId: product.body.productId,
      name: text,
      allotment: 5,
      capPerCustomer: 2,
      waitlistSize: 1,
      offerLifeSeconds: 600,
      reserveOpensAt: inMinutes(-1),
      reserveClosesAt: inMinutes(60),
      purchaseOpensAt: inMinutes(-1),
      purchaseClosesAt: inMinutes(120),
    },
  });
  expect([sale.status, sale.body.name]).toEqual([201, text]);
  const read = await api.call(`GET /products/${product.body.productId}`);
  expect([read.body.name, read.body.description]).toEqual([text, `${text}\n\t${text}`]);
  return sale.body.saleId as string;
}

describe.each([
  ['no mode at all', ''],
  ['ANSI_QUOTES', 'ANSI_QUOTES'],
  ['NO_BACKSLASH_ESCAPES', 'NO_BACKSLASH_ESCAPES'],
  ['both, and PIPES_AS_CONCAT', 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'],
])("where the server's mode is %s", (_, mode) => {
  beforeAll(() => setGlobalMode(mode));

  test('a session has our settings from its first statement on', async () => {
    const [settings] = await deps.db.rows<Record<string, unknown>>(
      `SELECT @@GLOBAL.sql_mode AS theirs, @@SESSION.sql_mode AS ours, @@character_set_client AS client,
         @@character_set_connection AS connection, @@time_zone AS zone, @@innodb_lock_wait_timeout AS lockWait`,
    );
    expect(await isolation()).toBe('READ-COMMITTED');
    expect(String(settings?.theirs).split(',').sort()).toEqual(mode.split(',').sort());
    expect(settings).toMatchObject({ client: 'utf8mb4', connection: 'utf8mb4', zone: '+00:00', lockWait: 2 });
    expect(String(settings?.ours).split(',').sort()).toEqual([
      'ERROR_FOR_DIVISION_BY_ZERO',
      'NO_ENGINE_SUBSTITUTION',
      'NO_ZERO_DATE',
      'NO_ZERO_IN_DATE',
      'ONLY_FULL_GROUP_BY',
      'STRICT_TRANS_TABLES',
    ]);
  });

  test.each(names)('S6: a customer who is called %j keeps that name, and is no operator', async (name) => {
    const { me } = await register(name);
    expect(me.body).toMatchObject({ name, role: 'customer' });
  });

  test('a sale runs from the reservation to the purchase', async () => {
    const text = `A sale of ${names.join(' ')}`.slice(0, 200).trim();
    const saleId = await openSale(text);
    const { token } = await register(names[1] ?? '');
    const key = `k'\\"${newId()}`;
    const accepted = await api.call(`POST /sales/${saleId}/reservations`, { token, key, json: { quantity: 2 } });
    expect(accepted.status).toBe(202);
    const { reservationId } = accepted.body;
    await work('reservations', allocate);
    const reserved = await api.call(`GET /reservations/${reservationId}`, { token });
    expect(reserved.body).toMatchObject({ state: 'allocated', units: 2 });
    const bought = await api.call('POST /purchases', {
      token,
      key: `k'\\"${newId()}`,
      json: { reservationIds: [reservationId], paymentToken: 'tok_approve' },
    });
    expect(bought.status).toBe(202);
    const purchased = async () => {
      await work('purchases', pay);
      const { body } = await api.call(`GET /purchases/${bought.body.purchaseId}`, { token });
      return body.state === 'captured';
    };
    await waitFor('the purchase', purchased, { timeoutMs: 20_000 });
    const sale = await api.call(`GET /sales/${saleId}`, {});
    expect(sale.body.name).toBe(text);
    const [stock] = await deps.db.rows(
      'SELECT available, allocated, sold FROM sales WHERE name = ? ORDER BY id DESC LIMIT 1',
      [text],
    );
    expect(stock).toEqual({ available: 3, allocated: 0, sold: 2 });
  });
});

describe('a read-only server', () => {
  const variable = async (): Promise<string> => {
    const [row] = await asked<{ v: string }>('SELECT VERSION() AS v');
    return row?.v.includes('MariaDB') ? 'tx_read_only' : 'transaction_read_only';
  };

  afterEach(async () => {
    await admin.query('SET GLOBAL read_only = 0');
    await admin.query(`SET GLOBAL ${await variable()} = 0`);
    await endSessions();
  });

  const registering = () =>
    api.call('POST /auth/register', {
      json: { email: `${newId()}@example.com`, password, name: 'Ada' },
      ip: newId(),
    });

  const commands = (saleId: SaleId) =>
    [1, 2, 3].map((quantity) => {
      const { message, messageId } = delivered(saleId, { quantity, customerId: newId() });
      return { messageId, body: JSON.stringify(message), deliveries: deliveriesAtMost };
    });

  test.each([
    ['1290: the server is read-only, as a demoted primary is', async () => 'read_only', 1290],
    ['1792: transactions are read-only', variable, 1792],
  ])('%s: an outage for HTTP and for queues, and its connections are replaced', async (_, setting, errno) => {
    const saleId = await givenSale(deps);
    await admin.query(`SET GLOBAL ${await setting()} = 1`);
    // A setting of transactions holds for sessions that begin after it.
    await endSessions();
    await expect(deps.db.change('UPDATE sales SET version = version')).rejects.toMatchObject({ errno });
    await noSessions('the connection to be given up');

    const refused = await registering();
    expect([refused.status, refused.body.code]).toEqual([503, 'store_unavailable']);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);

    // The last delivery before a message that has failed by its own fault becomes a dead letter.
    const batch = commands(saleId);
    expect(await deliver(allocate, batch)).toEqual(batch.map(({ messageId }) => messageId));
    await noSessions('the connection to be given up');

    await admin.query(`SET GLOBAL ${await setting()} = 0`);
    expect((await registering()).status).toBe(201);
    expect(await deliver(allocate, batch)).toEqual([]);
    const [stock] = await deps.db.rows('SELECT available FROM sales WHERE id = ?', [toBytes(saleId)]);
    expect(stock).toEqual({ available: 94 });
  });
});

describe('a failover that leaves the server read-only for minutes', () => {
  afterAll(async () => {
    await admin.query('SET GLOBAL read_only = 0');
    await endSessions();
  });

  test('nothing is divided, given up or charged; who may wait is asked to; and all of it happens afterwards', async () => {
    const saleId = await openSale('Failover');
    const { token } = await register('Ada');
    const reserve = (key: string) =>
      api.call(`POST /sales/${saleId}/reservations`, { token, key, json: { quantity: 1 } });
    const { reservationId } = (await reserve('first')).body;
    await work('reservations', allocate);
    const buy = () =>
      api.call('POST /purchases', {
        token,
        key: 'buy',
        json: { reservationIds: [reservationId], paymentToken: 'tok_approve' },
      });
    const { purchaseId } = (await buy()).body;

    const failed = jest.spyOn(log, 'error').mockImplementation(() => undefined);
    await admin.query('SET GLOBAL read_only = 1');
    // Deliveries as often as in an hour of it.
    for (const deliveries of [1, deliveriesAtMost, deliveriesAtMost + 1, maxReceiveCount - 1]) {
      const commands = [1, 2].map(() => delivered(saleId as SaleId, { customerId: newId() }));
      const bodies = commands.map(({ messageId, message }) => ({
        messageId,
        body: JSON.stringify(message),
        deliveries,
      }));
      expect(await deliver(allocate, bodies)).toEqual(bodies.map(({ messageId }) => messageId));
      const [paying, advancing] = [newId(), newId()];
      expect(
        await deliver(pay, [{ messageId: paying, body: JSON.stringify({ purchaseId, attempt: 0 }), deliveries }]),
      ).toEqual([paying]);
      expect(await deliver(advance, [{ messageId: advancing, body: JSON.stringify({ saleId }), deliveries }])).toEqual([
        advancing,
      ]);
    }
    const said = failed.mock.calls.map(([message]) => message);
    failed.mockRestore();
    expect(said).not.toContain('batch failed; it is split');
    for (const queue of ['reservations', 'purchases', 'advance']) {
      expect(await queueDepth(deps.sqs, locate(deps.registry, `dead/${queue}`))).toMatchObject({ waiting: 0 });
    }
    const second = await reserve('second');
    expect(second.status).toBe(202);
    const refused = await api.call(`DELETE ${second.body.statusUrl}`, { token });
    expect([refused.status, refused.body.code]).toEqual([503, 'store_unavailable']);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    await noSessions('the connections to be given up');

    await admin.query('SET GLOBAL read_only = 0');
    const [order] = await deps.db.rows('SELECT state, attempts FROM purchases WHERE id = ?', [toBytes(purchaseId)]);
    expect(order).toEqual({ state: 'requested', attempts: 0 });
    const captured = async () => {
      await work('purchases', pay);
      return (await api.call(`GET /purchases/${purchaseId}`, { token })).body.state === 'captured';
    };
    await waitFor('the purchase', captured, { timeoutMs: 20_000 });
    await work('reservations', allocate);
    const [stock] = await deps.db.rows('SELECT available, allocated, sold FROM sales WHERE id = ?', [toBytes(saleId)]);
    expect(stock).toEqual({ available: 3, allocated: 1, sold: 1 });
  });
});

test('a server that starts leaves the temporary tables of another one alone', () => {
  expect(existsSync(ofAnother)).toBe(true);
});

test('a connection that could not be given its settings is never used', async () => {
  const url = new URL(bed.mysqlUrl);
  const proxy = await TroubledProxy.open(Number(url.port), 1);
  url.port = String(proxy.port);
  const db = openDb(url.toString(), { connections: 1 });
  try {
    proxy.set({ rules: [{ match: 'sql_mode', action: 'cut before', times: 1 }] });
    await expect(db.rows('SELECT 1 AS one')).rejects.toThrow();
    expect(await db.rows('SELECT @@SESSION.time_zone AS zone')).toEqual([{ zone: '+00:00' }]);
  } finally {
    await db.close();
    await proxy.close();
  }
});
