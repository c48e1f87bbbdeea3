/** The kept figures show what is promised, and the pages have the same figures. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '#local/state-folder.ts';
import { controls } from './controls.ts';
import { page, pageOf, readKept, shortcomingsOf, summaryPage, summaryWith } from './kept.ts';

const read = (path: string) => readFileSync(join(projectRoot, path), 'utf8');

/** Every figure of a page: the numbers in the cells of its tables and in its lists, in their order. */
function figuresOf(text: string): string[][] {
  const lines = text.split('\n').filter((line) => /^[|-] /.test(line));
  return lines.map((line) => line.match(/\d[\d,.]*/g) ?? []);
}

/** Rows that came after the kept run. Whoever keeps the next run empties this list, or the test below fails. */
const sinceKept = [
  'asked-without-redis',
  'mysql-read-only',
  'long-job-killed',
  'long-jobs-at-once',
  'operators-at-work',
  'provider-waits-and-refuses',
  'provider-disagrees',
  'queue-a-day-behind',
  'redis-demoted',
  'small-limits',
];

test('the kept run has every older row, nothing was violated in it, and every control was noticed', () => {
  const missing = [
    ...sinceKept.flatMap((name) => [`${name} was not played`, `${name} did not hold`]),
    ...controls.filter(({ row }) => sinceKept.includes(row)).map(({ name }) => `${name} was not noticed`),
  ];
  expect(shortcomingsOf(readKept()).sort()).toEqual(missing.sort());
});

test('the pages have the kept figures', () => {
  expect(figuresOf(read(page))).toEqual(figuresOf(pageOf(readKept())));
  expect(figuresOf(read(summaryPage))).toEqual(figuresOf(summaryWith(readKept())));
});
