/**
 * A deliver worker as a process of its own, for tests that kill it, or take a safeguard out of it:
 *
 *   node test/support/webhook-worker.ts ENDPOINT [--later MS] [--turns N] [--die-before-log] [--without-loopback] [--control NAME]
 *
 * Serves an endpoint of the registry in its environment, as if `--later` milliseconds had passed; with `--turns`, as many times at
 * once. With `--die-before-log` it kills itself, as kill -9 would, when the endpoint has answered and before that is written.
 */
import { parseArgs } from 'node:util';
import type { Db, Tx } from '#platform/mysql/mysql.ts';
import type { EndpointId } from '#webhooks/endpoint.store.ts';
import { inModule, type Planted, plant } from './plant.ts';

/** Faults that each take one safeguard out of delivering. */
const controls: Record<string, Planted> = {
  /** What is claimed counts as delivered before it is sent. */
  'logged-before-sent': inModule(() => import('#webhooks/delivery.store.ts'), {
    claimDue:
      (real) =>
      async (tx, endpointId, ...more) => {
        const claimed = await real(tx, endpointId, ...more);
        await tx.change(`UPDATE webhook_deliveries SET state = 'delivered' WHERE attempts > 0`);
        return claimed;
      },
  }),
  /** Every address counts as public. */
  'any-address': inModule(() => import('#platform/security/public-address.ts'), { isPublicAddress: () => () => true }),
  /** Every worker has the turn at an endpoint. */
  'no-turns': inModule(() => import('#webhooks/endpoint.store.ts'), { takeTurn: () => async () => true }),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    later: { type: 'string', default: '0' },
    turns: { type: 'string', default: '1' },
    control: { type: 'string' },
    'die-before-log': { type: 'boolean', default: false },
    'without-loopback': { type: 'boolean', default: false },
  },
});
const control = values.control === undefined ? undefined : controls[values.control];
if (values.control !== undefined && !control) throw new Error(`there is no control ${values.control}`);
const notPlanted = control ? await plant([control]) : () => [];

const { openDeps } = await import('#platform/environment/deps.ts');
const { loadRegistry } = await import('#platform/environment/discovery.ts');
const { loopbackName } = await import('#platform/kernel/registry.ts');
const { redisReady } = await import('#platform/redis/redis.ts');
const { serveEndpoint } = await import('#webhooks/send-due.ts');
const { withDeps } = await import('./deps.ts');

const { [loopbackName]: loopback, ...registry } = await loadRegistry();
const deps = openDeps(
  values['without-loopback'] || loopback === undefined ? registry : { ...registry, [loopbackName]: loopback },
);
await redisReady(deps.redis);
const clock = () => Date.now() + Number(values.later);

/** Kills the process at the statement that writes the outcome of an attempt. */
function mortal(db: Db): Db {
  const dying = (tx: Tx): Tx => ({
    ...tx,
    change: (sql, given) => {
      if (/SET state = \?, attempts = \?/.test(sql)) process.kill(process.pid, 'SIGKILL');
      return tx.change(sql, given);
    },
  });
  return { ...db, transaction: (work) => db.transaction((tx) => work(dying(tx))) };
}

const working = withDeps(deps, { clock, ...(values['die-before-log'] ? { db: mortal(deps.db) } : {}) });
const [endpointId] = positionals as EndpointId[];
if (!endpointId) throw new Error('name an endpoint');
const turns = Array.from({ length: Number(values.turns) }, () => serveEndpoint(working, endpointId, clock() + 60_000));
await Promise.all(turns);
const missing = notPlanted();
if (missing.length > 0) throw new Error(`not planted: ${missing.join(', ')}`);
process.exit(0);
