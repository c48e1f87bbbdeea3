import { OutsideQueue } from './outside-queue.ts';

test('what was put in comes out in order, whatever its length, and nothing more', () => {
  const queue = new OutsideQueue();
  expect(queue.shift()).toBeUndefined();
  queue.push({ text: 'one' });
  queue.push({ text: '둘', more: [1, 2] });
  expect(queue.length).toBe(2);
  expect(queue.shift()).toEqual({ text: 'one' });
  queue.push({ text: 'three' });
  expect(queue.take(5)).toEqual([{ text: '둘', more: [1, 2] }, { text: 'three' }]);
  expect([queue.length, queue.take(5), queue.shift()]).toEqual([0, [], undefined]);
  queue.close();
});
