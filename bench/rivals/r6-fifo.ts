/**
 * R6: our own engine behind a FIFO queue, whose message group is the sale: at most ten messages in a batch, all of one
 * sale, and never two batches of a sale at once.
 */

import { acknowledged, type Contestant } from '../contestant.ts';
import { ours } from '../ours.ts';
import type { Request } from '../workload.ts';

export const fifo: Contestant = {
  name: 'r6-fifo',
  title: 'R6 our engine behind a FIFO queue (10 messages, one batch of a sale at a time)',
  mirror: 'holdfast',
  stock: 'counters',
  batch: 10,
  workers: [1, 4, 16],
  async open(ground) {
    const engine = await ours.open(ground);
    const busy = new Map<string, Promise<unknown>>();
    return {
      reset: engine.reset,
      async handle(requests) {
        const groups = Map.groupBy(requests, (request) => request.saleId);
        await Promise.all(
          [...groups].map(([saleId, group]) => {
            const mine = (busy.get(saleId) ?? Promise.resolve()).then(() => handleGroup(group));
            busy.set(saleId, mine);
            return mine;
          }),
        );
        return acknowledged;
      },
      close: engine.close,
    };

    async function handleGroup(group: Request[]): Promise<void> {
      const repeat = await engine.handle(group, engine.deliver?.(group));
      if (repeat.length > 0) await handleGroup([...repeat]);
    }
  },
};
