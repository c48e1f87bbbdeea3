import type { SQSRecord } from 'aws-lambda';
import * as z from 'zod';
import type { Deps } from '#platform/environment/deps.ts';
import { Fault } from '#platform/kernel/errors.ts';
import { BreakerOpen } from '#platform/resilience/circuit-breaker.ts';
import { consumeBatch } from './queue.ts';

const deps = { clock: Date.now } as unknown as Deps;
const soon = () => Date.now() + 10_000;

function records(...bodies: unknown[]): SQSRecord[] {
  return bodies.map((body, index) => ({
    messageId: `m${index}`,
    body: typeof body === 'string' ? body : JSON.stringify(body),
    attributes: { SentTimestamp: '1', ApproximateReceiveCount: '1' },
  })) as unknown as SQSRecord[];
}

/** A consumer of numbers that throws when its batch has a poison message; says which batches it was given. */
function consumer(poison: number[], error = () => new Error('cannot process it')) {
  const batches: number[][] = [];
  return {
    batches,
    message: z.object({ n: z.number() }),
    run: async (_: Deps, batch: readonly { message: { n: number } }[]) => {
      const numbers = batch.map(({ message }) => message.n);
      batches.push(numbers);
      if (numbers.some((n) => poison.includes(n))) throw error();
      return [];
    },
  };
}

const numbered = (count: number) => records(...Array.from({ length: count }, (_, n) => ({ n })));

test('a batch is passed to the verb once', async () => {
  const one = consumer([]);
  expect([...(await consumeBatch(one, deps, numbered(10), soon()))]).toEqual([]);
  expect(one.batches).toHaveLength(1);
});

test('one message of ten that throws is found, and the nine others are done', async () => {
  const one = consumer([6]);
  const failures = await consumeBatch(one, deps, numbered(10), soon());
  expect([...failures.keys()]).toEqual(['m6']);
  expect(failures.get('m6')?.kind).toBe('failed');
  // Ten, five, five, three, two, and the halves of those: a few calls, not one for each message.
  expect(one.batches.length).toBeLessThanOrEqual(9);
});

test('an invalid message fails alone and does not reach the verb', async () => {
  const one = consumer([]);
  const failures = await consumeBatch(one, deps, records('not json', { n: 1 }, { n: 'one' }), soon());
  expect([...failures].map(([id, { kind }]) => [id, kind])).toEqual([
    ['m0', 'unreadable'],
    ['m2', 'unreadable'],
  ]);
  expect(one.batches).toEqual([[1]]);
});

test.each([
  ['an open breaker', () => new BreakerOpen('mysql', undefined)],
  ['a store without a free connection', () => new Fault('store_unavailable', 'no connection')],
  ['a refused connection', () => Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })],
  ['a full disk', () => Object.assign(new Error('full'), { errno: 1021 })],
  ['a server that only reads', () => Object.assign(new Error('read-only'), { errno: 1290 })],
  ['a Redis that still loads', () => Object.assign(new Error('LOADING Redis is loading'), { name: 'ReplyError' })],
  ['a deadlock, retried in vain', () => Object.assign(new Error('deadlock'), { errno: 1213 })],
  [
    'the same inside another error',
    () => new Error('Failed query', { cause: Object.assign(new Error('lost'), { code: 'PROTOCOL_CONNECTION_LOST' }) }),
  ],
])('%s says nothing about the messages, which are not tried one by one', async (_, error) => {
  const one = consumer([3], error);
  const failures = await consumeBatch(one, deps, numbered(10), soon());
  expect(failures.size).toBe(10);
  expect(new Set([...failures.values()].map(({ kind }) => kind))).toEqual(new Set(['unavailable']));
  expect(one.batches).toHaveLength(1);
});

test('a batch that fails at the deadline is delivered again without being split', async () => {
  const one = consumer([3]);
  const failures = await consumeBatch(one, deps, numbered(10), Date.now() - 1);
  expect(failures.size).toBe(10);
  expect(one.batches).toHaveLength(1);
});
