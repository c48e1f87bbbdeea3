import fc from 'fast-check';
import { format } from 'mysql2';
import { sqlText, UuidLiteral } from './sql-text.ts';

const scalar = fc.oneof(
  fc.integer(),
  fc.constant(null),
  fc.string({ unit: 'binary' }),
  fc.string(),
  fc.constantFrom(`'`, `\\`, `\\'`, `' OR 1=1 -- `, '\0', '\n', '"', '?', '%'),
  fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
);

/** The driver writes bytes the same way; text it escapes more of than it must, which the server reads alike. */
const read = (text: string) => text.replaceAll('\\"', '"').replaceAll('\\t', '\t').replaceAll('\\b', '\b');

test('any value is written as the driver writes it', () => {
  fc.assert(
    fc.property(fc.array(scalar, { minLength: 1, maxLength: 4 }), (values) => {
      const sql = `SELECT ${values.map(() => '?').join(' + ')}`;
      expect(read(sqlText(sql, values))).toBe(read(format(sql, values)));
    }),
  );
});

test('rows and lists are written as the driver writes them', () => {
  fc.assert(
    fc.property(fc.array(fc.array(scalar, { minLength: 2, maxLength: 2 }), { minLength: 1, maxLength: 4 }), (rows) => {
      expect(read(sqlText('INSERT INTO t VALUES ?', [rows]))).toBe(read(format('INSERT INTO t VALUES ?', [rows])));
      expect(read(sqlText('x IN (?)', [rows.flat()]))).toBe(read(format('x IN (?)', [rows.flat()])));
    }),
  );
});

test('columns and their values are left to the driver', () => {
  expect(sqlText('UPDATE t SET ? WHERE id = ?', [{ a: 1, b: "x'" }, 2])).toBe(
    "UPDATE t SET `a` = 1, `b` = 'x\\'' WHERE id = 2",
  );
});

test('a missing or superfluous value is an error, never a silent hole', () => {
  expect(() => sqlText('SELECT ?, ?', [1])).toThrow('placeholders');
  expect(() => sqlText('SELECT ?', [1, 2])).toThrow('placeholders');
});

test('an id is written as its bytes, and nothing but an id', () => {
  const id = '0190A0b0-0000-7000-8000-00000000000f';
  const bytes = Buffer.from(id.replaceAll('-', ''), 'hex');
  expect(sqlText('SELECT ?', [new UuidLiteral(id.toLowerCase())])).toBe(sqlText('SELECT ?', [bytes]));
  expect(sqlText('x IN (?)', [[new UuidLiteral(id), bytes]]).toLowerCase()).toBe(
    sqlText('x IN (?)', [[bytes, bytes]]).toLowerCase(),
  );
  const others = ["' OR 1", '', '00ff', `${id} `, `${id}\n`, id.replace('-', "'"), `${id.slice(0, 35)}'`];
  for (const at of [8, 13, 18, 23]) others.push(`${id.slice(0, at)}0${id.slice(at + 1)}`);
  for (const other of others) expect(() => new UuidLiteral(other)).toThrow('UUID');
});
