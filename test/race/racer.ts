/**
 * One racing process: so many buyers of one unit each, every one in a batch of its own, as many batches at once as a
 * process has connections.
 *
 *   racer.ts <sale id> <buyers> locked|unlocked|unguarded
 */
import { openDeps } from '#platform/environment/deps.ts';
import { loadRegistry } from '#platform/environment/discovery.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { allocateBatch } from '#reservation/allocate.ts';
import { noLock } from '#test/support/no-lock.ts';
import { withDeps } from '../support/deps.ts';
import { asId } from '../support/ids.ts';
import { delivered, soon } from '../support/sales.ts';
import { unguarded } from './unguarded.ts';

const batchesAtOnce = 10;

const [saleId = '', buyers = '0', mode] = process.argv.slice(2);
const deps = openDeps(await loadRegistry(), {
  bus: { publish: async (events) => events.map(() => true) },
  ...(mode === 'locked' ? {} : { lock: noLock }),
});
await redisReady(deps.redis);
const racing = mode === 'unguarded' ? withDeps(deps, { db: unguarded(deps.db) }) : deps;

process.send?.('ready');
await new Promise((resolve) => process.once('message', resolve));
let left = Number(buyers);
let decided = 0;
let faults = 0;
const one = () =>
  allocateBatch(racing, [delivered(asId(saleId))], soon()).then(
    () => decided++,
    () => faults++,
  );
await Promise.all(
  Array.from({ length: batchesAtOnce }, async () => {
    while (left-- > 0) await one();
  }),
);
process.send?.({ decided, faults });
await deps.close();
