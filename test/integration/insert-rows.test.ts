/**
 * Many rows in one statement, on the real server: what is read is what was handed over, whatever the texts, and whichever
 * columns have the same value in all rows; a text that is no id changes nothing.
 */
import type { SqlValue } from 'mysql2';
import { fromBytes, toBytes } from '#platform/kernel/ids.ts';
import { insertRows } from '#platform/mysql/insert-rows.ts';
import { type Db, openDb } from '#platform/mysql/mysql.ts';
import { newId } from '#test/support/ids.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let db: Db;

beforeAll(async () => {
  bed = await testBed({ queues: false });
  db = openDb(bed.mysqlUrl);
  await db.change(`CREATE TABLE written (id BINARY(16) PRIMARY KEY, sale_id BINARY(16) NOT NULL, place INT NOT NULL,
    note VARCHAR(64), other BINARY(16))`);
});

afterAll(async () => {
  await db?.close();
  await bed?.close();
});

const columns = { ids: ['id', 'sale_id'], others: ['place', 'note', 'other'] };

async function readWritten(): Promise<unknown[][]> {
  const rows = await db.rows<{ id: Buffer; sale_id: Buffer; place: number; note: string | null; other: Buffer | null }>(
    'SELECT * FROM written ORDER BY place',
  );
  return rows.map((row) => [fromBytes(row.id), fromBytes(row.sale_id), row.place, row.note, row.other]);
}

/** Texts that end a literal, begin one, or look like a value to be bound, where somebody forgot to write them as text. */
const texts = [
  "it's",
  '?',
  "' ?",
  '\\',
  "\\'",
  '"?"',
  '`?`',
  "'), (?",
  '-- ?',
  '/* ? */',
  'X?',
  "X'?'",
  '??',
  '',
  '\0\n',
  null,
];

test.each(texts)(
  'the note %j comes back from one row, from all rows of a statement, and from one of several',
  async (note) => {
    const [one, other] = [newId(), newId()];
    const statements: SqlValue[][][] = [
      [[newId(), one, 1, note, toBytes(other)]],
      [1, 2, 3].map((place) => [newId(), one, place, note, null]),
      // Only the last row differs, in every column but its own.
      [1, 2, 3].map((place) => {
        const isLast = place === 3;
        return [newId(), isLast ? other : one, place, isLast ? note : 'none of these', isLast ? toBytes(other) : null];
      }),
      texts.map((text, place) => [newId(), one, place, text, place % 2 === 0 ? null : toBytes(other)]),
    ];
    for (const rows of statements) {
      await db.change('DELETE FROM written');
      expect(await insertRows(db, 'INSERT INTO written', columns, rows)).toBe(rows.length);
      expect(await readWritten()).toEqual(rows);
    }
  },
);

const id = newId();
const notIds = [
  '',
  id.slice(1),
  `${id}0`,
  id.replaceAll('-', ''),
  id.replace(/.$/, "'"),
  id.replace(/.$/, '?'),
  id.replace(/.$/, '\\'),
];

test.each(notIds)('%j is no id, and nothing is inserted', async (text) => {
  await db.change('DELETE FROM written');
  const good = [newId(), newId(), 1, null, null];
  const inFirst = [text, newId(), 2, null, null];
  const inSecond = [newId(), text, 3, null, null];
  for (const rows of [[inFirst], [inSecond], [good, inFirst], [inSecond, good]]) {
    await expect(insertRows(db, 'INSERT INTO written', columns, rows)).rejects.toThrow(/UUID|syntax/);
  }
  expect(await readWritten()).toEqual([]);
});
