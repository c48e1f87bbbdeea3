/** The package `@holdfast/client` is what the documents of the API give, and brings nothing along. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { purchaseIdOf } from '#client/purchase-id.ts';
import { projectRoot } from '#local/state-folder.ts';
import { type CustomerId, derivedId } from '#platform/kernel/ids.ts';
import { generated } from '../../client/generate.ts';
import { newId } from '../support/ids.ts';

const folder = join(projectRoot, 'client');

test('its generated files are what the documents give; npm run client writes them', async () => {
  for (const [name, text] of Object.entries(await generated())) {
    expect([name, readFileSync(join(folder, 'src', name), 'utf8') === text]).toEqual([name, true]);
  }
}, 120_000);

test('a purchase has the id that it says, before it is made', async () => {
  for (const key of ['order-1', crypto.randomUUID(), '~"?']) {
    const customerId: CustomerId = newId();
    expect(await purchaseIdOf(customerId, key)).toBe(derivedId('purchase', customerId, key));
  }
});

test('it depends on openapi-fetch alone', () => {
  const { dependencies, peerDependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  expect([Object.keys(dependencies), peerDependencies]).toEqual([['openapi-fetch'], undefined]);
});
