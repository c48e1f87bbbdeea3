/**
 * Statements that MySQL does not finish in time, on a real server: whatever ended them, HTTP answers 503 with Retry-After,
 * within the function's own time, and a queue delivers its messages again. Other connections hold the locks and kill the
 * statements.
 */
import { jest } from '@jest/globals';
import { type Connection, createConnection, type RowDataPacket } from 'mysql2/promise';
import { handler as allocate } from '#functions/queue/allocate.ts';
import { waitFor } from '#local/wait.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { type CustomerId, type ReservationId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { locate } from '#platform/kernel/registry.ts';
import { rowLockWaitSeconds, statementTimeoutMs } from '#platform/kernel/time-limits.ts';
import { openDb } from '#platform/mysql/mysql.ts';
import { isOutage } from '#platform/resilience/outage.ts';
import { openTokens, type Tokens } from '#platform/security/access-token.ts';
import { allocateBatch } from '#reservation/allocate.ts';
import { newId } from '#test/support/ids.ts';
import { type Answer, type Api, openApi } from '../support/api.ts';
import { deliver } from '../support/deliver.ts';
import { delivered, givenSale, soon } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

jest.setTimeout(60_000);

let bed: TestBed;
let api: Api;
let deps: Deps;
let tokens: Tokens;
/** Another client of the server. */
let other: Connection;

beforeAll(async () => {
  bed = await testBed();
  api = openApi();
  deps = await api.deps();
  tokens = await openTokens(locate(bed.registry, 'secret/token-signing-key'), deps.clock);
  other = await createConnection({ uri: bed.mysqlUrl });
});

afterAll(async () => {
  await other?.end();
  await api?.close();
  await bed?.close();
});

interface Held {
  readonly saleId: SaleId;
  readonly customerId: CustomerId;
  readonly reservationId: ReservationId;
}

/** A reservation with two units. */
async function hold(saleId?: SaleId): Promise<Held> {
  const sale = saleId ?? (await givenSale(deps, { allotment: 10 }));
  const { message } = delivered(sale, { quantity: 2, key: newId() });
  await allocateBatch(deps, [{ messageId: newId(), sentAtMs: Date.now(), deliveries: 1, message }], soon());
  return { saleId: sale, customerId: message.customerId, reservationId: message.reservationId };
}

/** Every call that changes a reservation, a purchase or a sale in MySQL. */
async function calls({ saleId, customerId, reservationId }: Held): Promise<Record<string, () => Promise<Answer>>> {
  const token = await tokens.issue({ customerId, role: 'customer' });
  const operator = await tokens.issue({ customerId: newId(), role: 'operator' });
  const order = { reservationIds: [reservationId], paymentToken: 'tok' };
  return {
    cancel: () => api.call(`DELETE /reservations/${reservationId}`, { token }),
    reduce: () => api.call(`PATCH /reservations/${reservationId}`, { token, json: { quantity: 1 } }),
    buy: () => api.call('POST /purchases', { token, key: newId(), json: order }),
    'add stock': () => api.call(`POST /sales/${saleId}/stock`, { token: operator, key: newId(), json: { units: 1 } }),
    pause: () => api.call(`POST /sales/${saleId}/pause`, { token: operator, key: newId() }),
  };
}

function told({ status, headers, body }: Answer): unknown[] {
  return [status, body.code, headers['retry-after']];
}

const unavailable = [503, 'store_unavailable', '1'];

test('a table that does not answer: 503 when the statement has run out of time, and not later', async () => {
  const held = await hold();
  await other.query('LOCK TABLES sales WRITE');
  const startedAtMs = Date.now();
  try {
    const answers = await Promise.all(
      Object.entries(await calls(held)).map(async ([name, send]) => [name, told(await send())]),
    );
    expect(answers).toEqual(answers.map(([name]) => [name, unavailable]));
    // The transaction is not ended on a connection that is still busy with the statement.
    expect(Date.now() - startedAtMs).toBeLessThan(2 * statementTimeoutMs);
  } finally {
    await other.query('UNLOCK TABLES');
  }
}, 60_000);

