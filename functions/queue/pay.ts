/** Queue purchases → payment provider → MySQL: one attempt for each purchase, and what came of it. */
import { queueHandler } from '../../lib/platform/queue.ts';
import { payPurchases } from '../../lib/purchase/pay.ts';
import { purchasePorts } from '../../lib/purchase/ports.ts';
import { PayCommand } from '../../lib/purchase/purchase.shapes.ts';

export const handler = queueHandler({
  message: PayCommand,
  run: (deps, batch, deadlineMs) => payPurchases(purchasePorts(deps), batch, deadlineMs),
});
