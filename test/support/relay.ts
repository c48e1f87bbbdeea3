/**
 * A relay as a process of its own, for tests that run two of them or kill one:
 *
 *   node test/support/relay.ts [--die-after-publish]
 *
 * Sweeps the outbox of the registry in its environment once, as if a minute had passed, and prints how many events the bus
 * took. With --die-after-publish it kills itself, as kill -9 would, when the bus has taken the first page and before the
 * rows are deleted: the moment at which an event is both published and still in the outbox.
 */
import { sweepOutbox } from '#events/outbox.ts';
import type { Bus } from '#platform/aws/eventbridge.ts';
import { openDeps } from '#platform/environment/deps.ts';
import { loadRegistry } from '#platform/environment/discovery.ts';
import { withDeps } from './deps.ts';

const deps = openDeps(await loadRegistry());
const mortal: Bus = {
  async publish(events) {
    await deps.bus.publish(events);
    process.kill(process.pid, 'SIGKILL');
    return new Promise(() => undefined);
  },
};
const clock = () => Date.now() + 60_000;
const bus = process.argv.includes('--die-after-publish') ? mortal : deps.bus;
const published = await sweepOutbox(withDeps(deps, { clock, bus }), clock() + 20_000);
process.stdout.write(`${published}\n`);
await deps.close();
