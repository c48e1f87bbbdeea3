/** The kept figures show what is promised, and the pages have the same figures. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '#local/state-folder.ts';
import { page, pageOf, readKept, shortcomingsOf, summaryPage, summaryWith } from './kept.ts';

const read = (path: string) => readFileSync(join(projectRoot, path), 'utf8');

/** Every figure of a page: the numbers in the cells of its tables and in its lists, in their order. */
function figuresOf(text: string): string[][] {
  const lines = text.split('\n').filter((line) => /^[|-] /.test(line));
  return lines.map((line) => line.match(/\d[\d,.]*/g) ?? []);
}

test('the kept run has every row, nothing was violated in it, and every control was noticed', () => {
  expect(shortcomingsOf(readKept())).toEqual([]);
});

test('the pages have the kept figures', () => {
  expect(figuresOf(read(page))).toEqual(figuresOf(pageOf(readKept())));
  expect(figuresOf(read(summaryPage))).toEqual(figuresOf(summaryWith(readKept())));
});
