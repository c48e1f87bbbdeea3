import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { routes } from '#functions/http/routes.ts';
import { isAtLeast } from '#platform/security/roles.ts';

/** What a list that the console shows has told already. */
const toldByLists = ['GET /ops/reconciliations/{reconciliationId}', 'GET /webhook-endpoints/{endpointId}'];

test('the console calls all that the API has for operators', () => {
  const folder = import.meta.dirname;
  const source = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.tsx?$/.test(name) && !name.endsWith('.test.ts'))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join();
  const forOperators = Object.values(routes).filter(
    ({ auth }) => auth !== 'none' && auth !== 'optional' && isAtLeast(auth, 'viewer'),
  );
  expect(forOperators.length).toBeGreaterThan(40);
  const uncalled = forOperators
    .filter(({ method, path }) => !source.includes(`.${method}('${path}'`))
    .map(({ method, path }) => `${method} ${path}`);
  expect(uncalled.sort()).toEqual(toldByLists);
});
