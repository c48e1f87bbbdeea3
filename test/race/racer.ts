/**
 * One racing process: so many buyers of one unit each, every one in a batch of its own, all at once.
 *
 *   racer.ts <sale id> <buyers> locked|unlocked|unguarded
 */
import { openDeps } from '../../lib/platform/deps.ts';
import { loadRegistry } from '../../lib/platform/discovery.ts';
import { noLock } from '../../lib/platform/lock.ts';
import { redisReady } from '../../lib/platform/redis.ts';
import { allocateBatch } from '../../lib/reservation/allocate.ts';
import { allocationPorts } from '../../lib/reservation/ports.ts';
import { delivered, soon } from '../support/sales.ts';
import { unguarded } from './unguarded.ts';

const [saleId = '', buyers = '0', mode] = process.argv.slice(2);
const deps = openDeps(await loadRegistry(), {
  bus: { publish: async (events) => events.map(() => true) },
  ...(mode === 'locked' ? {} : { lock: noLock }),
});
await redisReady(deps.redis);
const shipped = allocationPorts(deps);
const ports = mode === 'unguarded' ? { ...shipped, store: unguarded(deps.db) } : shipped;

process.send?.('ready');
await new Promise((resolve) => process.once('message', resolve));
const results = await Promise.allSettled(
  Array.from({ length: Number(buyers) }, () => allocateBatch(ports, [delivered(saleId)], soon())),
);
const decided = results.filter((result) => result.status === 'fulfilled').length;
process.send?.({ decided, faults: results.length - decided });
await deps.close();
