import fc from 'fast-check';
import { format } from 'mysql2';
import { HexLiteral, sqlText } from './sql-text.ts';

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

test('bytes known by their digits are written as bytes', () => {
  expect(sqlText('x IN (?)', [[new HexLiteral('00ff'), Buffer.from([0, 255])]])).toBe(`x IN (X'00ff', X'00ff')`);
  expect(sqlText('SELECT ?', [new HexLiteral('AB')])).toBe(`SELECT X'AB'`);
  for (const digits of ["' OR 1", '0', 'xy', '00 ']) expect(() => new HexLiteral(digits)).toThrow();
});
