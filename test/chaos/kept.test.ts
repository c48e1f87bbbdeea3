/** The kept figures show what is promised, and the pages say what the figures say. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '#local/state-folder.ts';
import { page, pageOf, readKept, readmeWith, shortcomingsOf } from './kept.ts';

const read = (path: string) => readFileSync(join(projectRoot, path), 'utf8');

test('the kept run is whole, nothing was violated in it, and every control was noticed', () => {
  expect(shortcomingsOf(readKept())).toEqual([]);
});

test('the pages are made of the kept figures', () => {
  expect(read(page)).toBe(pageOf(readKept()));
  expect(read('README.md')).toBe(readmeWith(readKept()));
});
