/** The controls fit the code and the matrix: each has its place to plant a fault at, and each row has a control. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '#local/state-folder.ts';
import { typeErrors } from '../support/planted.ts';
import { controls, placebo } from './controls.ts';
import { matrix } from './matrix.ts';

test.each(controls.map((control) => [control.name, control] as const))('%s can be planted', (_, { edits }) => {
  for (const { file, find } of [...edits, placebo]) {
    expect(readFileSync(join(projectRoot, file), 'utf8').split(find).length - 1).toBe(1);
  }
});

test('what is planted still fits together', () => {
  expect(typeErrors('chaos', controls)).toBe('');
}, 60_000);

test('every row has a control, every control a row, and no two a name', () => {
  const rows = matrix.map(({ name }) => name);
  const controlled = new Set(controls.map(({ row }) => row));
  expect(rows.filter((name) => !controlled.has(name))).toEqual([]);
  expect([...controlled].filter((name) => !rows.includes(name))).toEqual([]);
  expect(new Set(controls.map(({ name }) => name)).size).toBe(controls.length);
});

test('the matrix has all 39 faults', () => {
  expect([...new Set(matrix.map(({ number }) => number))]).toEqual(Array.from({ length: 39 }, (_, index) => index + 1));
});
