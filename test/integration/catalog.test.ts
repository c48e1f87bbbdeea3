/** The catalog, on a real MySQL: reading, writing by operators, and the import. */

import { readRows } from '#catalog/import.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { bytesType } from '#platform/handlers/body.ts';
import { newId } from '#test/support/ids.ts';
import { type Api, openApi } from '../support/api.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;
let operator: string;
let customer: string;

beforeAll(async () => {
  bed = await testBed({ queues: false });
  api = openApi();
  deps = await api.deps();
  operator = await api.operator();
  customer = (await api.customer()).token;
});

afterAll(async () => {
  await api?.close();
  await bed?.close();
});

beforeEach(() => deps.db.change('DELETE FROM products'));

const chair = {
  sku: 'CHAIR-1',
  name: 'Chair “Ø”',
  description: 'Oak.\nSits one.',
  price: { amountMinor: 12_900, currency: 'EUR' },
};
const header = 'sku,name,description,price_minor,currency';
const importFile = (text: string, token = operator) =>
  api.call('POST /products/import', { text, token, headers: { 'content-type': 'text/csv; charset=utf-8' } });
const countProducts = async () => (await deps.db.rows('SELECT id FROM products')).length;

describe('products', () => {
  test('are created and changed by operators and read by everyone', async () => {
    const created = await api.call('POST /products', { json: chair, token: operator });
    expect(created.status).toBe(201);
    const { productId } = created.body;
    expect((await api.call(`GET /products/${productId}`)).body).toEqual({ productId, ...chair, pictures: [] });
    const changed = await api.call(`PATCH /products/${productId}`, {
      json: { description: '', price: { amountMinor: 9_900, currency: 'USD' } },
      token: operator,
    });
    expect(changed.body).toEqual({
      productId,
      ...chair,
      description: '',
      price: { amountMinor: 9_900, currency: 'USD' },
      pictures: [],
    });
    expect((await api.call(`GET /products/${productId}`)).body).toEqual(changed.body);
  });

  test('cannot be written by customers or without signing in', async () => {
    for (const [token, status] of [
      [undefined, 401],
      [customer, 403],
    ] as const) {
      expect((await api.call('POST /products', { json: chair, token })).status).toBe(status);
      expect((await api.call(`PATCH /products/${newId()}`, { json: { name: 'x' }, token })).status).toBe(status);
      expect((await importFile(`${header}\nA,A,,1,EUR\n`, token ?? '')).status).toBe(status);
    }
    expect(await countProducts()).toBe(0);
  });

  test('have a SKU of their own, also when two are created at once', async () => {
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => api.call('POST /products', { json: chair, token: operator })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409]);
    expect(answers.find(({ status }) => status === 409)?.body.code).toBe('sku_taken');
  });

  test('that do not exist are 404 to read and to change', async () => {
    expect((await api.call(`GET /products/${newId()}`)).body.code).toBe('not_found');
    const changed = await api.call(`PATCH /products/${newId()}`, { json: { name: 'x' }, token: operator });
    expect(changed.body.code).toBe('not_found');
  });

  test('are listed page by page, the newest first, each once', async () => {
    for (let n = 0; n < 5; n++) {
      await api.call('POST /products', { json: { ...chair, sku: `CHAIR-${n}` }, token: operator });
    }
    const seen: string[] = [];
    let next = '';
    do {
      const { body } = await api.call(`GET /products?limit=2${next}`);
      seen.push(...body.items.map(({ sku }: { sku: string }) => sku));
      next = body.nextCursor ? `&cursor=${body.nextCursor}` : '';
    } while (next);
    expect([...seen].sort()).toEqual(['CHAIR-0', 'CHAIR-1', 'CHAIR-2', 'CHAIR-3', 'CHAIR-4']);
    expect(new Set(seen).size).toBe(5);
  });
});

