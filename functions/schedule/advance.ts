/** Every minute, at boundaries, and when units were released: the side effects of time. */

import { AdvanceTrigger, advance } from '#launch/advance.ts';
import { queueHandler } from '#platform/handlers/queue.ts';
import { inventoryPorts } from '#reservation/release.ports.ts';

export const handler = queueHandler({
  message: AdvanceTrigger,
  run: (deps, batch, deadlineMs) => advance(deps, inventoryPorts(deps), batch, deadlineMs),
});
