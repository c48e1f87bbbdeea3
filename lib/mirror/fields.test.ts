/** The scripts and the modules speak of the same fields. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gateFields, partialField, stockFields, stockOfFields, termFields, termVersionFields } from './fields.ts';

const scripts = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.lua'));
const known = new Set<string>([...stockFields, ...termFields, ...termVersionFields, ...gateFields, partialField]);

/** The names that a script gives to commands on the sale's hash. */
function fieldsNamed(script: string): string[] {
  const text = readFileSync(join(import.meta.dirname, script), 'utf8');
  const commands = text.matchAll(/redis\.call\('H\w+', (?:KEYS\[1\]|saleKey),([^)]*)\)/g);
  return [...commands].flatMap(([, names = '']) => [...names.matchAll(/'(\w{2,})'/g)].map(([, name = '']) => name));
}

test.each(scripts)('%s uses only listed fields', (script) => {
  expect(fieldsNamed(script).filter((name) => !known.has(name))).toEqual([]);
});

test('each field is used by a script', () => {
  const named = new Set(scripts.flatMap(fieldsNamed));
  expect([...known].filter((name) => !named.has(name))).toEqual([]);
});

test('stock is read in the order of its fields', () => {
  expect(stockOfFields(['1', '2', '3', '4', '5', '6', null])).toEqual({
    epoch: 1,
    version: 2,
    allotment: 3,
    available: 4,
    allocated: 5,
    sold: 6,
    waitlisted: 0,
  });
});
