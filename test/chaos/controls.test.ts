/** The controls fit the code and the matrix: each has its place to plant a fault at, and each row has a control. */
import { unplantable } from '../support/unplantable.ts';
import { controls } from './controls.ts';
import { matrix } from './matrix.ts';

test('every fault can be planted', () => {
  expect(controls.filter(({ faults }) => faults.length === 0)).toEqual([]);
  expect(unplantable('test/chaos/controls.ts')).toEqual([]);
}, 60_000);

test('every row has a control, every control a row, and names are unique', () => {
  const rows = matrix.map(({ name }) => name);
  const controlled = new Set(controls.map(({ row }) => row));
  expect(rows.filter((name) => !controlled.has(name))).toEqual([]);
  expect([...controlled].filter((name) => !rows.includes(name))).toEqual([]);
  expect(new Set(controls.map(({ name }) => name)).size).toBe(controls.length);
});

test('the matrix has every fault of the list', () => {
  const all = Array.from({ length: 55 }, (_, index) => index + 1);
  expect([...new Set(matrix.map(({ number }) => number))]).toEqual(all);
});
