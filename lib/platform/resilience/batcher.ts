/**
 * Batching: items that are handed in one by one travel together.
 *
 * DataLoader makes the batches, p-limit says how many are under way. A batch goes at once while fewer than that many are;
 * otherwise it takes in what comes until its turn. So an item that is alone never waits for company, and where many come
 * at once (a batch of payments; a host that serves many requests) the cost of a round trip or a commit is shared.
 */
import DataLoader from 'dataloader';
import pLimit from 'p-limit';

export interface BatchLimits {
  readonly maxBatchSize: number;
  readonly maxInFlight: number;
}

/**
 * Returns a function that hands its item to `run` in a batch. `run` answers in the order of its items, with an error in the
 * place of an answer for an item that has none; if it throws, every item of that batch gets the error.
 */
export function batched<Item, Result>(
  run: (items: readonly Item[]) => Promise<readonly (Result | Error)[]>,
  { maxBatchSize, maxInFlight }: BatchLimits,
): (item: Item) => Promise<Result> {
  const limit = pLimit(maxInFlight);
  let underWay: Promise<unknown> = Promise.resolve();
  const loader = new DataLoader<Item, Result>(
    (items) => {
      const answers = run(items);
      underWay = answers;
      return answers;
    },
    {
      cache: false,
      maxBatchSize,
      batchScheduleFn: (dispatch) =>
        void limit(async () => {
          dispatch();
          await underWay.catch(() => undefined);
        }),
    },
  );
  return (item) => loader.load(item);
}
