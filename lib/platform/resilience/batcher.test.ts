import { setTimeout as sleep } from 'node:timers/promises';
import { batched } from './batcher.ts';

/** A server that answers only when it is told to, and remembers what it was asked. */
function slowServer() {
  const asked: number[][] = [];
  const open: { answer(): void; fail(error: Error): void }[] = [];
  const ask = (items: readonly number[]) =>
    new Promise<(number | Error)[]>((resolve, reject) => {
      asked.push([...items]);
      open.push({
        answer: () => resolve(items.map((item) => (item < 0 ? new Error('odd') : 10 * item))),
        fail: reject,
      });
    });
  const settled = () => sleep(5);
  return {
    asked,
    ask,
    settled,
    answer: async () => {
      open.shift()?.answer();
      await settled();
    },
    fail: async (error: Error) => {
      open.shift()?.fail(error);
      await settled();
    },
  };
}

test('a single item starts at once, and items that arrive meanwhile share the next batches', async () => {
  const server = slowServer();
  const ask = batched(server.ask, { maxBatchSize: 3, maxInFlight: 1 });
  const first = ask(1);
  await server.settled();
  const others = Promise.all([2, 3, 4, 5].map(ask));
  await server.settled();
  expect(server.asked).toEqual([[1]]);
  await server.answer();
  expect(server.asked).toEqual([[1], [2, 3, 4]]);
  await server.answer();
  await server.answer();
  expect(server.asked).toEqual([[1], [2, 3, 4], [5]]);
  expect([await first, ...(await others)]).toEqual([10, 20, 30, 40, 50]);
  const next = ask(6);
  await server.settled();
  expect(server.asked.at(-1)).toEqual([6]);
  await server.answer();
  expect(await next).toBe(60);
});

test('items of one turn of the event loop share a batch, and batches in flight are bounded', async () => {
  const server = slowServer();
  const ask = batched(server.ask, { maxBatchSize: 2, maxInFlight: 2 });
  const answers = Promise.all([1, 2, 3, 4, 5].map(ask));
  await server.settled();
  expect(server.asked).toEqual([
    [1, 2],
    [3, 4],
  ]);
  await server.answer();
  expect(server.asked.at(-1)).toEqual([5]);
  await server.answer();
  await server.answer();
  expect(await answers).toEqual([10, 20, 30, 40, 50]);
});

test('items that come one after the other, as from several sockets, share a batch until all were read', async () => {
  const server = slowServer();
  const ask = batched(server.ask, { maxBatchSize: 10, maxInFlight: 2 });
  const first = ask(1);
  await new Promise((resolve) => process.nextTick(resolve));
  const second = ask(2);
  await server.settled();
  expect(server.asked).toEqual([[1, 2]]);
  await server.answer();
  expect(await Promise.all([first, second])).toEqual([10, 20]);
});

test('an error in place of a result fails that item alone', async () => {
  const server = slowServer();
  const ask = batched(server.ask, { maxBatchSize: 10, maxInFlight: 1 });
  const answers = Promise.allSettled([1, -2, 3].map(ask));
  await server.settled();
  await server.answer();
  expect((await answers).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
});

test('a batch that throws fails all its items, and the next batch is tried', async () => {
  const server = slowServer();
  const ask = batched(server.ask, { maxBatchSize: 2, maxInFlight: 1 });
  const answers = Promise.allSettled([1, 2, 3].map(ask));
  await server.settled();
  await server.fail(new Error('gone'));
  await server.answer();
  expect((await answers).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
});
