/**
 * Batching: items that are submitted one by one are processed together.
 *
 * DataLoader makes the batches, p-limit bounds how many are in flight. While fewer are in flight, a batch starts once all
 * that has arrived was read from the sockets; otherwise it collects items until its turn. So a single item never waits for
 * others, and where many arrive at once (a batch of payments; a host that serves many requests) they share the cost of a
 * round trip or a commit.
 */
import DataLoader from 'dataloader';
import pLimit from 'p-limit';

export interface BatchLimits {
  readonly maxBatchSize: number;
  readonly maxInFlight: number;
}

/**
 * Returns a function that passes its item to `run` in a batch. `run` returns results in the order of its items, with an
 * `Error` in place of the result of an item that failed; if it throws, every item of that batch gets the error.
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
        setImmediate(() =>
          limit(async () => {
            dispatch();
            await underWay.catch(() => undefined);
          }),
        ),
    },
  );
  return (item) => loader.load(item);
}
