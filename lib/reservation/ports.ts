/** The ports of the reservation verbs, over the real MySQL, Redis, SQS and EventBridge. */
import { publishEvents } from '#events/outbox.ts';
import { askGate, returnClaim } from '#mirror/gate.ts';
import { primeMirror } from '#mirror/live-sale.ts';
import { refreshMirror } from '#mirror/mirror.ts';
import type { Deps } from '#platform/environment/deps.ts';
import type { AllocationPorts } from './allocate.ts';
import { openSeen, type Seen } from './recently-decided.ts';
import type { RequestPorts } from './request.ts';
import { allocationStore } from './store.ts';

/** What accepting a request needs. */
export function requestPorts(deps: Deps): RequestPorts {
  return {
    gate: (applicant) => askGate(deps.redis, applicant),
    returnClaim: (applicant) => returnClaim(deps.redis, applicant),
    primeSale: async (saleId) => (await primeMirror(deps, saleId)) !== undefined,
    enqueue: (command) => deps.queue('reservations').send({ body: command }),
  };
}

/** Each environment has its own memory of what it decided, for as long as it lives. */
const seenBy = new WeakMap<Deps, Seen>();

function seenOf(deps: Deps): Seen {
  const seen = seenBy.get(deps) ?? openSeen(deps.clock);
  seenBy.set(deps, seen);
  return seen;
}

/** What the allocate worker needs. */
export function allocationPorts(deps: Deps): AllocationPorts {
  return {
    clock: deps.clock,
    lock: deps.lock,
    store: allocationStore(deps.db),
    seen: seenOf(deps),
    mirror: (stocks, reservations) => refreshMirror(deps, stocks, reservations),
    publish: (events) => publishEvents(deps.db, deps.bus, events),
  };
}