describe('the import', () => {
  test('creates what is new and updates what is there, and does so again when repeated', async () => {
    await api.call('POST /products', { json: chair, token: operator });
    const file = `\ufeff${header}\r\nCHAIR-1,Stool,"Low, ""round""",4900,EUR\r\n\r\nTABLE-1,Tisch,,19900,EUR\r\n`;
    expect((await importFile(file)).body).toEqual({ created: 1, updated: 1 });
    expect((await importFile(file)).body).toEqual({ created: 0, updated: 2 });
    const { body } = await api.call('GET /products');
    expect(body.items).toHaveLength(2);
    expect(body.items.find(({ sku }: { sku: string }) => sku === 'CHAIR-1')).toMatchObject({
      name: 'Stool',
      description: 'Low, "round"',
      price: { amountMinor: 4_900, currency: 'EUR' },
    });
  });

  test('takes the columns in any order', async () => {
    const { body } = await importFile('currency,price_minor,sku,description,name\nEUR,5,A,,Nail\n');
    expect(body).toEqual({ created: 1, updated: 0 });
  });

  test('writes nothing if one row is wrong, and says what is wrong in which row', async () => {
    const file = [
      header,
      'GOOD-1,Good,,100,EUR',
      'BAD 1,Blank in the SKU,,100,EUR',
      'BAD-2,,No name,100,EUR',
      'BAD-3,Price,,1.50,EUR',
      'BAD-4,Price,,0,EUR',
      'BAD-5,Currency,,100,EURO',
      'BAD-6,Currency,,100,ZZZ',
      'BAD-7,Cells,,100',
      'GOOD-1,Twice,,100,EUR',
      '=cmd(),Formula,,100,EUR',
      'BAD-8,Direction \u202e,,100,EUR',
    ].join('\n');
    const { status, body } = await importFile(file);
    expect([status, body.code]).toEqual([422, 'import_rejected']);
    expect(body.rows.map(({ row, field }: { row: number; field: string }) => [row, field])).toEqual([
      [3, 'sku'],
      [4, 'name'],
      [5, 'price_minor'],
      [6, 'price_minor'],
      [7, 'currency'],
      [8, 'currency'],
      [9, ''],
      [10, 'sku'],
      [11, 'sku'],
      [12, 'name'],
    ]);
    expect(await countProducts()).toBe(0);
  });

  test.each([
    ['no rows', header],
    ['no header', 'A,Nail,,100,EUR\n'],
    ['a column too many', `${header},role\nA,Nail,,100,EUR,operator\n`],
    ['a column twice', 'sku,sku,name,description,price_minor\nA,A,Nail,,100\n'],
    ['quotes that do not end', `${header}\n"A,Nail,,100,EUR\n`],
    ['too many rows', `${header}\n${Array.from({ length: 5_001 }, (_, n) => `A${n},Nail,,1,EUR`).join('\n')}`],
    ['something else altogether', '{"sku":"A"}'],
  ])('refuses a file with %s', async (_what, file) => {
    const { status, body } = await importFile(file);
    expect([status, body.code]).toEqual([422, 'import_rejected']);
    expect(body.rows.length).toBeGreaterThan(0);
    expect(await countProducts()).toBe(0);
  });

  const send = (bytes: Uint8Array, encoding = '', type = 'application/octet-stream') =>
    api.call(`POST /products/import${encoding && `?encoding=${encoding}`}`, {
      bytes,
      token: operator,
      headers: { 'content-type': type },
    });
  const stored = async () => {
    const { body } = await api.call('GET /products?limit=100');
    const items = body.items as { sku: string; name: string; description: string; price: { amountMinor: number } }[];
    return items
      .map(({ sku, name, description, price }) => [sku, name, description, price.amountMinor])
      .sort((one, other) => (String(one[0]) < String(other[0]) ? -1 : 1));
  };
  const two = [
    ['A', 'Nail', 'Short.\nSharp.', 100],
    ['B', 'Chair', '', 4_900],
  ];

  test.each([
    [
      'rows of empty cells at its end',
      `${header}\nA,Nail,"Short.\nSharp.",100,EUR\nB,Chair,,4900,EUR\n,,,,\n , ,\t, ,\n,,,,\n`,
    ],
    ['rows of empty cells between', `\n,,,,\n${header}\n,,,,\nA,Nail,"Short.\nSharp.",100,EUR\n,\nB,Chair,,4900,EUR`],
    [
      'empty columns at its end',
      `${header},,,\nA,Nail,"Short.\nSharp.",100,EUR,,,\nB,Chair,,4900,EUR,,,,,,\n,,,,,,,\n`,
    ],
    [
      'a description at the end of which Excel has left the empty cells out',
      'sku,name,price_minor,currency,description\nA,Nail,100,EUR,"Short.\nSharp."\nB,Chair,4900,EUR\n',
    ],
    [
      'line breaks of Windows, also inside quotes',
      `${header}\r\nA,Nail,"Short.\r\nSharp.",100,EUR\r\nB,Chair,,4900,EUR\r\n`,
    ],
    ['line breaks of two kinds', `${header}\r\nA,Nail,"Short.\nSharp.",100,EUR\nB,Chair,,4900,EUR\r\n`],
    [
      'blanks around cells',
      ` sku , Name,description ,price_minor,\u00a0currency\nA ,Nail  , "Short.\nSharp." ,100 ,EUR\n B," Chair ",,4900, EUR\n`,
    ],
    ['semicolons', `${header.replaceAll(',', ';')}\nA;Nail;"Short.\nSharp.";100;EUR\nB;Chair;;4900;EUR\n;;;;\n`],
    ['tabs', `${header.replaceAll(',', '\t')}\nA\tNail\t"Short.\nSharp."\t100\tEUR\nB\tChair\t\t4900\tEUR\n\t\t\t\t\n`],
    [
      'prices in major units',
      `${header.replace('price_minor', 'price')}\nA,Nail,"Short.\nSharp.",1,EUR\nB,Chair,,49.00,EUR\n`,
    ],
  ])('S4: takes a file with %s', async (_what, file) => {
    expect((await importFile(file)).body).toEqual({ created: 2, updated: 0 });
    expect(await stored()).toEqual(two);
  });

  test('S4: a cell may hold what separates cells in other files', async () => {
    await importFile(`${header}\nA,Nail,Short; sharp\tand cheap,100,EUR\n`);
    await importFile(`${header.replaceAll(',', ';')}\nB;Nail;Short, sharp;100;EUR\n`);
    expect((await stored()).map(([, , description]) => description)).toEqual([
      'Short; sharp\tand cheap',
      'Short, sharp',
    ]);
  });

  test('S4, M7: a price in major units is worth what ISO 4217 says', async () => {
    const rows = ['A,A,,1000,HUF', 'B,B,,1000,JPY', 'C,C,,1.5,KWD', 'D,D,,0.0001,CLF', 'E,E,,12.5,EUR'];
    await importFile([header.replace('price_minor', 'price'), ...rows].join('\n'));
    expect((await stored()).map(([sku, , , minor]) => [sku, minor])).toEqual([
      ['A', 100_000],
      ['B', 1_000],
      ['C', 1_500],
      ['D', 1],
      ['E', 1_250],
    ]);
  });

  test('S4: says what is wrong with a price in major units', async () => {
    const rows = ['A,A,,12.5,JPY', 'B,B,,12.345,EUR', 'C,C,,"1,000.00",EUR', 'D,D,,€5,EUR', 'E,E,,0,EUR', 'F,F,,,EUR'];
    const { body } = await importFile([header.replace('price_minor', 'price'), ...rows].join('\n'));
    expect(body.rows.map(({ row, field }: { row: number; field: string }) => [row, field])).toEqual(
      rows.map((_, index) => [index + 2, 'price']),
    );
    // How many digits the currency has, if it has any.
    expect(body.rows.map(({ message }: { message: string }) => /\d/.exec(message)?.[0])).toEqual([
      undefined,
      ...Array.from({ length: 5 }, () => '2'),
    ]);
    expect(await countProducts()).toBe(0);
  });

  const korean = `${header}\nA,의자,"튼튼한\n의자",100,KRW\n`;
  const utf16 = (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le');
  // The name in CP949: a syllable of the KS X 1001 table, and one that only CP949 has.
  const cp949 = Buffer.concat([
    Buffer.from(`${header}\nA,`),
    Buffer.from([0xc0, 0xc7, 0xc0, 0xda, 0x8c, 0x63]),
    Buffer.from(',,100,KRW\n'),
  ]);

  test.each([
    ['UTF-8', Buffer.from(korean)],
    ['UTF-8 with a byte order mark', Buffer.from(`\ufeff${korean}`)],
    ['UTF-16 as Windows writes it', utf16(korean)],
    ['UTF-16, the other way round', utf16(korean).swap16()],
    ['UTF-16 with tabs, as Excel calls it Unicode text', utf16(korean.replaceAll(',', '\t'))],
    ['UTF-16 without a byte order mark', utf16(korean).subarray(2)],
    ['UTF-16 without a byte order mark, the other way round', utf16(korean).subarray(2).swap16()],
    ['UTF-16 that begins with a line for its separator', utf16(`sep=;\r\n${korean.replaceAll(',', ';')}`)],
  ])('S4: takes bytes in %s', async (_what, bytes) => {
    expect((await send(bytes)).body).toEqual({ created: 1, updated: 0 });
    expect(await stored()).toEqual([['A', '의자', '튼튼한\n의자', 100]]);
  });

  test('S4: takes CP949 by choice, and a byte order mark is believed before the choice', async () => {
    expect((await send(cp949, 'cp949')).body).toEqual({ created: 1, updated: 0 });
    expect(await stored()).toEqual([['A', '의자똠', '', 100]]);
    expect((await send(utf16(korean), 'cp949')).body).toEqual({ created: 0, updated: 1 });
  });

  test('S4: a file in another encoding than it is said to be is refused with a way to save it', async () => {
    const malformed = [await send(cp949, '', 'text/csv'), await importFile(cp949.toString('utf8'))];
    // Bytes are whatever they are; that they are text in some encoding is what the caller says of them.
    const mistaken = [
      await send(cp949),
      await send(cp949, 'utf-8'),
      await send(Buffer.from([0xff, 0xfe, 0x00, 0xd8, 0x41]), ''),
      await send(Buffer.from([0x41, 0x81, 0x20, 0xff]), 'cp949'),
    ];
    for (const { status, body } of malformed) expect([status, body.code]).toEqual([400, 'invalid_input']);
    for (const { status, body } of mistaken) expect([status, body.code]).toEqual([422, 'unprocessable']);
    for (const { body } of [...malformed, ...mistaken]) {
      for (const way of [bytesType, 'encoding=cp949']) expect(body.detail).toContain(way);
    }
    expect((await send(cp949, 'latin1')).body.code).toBe('invalid_input');
    expect(await countProducts()).toBe(0);
  });

  const separatedBy = (separator: string) =>
    [header.split(','), ['A', '"Nail; long"', '', '100', 'EUR'], ['B', 'Chair', '"1,2"', '250', 'EUR']]
      .map(
        (cells) => `${cells.join(separator)}
`,
      )
      .join('');
  test.each([
    ['sep=; and LF', `sep=;\n${separatedBy(';')}`],
    ['sep=; and CRLF', `sep=;\r\n${separatedBy(';').replaceAll('\n', '\r\n')}`],
    ['a byte order mark before it', `\ufeffsep=;\n${separatedBy(';')}`],
    ['capitals, and a comma', `SEP=,\n${separatedBy(',')}`],
    ['a tab', `sep=\t\n${separatedBy('\t')}`],
    ['a separator that is not detected by itself', `sep=|\n${separatedBy('|')}`],
    ['the line as a cell, saved with commas', `sep=;,,,,\n${separatedBy(',')}`],
    ['the line as a quoted cell, saved with semicolons', `"sep=;";;;;\n${separatedBy(';')}`],
  ])('S4: understands a first line that names the separator: %s', async (_what, file) => {
    expect((await importFile(file)).body).toEqual({ created: 2, updated: 0 });
    expect(await stored()).toEqual([
      ['A', 'Nail; long', '', 100],
      ['B', 'Chair', '1,2', 250],
    ]);
  });

  test('S4: a line that names the separator is not counted as a row, as in Excel', async () => {
    const { status, body } = await importFile(`sep=;\n${header.replaceAll(',', ';')}\nA;Nail;;0;EUR\n`);
    expect([status, body.code]).toEqual([422, 'import_rejected']);
    expect(body.rows).toMatchObject([{ row: 2, field: 'price_minor' }]);
  });

  test.each([
    ['no header', 'A,Nail,,100,EUR\n', 1],
    ['a quote that does not end', `${header}\nA,"Nail,,100,EUR\n`, 2],
    ['a quote in a cell', `${header}\nA,Screen 15" wide,,100,EUR\n`, 2],
    ['another separator than its first line names', `sep=;\n${header}\nA,Nail,,100,EUR\n`, 1],
    ['nothing but a line for its separator', 'sep=;\n', 1],
    ['a cell too many', `${header}\nA,Nail,Short, sharp,100,EUR\n`, 2],
  ])(
    'S4: a file with %s is refused as a whole, with the row and the columns that it must have',
    async (_what, file, row) => {
      const { status, body } = await importFile(file);
      expect([status, body.code]).toEqual([422, 'import_rejected']);
      expect(body.rows).toEqual([{ row, field: '', message: expect.any(String) }]);
      for (const column of header.split(',')) expect(body.detail).toContain(column);
      expect(await countProducts()).toBe(0);
    },
  );

  test('S4: rows are counted as a spreadsheet shows them, whatever is in between', async () => {
    const file = `${header}\n,,,,\nA,Nail,"Short.\nSharp.",100,EUR\n\nB,Chair,,0,EUR\n`;
    expect((await importFile(file)).body.rows).toMatchObject([{ row: 5, field: 'price_minor' }]);
  });

  test('two at once leave each product once', async () => {
    const rows = (price: number) => Array.from({ length: 800 }, (_, n) => `P-${n},Product ${n},,${price},EUR`);
    const [one, other] = await Promise.all([
      importFile([header, ...rows(1)].join('\n')),
      importFile([header, ...rows(2).reverse()].join('\n')),
    ]);
    expect([one.status, other.status]).toEqual([200, 200]);
    const prices = await deps.db.rows<{ price: number; n: number }>(
      'SELECT price_minor AS price, COUNT(*) AS n FROM products GROUP BY price_minor',
    );
    expect(prices.map(({ n }) => n).reduce((sum, n) => sum + n)).toBe(800);
  });

  test.each(['"', ','])('the cost of a file of nothing but %s grows with its length, not with its square', (mark) => {
    const cost = (length: number): number => {
      const before = process.cpuUsage();
      readRows(`${header}\n${mark.repeat(length)}`);
      const { user, system } = process.cpuUsage(before);
      return user + system;
    };
    // The first call compiles the code.
    cost(100_000);
    const small = cost(100_000);
    // Ten times the length takes about ten times as long; it would be a hundred times with a square in it.
    expect(cost(1_000_000) / small).toBeLessThan(40);
  });
});
