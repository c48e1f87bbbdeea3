import { together } from './batcher.ts';

/** A server that answers only when it is told to, and remembers what it was asked. */
function slowServer() {
  const asked: number[][] = [];
  const open: { answer(): void; fail(error: Error): void }[] = [];
  const ask = (items: number[]) =>
    new Promise<(number | Error)[]>((resolve, reject) => {
      asked.push(items);
      open.push({
        answer: () => resolve(items.map((item) => (item < 0 ? new Error('odd') : 10 * item))),
        fail: reject,
      });
    });
  const turn = async () => {
    for (let n = 0; n < 2; n++) await new Promise((resolve) => setImmediate(resolve));
  };
  return {
    asked,
    ask,
    answer: async () => {
      open.shift()?.answer();
      await turn();
    },
    fail: async (error: Error) => {
      open.shift()?.fail(error);
      await turn();
    },
  };
}

test('one that comes alone is asked for at once, and those that come meanwhile together', async () => {
  const server = slowServer();
  const ask = together(3, server.ask);
  const answers = Promise.all([1, 2, 3, 4, 5].map(ask));
  expect(server.asked).toEqual([[1]]);
  await server.answer();
  expect(server.asked).toEqual([[1], [2, 3, 4]]);
  await server.answer();
  await server.answer();
  expect(server.asked).toEqual([[1], [2, 3, 4], [5]]);
  expect(await answers).toEqual([10, 20, 30, 40, 50]);
  const next = ask(6);
  expect(server.asked.at(-1)).toEqual([6]);
  await server.answer();
  expect(await next).toBe(60);
});

test('an error in the place of an answer is for one alone', async () => {
  const server = slowServer();
  const ask = together(10, server.ask);
  const answers = Promise.allSettled([1, -2, 3].map(ask));
  await server.answer();
  await server.answer();
  expect((await answers).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
});

test('a server that is lost is lost for everyone who waits, and asked again by the next', async () => {
  const server = slowServer();
  const ask = together(10, server.ask);
  const answers = Promise.allSettled([1, 2, 3].map(ask));
  await server.fail(new Error('gone'));
  expect((await answers).map((one) => (one as PromiseRejectedResult).reason.message)).toEqual(['gone', 'gone', 'gone']);
  expect(server.asked).toEqual([[1]]);
  const next = ask(4);
  await server.answer();
  expect(await next).toBe(40);
});
