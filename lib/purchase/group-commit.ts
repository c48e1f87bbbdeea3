/**
 * Group commit: what is asked for while one run is under way goes together in the next.
 *
 * Answers of the provider come one by one and a transaction for each would be paid in full by everybody; waiting for the
 * slowest would be paid in time. So the first to come is settled at once and those that come meanwhile share the next.
 */

/**
 * Returns a function that hands its item to `run`, together with whatever else was waiting. If a run of several fails,
 * each of its items is run alone, so that one that cannot be done does not hold up the others. Resolves when the item
 * is done, and throws what its own run threw.
 */
export function gather<Item, Result>(run: (items: Item[]) => Promise<Result>): (item: Item) => Promise<Result> {
  interface Waiting {
    readonly item: Item;
    resolve(result: Result): void;
    reject(error: unknown): void;
  }
  let waiting: Waiting[] = [];
  let running = false;

  async function runAll(): Promise<void> {
    running = true;
    while (waiting.length > 0) {
      const group = waiting;
      waiting = [];
      try {
        const result = await run(group.map(({ item }) => item));
        for (const { resolve } of group) resolve(result);
      } catch (error) {
        if (group.length === 1) group[0]?.reject(error);
        else for (const { item, resolve, reject } of group) await run([item]).then(resolve, reject);
      }
    }
    running = false;
  }

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (!running) void runAll();
    });
}
