/** The ports of the release verbs, over the real MySQL, Redis and EventBridge. */
import { publishEvents } from '#events/outbox.ts';
import { refreshMirror } from '#mirror/mirror.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { inventoryStore } from './release.store.ts';
import type { InventoryPorts } from './release.ts';

/** What cancelling, expiring, offering and adjusting need. */
export function inventoryPorts(deps: Deps): InventoryPorts {
  return {
    clock: deps.clock,
    store: inventoryStore(deps.db),
    mirror: (stocks, reservations) => refreshMirror(deps, stocks, reservations),
    publish: (events) => publishEvents(deps.db, deps.bus, events),
  };
}
