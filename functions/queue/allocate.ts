/** Queue reservations → MySQL → mirror: one lock call and one transaction for a batch, any mix of sales and customers. */
import { queueHandler } from '../../lib/platform/queue.ts';
import { allocateBatch } from '../../lib/reservation/allocate.ts';
import { allocationPorts } from '../../lib/reservation/ports.ts';
import { ReserveCommand } from '../../lib/reservation/reservation.shapes.ts';

export const handler = queueHandler({
  message: ReserveCommand,
  run: (deps, batch, deadlineMs) => allocateBatch(allocationPorts(deps), batch, deadlineMs),
});
