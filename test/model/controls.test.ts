/** The controls fit the code: each fault finds the place where it is planted, and names are unique. */
import { readFileSync } from 'node:fs';
import { unplantable } from '../support/unplantable.ts';
import { controls } from './controls.ts';
import { parseTables } from './world/sql.ts';

test('every fault can be planted', () => {
  expect(controls.filter(({ faults }) => faults.length === 0)).toEqual([]);
  expect(unplantable('test/model/controls.ts')).toEqual([]);
}, 60_000);

test('every constraint that a control drops is one that the migrations make', () => {
  const tables = parseTables(readFileSync(new URL('../../lib/migrations/0000_first.sql', import.meta.url), 'utf8'));
  const dropped = controls.flatMap(({ without }) => without ?? []);
  expect(dropped.length).toBeGreaterThan(0);
  for (const { table, constraint } of dropped)
    expect(tables.find(({ name }) => name === table)?.checks.map(({ name }) => name)).toContain(constraint);
});

test('names are unique', () => {
  expect(new Set(controls.map(({ name }) => name)).size).toBe(controls.length);
});
