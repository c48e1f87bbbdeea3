import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { byteOrderMark, csvLine } from './csv.ts';

const read = (text: string) => parse(text, { bom: true, record_delimiter: '\r\n' }) as string[][];

describe('a line of CSV', () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: fc.constantFrom(...'=+-@＝;,"\'\t\r\n a1') }));

  test('is read as it was written, but for what would be a formula', () => {
    const unguarded = (cell: string) => cell.replaceAll("'", '');
    fc.assert(
      fc.property(fc.array(text, { minLength: 2, maxLength: 5 }), (cells) => {
        const [back = []] = read(byteOrderMark + csvLine(cells));
        expect(back.map(unguarded)).toEqual(cells.map(unguarded));
        const changed = cells.filter((cell, index) => cell !== back[index]);
        expect(changed.filter((cell) => !/[=+\-@＝＋－＠]|^[\t\r\n]/.test(cell))).toEqual([]);
      }),
    );
  });

  test('has no formula either for who separates its cells by semicolons or tabs', () => {
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 5 }), (cells) => {
        for (const torn of csvLine(cells).split(/[;\t\r\n]/)) expect(torn).not.toMatch(/^["\s]*[=+\-@＝＋－＠]/);
      }),
    );
    expect(csvLine(['Ada;=1+1', 'a;b', 'x; \t-2'])).toBe('"Ada;\'=1+1","a;b","x;\' \t\'-2"\r\n');
    expect(csvLine(['"=1+1'])).toBe('"\'""=1+1"\r\n');
    expect(csvLine(['Ada;"=1+1'])).toBe('"Ada;\'""=1+1"\r\n');
  });

  test.each(['=1+1', '+1', '-1', '@SUM(A1)', '\t1', '\r1', ' =1', '\n1', '＝1+1', '＠x', '=HYPERLINK("http://x","y")'])(
    'is no formula: %j',
    (cell) => {
      const [[first, second] = []] = read(csvLine([cell, 'x']));
      expect([first, second]).toEqual([`'${cell}`, 'x']);
    },
  );

  test.each(['\t=1', '\r=1', '\n=1'])('is no formula in any of its lines: %j', (cell) => {
    const [[first] = []] = read(csvLine([cell, 'x']));
    expect(first).toBe(`'${cell[0]}'=1`);
  });

  test('keeps numbers as numbers, and leaves out what is not there', () => {
    expect(csvLine([-5, null, 'a,"b"', 'Ünïcödé'])).toBe('-5,,"a,""b""",Ünïcödé\r\n');
  });
});
