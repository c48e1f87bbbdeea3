/** The ports of the release verbs, over the real MySQL, Redis and EventBridge. */
import { publishEvents } from '../events/outbox.ts';
import type { Deps } from '../platform/deps.ts';
import { refreshMirror } from '../reservation/mirror.ts';
import type { InventoryPorts } from './release.ts';
import { inventoryStore } from './store.ts';

/** What cancelling, expiring, offering and adjusting need. */
export function inventoryPorts(deps: Deps): InventoryPorts {
  return {
    clock: deps.clock,
    store: inventoryStore(deps.db),
    mirror: (stocks, reservations) => refreshMirror(deps, stocks, reservations),
    publish: (events) => publishEvents(deps.db, deps.bus, events),
  };
}
