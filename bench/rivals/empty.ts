/** The yardstick of the queue: a consumer that takes every message and does nothing with it. */
import { acknowledged, type Contender } from '../contender.ts';
import { shippedBatchSize } from '../settings.ts';

export const empty: Contender = {
  name: 'empty',
  title: 'Yardstick: an empty consumer of the same queue',
  mirror: 'none',
  stock: 'nothing-stored',
  batch: shippedBatchSize,
  lanes: [1],
  open: async () => ({
    handle: async () => acknowledged,
    consume: async () => undefined,
    close: async () => undefined,
  }),
};
