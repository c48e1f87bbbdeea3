/** Queue purchases → payment provider → MySQL: one attempt for each purchase, and its outcome. */
import { queueHandler } from '#platform/handlers/queue.ts';
import { payPurchases } from '#purchase/pay.ts';
import { PayCommand } from '#purchase/purchase.shapes.ts';

export const handler = queueHandler({ message: PayCommand, run: payPurchases });
