import * as z from 'zod';
import { isRefusal } from '#platform/kernel/errors.ts';
import { PageQuery, readCursor, toPage } from './pagination.ts';

const Position = z.tuple([z.int(), z.string()]);
const rows = [1, 2, 3, 4, 5].map((n) => ({ n, id: `id-${n}` }));
const pageAfter = (list: string, after: number, limit: number) =>
  toPage(
    list,
    rows.filter((row) => row.n > after).slice(0, limit + 1),
    limit,
    (row) => [row.n, row.id],
    (row) => row.n,
  );

describe('cursor pagination', () => {
  test('walks a list to its end, every row once', () => {
    const seen: number[] = [];
    let cursor: string | undefined;
    do {
      const position = readCursor('rows', cursor, Position);
      if (isRefusal(position)) throw new Error('refused');
      const page = pageAfter('rows', position?.[0] ?? 0, 2);
      seen.push(...page.items);
      cursor = page.nextCursor ?? undefined;
    } while (cursor);
    expect(seen).toEqual([1, 2, 3, 4, 5]);
  });

  test('a page that ends exactly at the end has no next cursor', () => {
    expect(pageAfter('rows', 3, 2)).toEqual({ items: [4, 5], nextCursor: null });
    expect(pageAfter('rows', 5, 2)).toEqual({ items: [], nextCursor: null });
  });

  test('refuses a cursor that was altered, cut, padded, made up, or taken from another list', () => {
    const cursor = pageAfter('rows', 0, 2).nextCursor ?? '';
    const altered = (cursor.startsWith('A') ? 'B' : 'A') + cursor.slice(1);
    const forged = Buffer.from(`12345678${JSON.stringify([1, 'id-1'])}`).toString('base64url');
    for (const bad of [
      '',
      altered,
      cursor.slice(0, -2),
      `${cursor}=`,
      `${cursor} `,
      forged,
      '[1]',
      '💥',
      '../',
      '\0',
    ]) {
      expect(readCursor('rows', bad, Position)).toMatchObject({ refused: 'unprocessable' });
    }
    expect(readCursor('others', cursor, Position)).toMatchObject({ refused: 'unprocessable' });
    expect(readCursor('rows', cursor, z.tuple([z.string()]))).toMatchObject({ refused: 'unprocessable' });
  });

  test('takes a limit from 1 to 100 and nothing that merely converts to one', () => {
    expect(PageQuery.parse({})).toEqual({ limit: 20 });
    expect(PageQuery.parse({ limit: '100' })).toEqual({ limit: 100 });
    for (const limit of ['0', '-1', '101', '1.5', '1e1', '0x10', ' 5', '', 'ten', '5,6', '05']) {
      expect(PageQuery.safeParse({ limit }).success).toBe(false);
    }
    expect(PageQuery.safeParse({ sort: 'id; DROP TABLE sales' }).success).toBe(false);
  });
});
