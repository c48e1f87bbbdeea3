/**
 * Plants all faults of a list at once, loads everything that they name, and prints as JSON the places that could not be
 * reached. A process of its own, since faults are planted before anything shipped is loaded. Called by the tests of the
 * controls: `node test/support/plantable.ts FILE`, where FILE exports the list as `allFaults`.
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Planted, plant } from './plant.ts';

const [file = ''] = process.argv.slice(2);
const { allFaults } = (await import(pathToFileURL(resolve(file)).href)) as { allFaults: readonly Planted[] };
const notPlanted = await plant(allFaults);
const problems: string[] = [];
for (const fault of allFaults) {
  if (fault.kind !== 'module') continue;
  await fault.module().catch((error: Error) => problems.push(`${error.message}: ${error.cause}`));
}
const { luaSource } = await import('#platform/redis/redis.ts');
for (const fault of allFaults) {
  if (fault.kind !== 'lua') continue;
  try {
    luaSource(new URL(`../../${fault.script}`, import.meta.url).href, import.meta.url);
  } catch (error) {
    problems.push((error as Error).message);
  }
}
process.stdout.write(JSON.stringify([...new Set([...problems, ...notPlanted()])]));
process.exit();
