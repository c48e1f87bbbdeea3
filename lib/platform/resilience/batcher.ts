/**
 * Asking together: what is asked for while an answer is under way goes with the next question.
 *
 * Where an environment serves one request at a time nothing ever waits; where it serves many, the cost of a round trip is
 * shared by as many as came meanwhile. Called by whoever asks the same of the same server for every request.
 */

/**
 * Returns a function that hands its item to `ask`, alone if nothing is under way, otherwise with up to `atMost` others
 * when the answer to those before has come. `ask` answers in the order of its items, with an error in the place of an
 * answer for an item that has none. If it throws, everyone who was waiting behind it gets the same error: whoever asks
 * together has lost the server together, and nobody waits for it twice.
 */
export function together<Item, Answer>(
  atMost: number,
  ask: (items: Item[]) => Promise<(Answer | Error)[]>,
): (item: Item) => Promise<Answer> {
  interface Waiting {
    readonly item: Item;
    resolve(answer: Answer): void;
    reject(error: unknown): void;
  }
  let waiting: Waiting[] = [];
  let underWay = false;

  async function askAll(): Promise<void> {
    underWay = true;
    for (let alone = true; waiting.length > 0; alone = false) {
      // Whoever comes in this turn of the event loop comes along.
      if (!alone) await new Promise((resolve) => setImmediate(resolve));
      const group = waiting.length > atMost ? waiting.slice(0, atMost) : waiting;
      waiting = waiting.slice(group.length);
      try {
        const answers = await ask(group.map(({ item }) => item));
        group.forEach(({ resolve, reject }, index) => {
          const answer = answers[index];
          if (answer === undefined || answer instanceof Error) reject(answer ?? new Error('no answer'));
          else resolve(answer);
        });
      } catch (error) {
        const behind = waiting;
        waiting = [];
        for (const { reject } of [...group, ...behind]) reject(error);
      }
    }
    underWay = false;
  }

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (!underWay) void askAll();
    });
}
