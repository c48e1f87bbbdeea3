/** The controls fit the code: each has its places to plant a fault at, and no two have a name. */
import { unplantable } from '../support/unplantable.ts';
import { controls } from './controls.ts';
import { allMigrations } from './world/migrations.ts';
import { parseTables } from './world/sql.ts';

test('every fault can be planted', () => {
  expect(controls.filter(({ faults }) => faults.length === 0)).toEqual([]);
  expect(unplantable('test/model/controls.ts')).toEqual([]);
}, 60_000);

test('every constraint that a control drops is one that the migrations make', () => {
  const tables = parseTables(allMigrations());
  const dropped = controls.flatMap(({ without }) => without ?? []);
  expect(dropped.length).toBeGreaterThan(0);
  for (const { table, constraint } of dropped)
    expect(tables.find(({ name }) => name === table)?.checks.map(({ name }) => name)).toContain(constraint);
});

test('names are unique', () => {
  expect(new Set(controls.map(({ name }) => name)).size).toBe(controls.length);
});
