/** The controls fit the code: each has its place to plant a fault at, and no two have a name. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '#local/state-folder.ts';
import { typeErrors } from '../support/planted.ts';
import { controls } from './controls.ts';

test.each(controls.map((control) => [control.name, control] as const))('%s can be planted', (_, { edits }) => {
  for (const { file, find } of edits) {
    expect(readFileSync(join(projectRoot, file), 'utf8').split(find).length - 1).toBe(1);
  }
});

test('what is planted still fits together', () => {
  expect(typeErrors('model', controls)).toBe('');
}, 60_000);

test('no two have a name', () => {
  expect(new Set(controls.map(({ name }) => name)).size).toBe(controls.length);
});