test('a row that stays locked: 503 after the last try, and afterwards it is cancelled', async () => {
  const { saleId, customerId, reservationId } = await hold();
  const token = await tokens.issue({ customerId, role: 'customer' });
  await other.beginTransaction();
  await other.query('SELECT id FROM sales WHERE id = ? FOR UPDATE', [toBytes(saleId)]);
  try {
    const startedAtMs = Date.now();
    expect(told(await api.call(`DELETE /reservations/${reservationId}`, { token }))).toEqual(unavailable);
    expect(Date.now() - startedAtMs).toBeGreaterThan(rowLockWaitSeconds * 1000);
  } finally {
    await other.rollback();
  }
  const { status, body } = await api.call(`DELETE /reservations/${reservationId}`, { token });
  expect([status, body.state]).toEqual([200, 'cancelled']);
}, 60_000);

test('a statement that an administrator kills: 503, and the connection is replaced', async () => {
  const { saleId, customerId, reservationId } = await hold();
  const token = await tokens.issue({ customerId, role: 'customer' });
  const killer = await createConnection({ uri: bed.mysqlUrl });
  await other.beginTransaction();
  await other.query('SELECT id FROM sales WHERE id = ? FOR UPDATE', [toBytes(saleId)]);
  try {
    const cancelling = api.call(`DELETE /reservations/${reservationId}`, { token });
    const [id] = await waitFor(
      'the statement to wait for the row',
      async () => {
        const [rows] = await killer.query<RowDataPacket[]>(
          `SELECT ID AS id FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND INFO LIKE '%sales%FOR UPDATE%'
           AND ID <> CONNECTION_ID()`,
        );
        return rows.length > 0 ? rows.map((row) => Number(row.id)) : undefined;
      },
      { timeoutMs: 5_000 },
    );
    await killer.query('KILL QUERY ?', [id]);
    expect(told(await cancelling)).toEqual(unavailable);
  } finally {
    await other.rollback();
    await killer.end();
  }
}, 60_000);

test('a time limit of the server: what the driver throws counts as an outage', async () => {
  const [version] = await deps.db.rows<{ version: string }>('SELECT VERSION() AS version');
  const slow = `SELECT COUNT(*) FROM ${['a', 'b', 'c', 'd', 'e', 'f'].map((name) => `information_schema.COLUMNS ${name}`).join()}`;
  const limited = String(version?.version).includes('MariaDB')
    ? `SET STATEMENT max_statement_time = 0.1 FOR ${slow}`
    : slow.replace('SELECT', 'SELECT /*+ MAX_EXECUTION_TIME(100) */');
  const error = await deps.db.rows(limited).catch((thrown: unknown) => thrown);
  expect([1969, 3024]).toContain((error as { errno?: number }).errno);
  expect(isOutage(error)).toBe(true);
});

test('a queue gets its messages back in time, none becomes a dead letter, and they are decided afterwards', async () => {
  const saleId = await givenSale(deps, { allotment: 10 });
  const { messageId, message } = delivered(saleId, { key: newId() });
  const body = JSON.stringify(message);
  await other.query('LOCK TABLES sales WRITE');
  try {
    const startedAtMs = Date.now();
    expect(await deliver(allocate, [{ messageId, body, deliveries: 99 }])).toEqual([messageId]);
    expect(Date.now() - startedAtMs).toBeLessThan(2 * statementTimeoutMs);
  } finally {
    await other.query('UNLOCK TABLES');
  }
  expect(await deliver(allocate, [{ messageId, body }])).toEqual([]);
  const [row] = await deps.db.rows('SELECT state FROM reservations WHERE id = ?', [toBytes(message.reservationId)]);
  expect(row).toMatchObject({ state: 'allocated' });
}, 60_000);

test('a transaction whose statement ran out of time holds nothing, and its connection serves nobody else', async () => {
  const { saleId } = await hold();
  const db = openDb(bed.mysqlUrl, { connections: 1 });
  try {
    const startedAtMs = Date.now();
    const stuck = db.transaction(async (tx) => {
      await tx.change('UPDATE sales SET name = ? WHERE id = ?', ['changed', toBytes(saleId)]);
      return tx.rows('SELECT SLEEP(30)');
    });
    await expect(stuck).rejects.toMatchObject({ code: 'PROTOCOL_SEQUENCE_TIMEOUT' });
    expect(Date.now() - startedAtMs).toBeLessThan(2 * statementTimeoutMs);
    expect(await db.rows('SELECT 1 AS one')).toEqual([{ one: 1 }]);
  } finally {
    await db.close();
  }
}, 60_000);
