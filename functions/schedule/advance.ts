/** Every minute, at boundaries, and when units were released: the side effects of time. */
import { inventoryPorts } from '../../lib/inventory/ports.ts';
import { queueHandler } from '../../lib/platform/queue.ts';
import { AdvanceTrigger, advance } from '../../lib/sale/advance.ts';

export const handler = queueHandler({
  message: AdvanceTrigger,
  run: (deps, batch, deadlineMs) => advance(deps, inventoryPorts(deps), batch, deadlineMs),
});
