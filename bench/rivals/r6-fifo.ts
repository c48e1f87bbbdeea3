/**
 * R6: our own engine behind a FIFO queue, whose message group is the sale: at most ten messages in a batch, of
 * any sales, and never two batches with messages of one sale at once.
 */

import { acknowledged, type Contender } from '../contender.ts';
import { ours } from '../ours.ts';
import type { Request } from '../workload.ts';

export const fifo: Contender = {
  name: 'r6-fifo',
  title: 'R6 our engine behind a FIFO queue (10 messages, one batch of a sale at a time)',
  mirror: 'holdfast',
  stock: 'counters',
  batch: 10,
  lanes: [1, 4, 16],
  oneProcess: true,
  async open(urls) {
    const engine = await ours.open(urls);
    const busy = new Map<string, Promise<unknown>>();
    return {
      reset: engine.reset,
      async handle(requests) {
        const sales = [...new Set(requests.map((request) => request.saleId))];
        const mine = Promise.all(sales.map((saleId) => busy.get(saleId))).then(() => handleBatch(requests));
        for (const saleId of sales) busy.set(saleId, mine);
        await mine;
        return acknowledged;
      },
      close: engine.close,
    };

    async function handleBatch(batch: readonly Request[]): Promise<void> {
      const repeat = await engine.handle(batch, engine.deliver?.(batch));
      if (repeat.length > 0) await handleBatch(repeat);
    }
  },
};
