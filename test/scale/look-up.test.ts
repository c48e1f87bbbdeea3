/**
 * Lists and exports of a sale with many reservations, on real MySQL: the rows that a page reads, and the memory that a part of
 * a file takes, do not depend on how many there are. For more than the default:
 *
 *   HOLDFAST_SCALE=1000000 npm test -- test/scale/look-up
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { givenLongSale } from '#bench/long-sale.ts';
import { exportList } from '#operations/export.ts';
import { rowsScanned } from '#operations/look-up.store.ts';
import { lookUpCustomers, lookUpReservations } from '#operations/look-up.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { Reply } from '#platform/handlers/http.ts';
import type { Page } from '#platform/handlers/pagination.ts';
import { isRefusal, type Refusal } from '#platform/kernel/errors.ts';
import { type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { withDeps } from '../support/deps.ts';
import { rowsReadBy } from '../support/rows-read.ts';
import { openBed } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

const count = Number(process.env.HOLDFAST_SCALE ?? 100_000);
const timeoutMs = 120_000 + 3 * count;
/** What may be held on to after a part of a file, that part included, and what an answer may have. */
const heapAtMost = 16_000_000;
const partAtMost = 5_000_000;

let bed: TestBed;
let deps: Deps;
let saleId: SaleId;

beforeAll(async () => {
  bed = await testBed({ queues: false });
  deps = await openBed(bed);
  const nowMs = Date.now();
  const times = { purchaseOpensAtMs: nowMs - 1_000, purchaseClosesAtMs: nowMs + 3_600_000 };
  saleId = await givenLongSale(deps.db, { holding: count - 3, rejected: 3 }, { ...times, phase: 'purchasing' }, nowMs);
  // One account for every hundred customers.
  await deps.db.change(
    `INSERT INTO customers (id, email, name, password_hash, role, created_at_ms)
     SELECT customer_id, CONCAT(LOWER(HEX(customer_id)), '@example.com'), 'Ada', 'x', 'customer', 1
     FROM reservations WHERE sale_id = ? AND MOD(ticket, 100) = 0`,
    [toBytes(saleId)],
  );
}, timeoutMs);

afterAll(async () => {
  await deps?.close();
  await bed?.close();
});

function ofPage<Item>(page: Page<Item> | Refusal): Page<Item> {
  if (isRefusal(page)) throw new Error(page.detail);
  return page;
}

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

/** The bytes of what is still in use. */
function heapHeld(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

const page = { limit: 100, cursor: undefined };

// A part of a file is made of pages of 500.
test.each([100, 500])(`a page of %d of a list of ${count} reads a page`, async (limit) => {
  for (const lookUp of [lookUpReservations, lookUpCustomers]) {
    expect(await rowsReadBy(deps.db, (db) => lookUp({ db }, saleId, { ...page, limit }))).toBeLessThan(20 * limit);
  }
});

test('a page of 500 reads a page whatever the server believes of the size of the tables', async () => {
  for (const believed of [0, 1_000, 30_000, count]) {
    await deps.db.change(
      `UPDATE mysql.innodb_table_stats SET n_rows = ?, clustered_index_size = 1 + ? DIV 100
       WHERE database_name = DATABASE() AND table_name IN ('reservations', 'customers')`,
      [believed, believed],
    );
    for (const table of ['reservations', 'customers']) await deps.db.change(`FLUSH TABLE ${table}`);
    for (const lookUp of [lookUpReservations, lookUpCustomers]) {
      const read = await rowsReadBy(deps.db, (db) => lookUp({ db }, saleId, { ...page, limit: 500 }));
      expect(read).toBeLessThan(20 * 500);
    }
  }
});

test(
  'a page of what is rare reads a window of the sale, and all pages together find all of it',
  async () => {
    const search = { ...page, state: 'rejected' };
    let found = 0;
    let pages = 0;
    let cursor: string | undefined;
    do {
      let next: string | null = null;
      const read = await rowsReadBy(deps.db, async (db) => {
        const { items, nextCursor } = ofPage(await lookUpReservations({ db }, saleId, { ...search, cursor }));
        found += items.length;
        next = nextCursor;
      });
      expect(read).toBeLessThan(3 * rowsScanned);
      pages += 1;
      cursor = next ?? undefined;
    } while (cursor);
    expect([found, pages]).toEqual([3, Math.floor(count / rowsScanned) + 1]);
  },
  timeoutMs,
);

test('whoever is looked for by address is found by reading a few rows', async () => {
  const [{ email } = { email: '' }] = await deps.db.rows<{ email: string }>('SELECT email FROM customers LIMIT 1');
  for (const lookUp of [lookUpReservations, lookUpCustomers]) {
    let items: unknown[] = [];
    const read = await rowsReadBy(deps.db, async (db) => {
      ({ items } = ofPage<unknown>(await lookUp({ db }, saleId, { ...page, email })));
    });
    expect(items).toMatchObject([{ email }]);
    expect(read).toBeLessThan(100);
  }
});

test.each(['reservations', 'customers'] as const)(
  `${count} %s are exported in parts of a bounded size, in bounded memory`,
  async (list) => {
    const actor = { operatorId: null, act: 'a test', asked: {} };
    let [lines, largest, heap, read] = [0, 0, 0, 0];
    let cursor: string | undefined;
    const db = {
      ...deps.db,
      async rows<R>(sql: string, values?: unknown[]) {
        const rows = await deps.db.rows<R>(sql, values);
        read = Math.max(read, rows.length);
        return rows;
      },
    };
    const heapBefore = heapHeld();
    do {
      const part: Reply<string> | Refusal = await exportList(withDeps(deps, { db }), actor, saleId, list, { cursor });
      if (!(part instanceof Reply)) throw new Error(part.detail);
      largest = Math.max(largest, Buffer.byteLength(part.body));
      heap = Math.max(heap, heapHeld() - heapBefore);
      lines += part.body.split('\r\n').length - 1;
      cursor = part.headers['x-next-cursor'];
    } while (cursor);
    expect(lines).toBe(count + 1);
    expect(largest).toBeLessThan(partAtMost);
    expect(read).toBeLessThanOrEqual(1_001);
    expect(heap).toBeLessThan(heapAtMost);
  },
  timeoutMs,
);
