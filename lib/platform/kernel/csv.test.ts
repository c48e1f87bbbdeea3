import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { byteOrderMark, csvLine } from './csv.ts';

const read = (text: string) => parse(text, { bom: true, record_delimiter: '\r\n' }) as string[][];

describe('a line of CSV', () => {
  test('is read as it was written, but for what would be a formula', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' }), { minLength: 2, maxLength: 5 }), (cells) => {
        const [back = []] = read(byteOrderMark + csvLine(cells));
        expect(back.map((cell, index) => (cell === cells[index] ? cell : cell.slice(1)))).toEqual(cells);
      }),
    );
  });

  test.each([
    '=1+1',
    '+1',
    '-1',
    '@SUM(A1)',
    '\t=1',
    '\r=1',
    ' =1',
    '\n=1',
    '＝1+1',
    '＠x',
    '=HYPERLINK("http://x","y")',
  ])('is no formula: %j', (cell) => {
    const [[first, second] = []] = read(csvLine([cell, 'x']));
    expect([first, second]).toEqual([`'${cell}`, 'x']);
  });

  test('keeps numbers as numbers, and leaves out what is not there', () => {
    expect(csvLine([-5, null, 'a,"b"', 'Ünïcödé'])).toBe('-5,,"a,""b""",Ünïcödé\r\n');
  });
});
