/**
 * Delivery: batches, back-off, retry policy, dead letters, and what a restart finds. The queues are played by a
 * sender that answers as it is told; the store is real.
 */
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../wait.ts';
import { Deliverer } from './delivery.ts';
import { Faults } from './faults.ts';
import type { Outcome, OutgoingMessage, QueueSender } from './sender.ts';
import { type Delivery, type Route, Store } from './store.ts';

const queue = 'arn:aws:sqs:us-east-1:000000000000:orders';
const dead = 'arn:aws:sqs:us-east-1:000000000000:orders-dead';
const rule = 'arn:aws:events:us-east-1:000000000000:rule/orders';
const down: Outcome = { sent: false, errorCode: 'CONNECTION_FAILURE', errorMessage: 'refused', retryable: true };
const gone: Outcome = { sent: false, errorCode: 'NO_RESOURCE', errorMessage: 'no such queue', retryable: false };

let store: Store;
let faults: Faults;
let deliverer: Deliverer;
let nowMs: number;
let batches: { queueArn: string; messages: OutgoingMessage[] }[];
let answer: (queueArn: string, messages: OutgoingMessage[]) => Outcome[] | Promise<Outcome[]>;
let logged: string[];

const sender: QueueSender = {
  async send(queueArn, messages) {
    batches.push({ queueArn, messages });
    return answer(queueArn, messages);
  },
  close() {},
};

const allSent = (_: string, messages: OutgoingMessage[]) => messages.map((): Outcome => ({ sent: true }));

beforeEach(() => {
  nowMs = 1_000_000;
  batches = [];
  logged = [];
  answer = allSent;
  store = new Store();
  faults = new Faults();
  const backOff = { firstMs: 4, longestMs: 16 };
  const log = (message: string) => void logged.push(message);
  deliverer = new Deliverer({ store, sender, faults, backOff, now: () => nowMs, log });
});

afterEach(async () => {
  await deliverer.stop();
  store.close();
});

async function accept(count: number, route: Partial<Route> = {}): Promise<Delivery[]> {
  const added = Array.from({ length: count }, (_, index) => ({
    seq: store.nextSeq(),
    route: { ruleArn: rule, targetArn: queue, maxAgeMs: 86_400_000, maxRetries: 185, ...route },
    body: `{"n":${index}}`,
    acceptedMs: nowMs,
    failures: 0,
    dueMs: nowMs,
  }));
  await store.commit({ added });
  deliverer.deliver(added);
  return added;
}

const settled = () => waitFor('nothing pending', () => deliverer.counts.pending === 0, { timeoutMs: 5_000 });

/** Moves the clock past every back-off until the condition holds. */
async function runClockUntil(done: () => boolean): Promise<void> {
  await waitFor(
    'the deliveries',
    () => {
      nowMs += 20;
      deliverer.wake();
      return done();
    },
    { timeoutMs: 5_000 },
  );
}

test('many deliveries go out in batches of at most ten, each once, and leave the store', async () => {
  await accept(95);
  await settled();
  const bodies = batches.flatMap(({ messages }) => messages.map(({ body }) => body));
  expect(new Set(bodies).size).toBe(95);
  expect(bodies).toHaveLength(95);
  expect(batches.every(({ messages }) => messages.length <= 10)).toBe(true);
  expect(batches.length).toBeLessThan(15);
  expect(store.undelivered()).toEqual([]);
});

test('a batch stays below the size SQS takes', async () => {
  const added = Array.from({ length: 4 }, () => ({
    seq: store.nextSeq(),
    route: { ruleArn: rule, targetArn: queue, maxAgeMs: 1, maxRetries: 0 },
    body: 'x'.repeat(100_000),
    acceptedMs: nowMs,
    failures: 0,
    dueMs: nowMs,
  }));
  await store.commit({ added });
  deliverer.deliver(added);
  await settled();
  expect(batches.map(({ messages }) => messages.length)).toEqual([2, 2]);
});

test('only the message that failed is sent again', async () => {
  answer = (_, messages) => messages.map((_message, index): Outcome => (index === 1 ? down : { sent: true }));
  await accept(3);
  await waitFor('the first batch', () => batches.length === 1, { timeoutMs: 5_000 });
  answer = allSent;
  await runClockUntil(() => deliverer.counts.pending === 0);
  expect(batches.map(({ messages }) => messages.map(({ body }) => body))).toEqual([
    ['{"n":0}', '{"n":1}', '{"n":2}'],
    ['{"n":1}'],
  ]);
  expect(deliverer.counts).toMatchObject({ delivered: 3, retried: 1 });
});

test('a delivery that used up its retries becomes a dead letter that says why', async () => {
  answer = (queueArn, messages) => (queueArn === queue ? messages.map(() => down) : allSent(queueArn, messages));
  await accept(1, { maxRetries: 2, deadLetterArn: dead });
  await runClockUntil(() => deliverer.counts.pending === 0);
  expect(batches.map(({ queueArn }) => queueArn)).toEqual([queue, queue, queue, dead]);
  expect(batches.at(-1)?.messages[0]).toEqual({
    body: '{"n":0}',
    attributes: {
      RULE_ARN: rule,
      TARGET_ARN: queue,
      ERROR_CODE: 'CONNECTION_FAILURE',
      ERROR_MESSAGE: 'refused',
      RETRY_ATTEMPTS: '2',
      EXHAUSTED_RETRY_CONDITION: 'MaximumRetryAttempts',
    },
  });
  expect(deliverer.counts).toMatchObject({ delivered: 0, deadLettered: 1, dropped: 0 });
});

test('a delivery that grew too old becomes a dead letter', async () => {
  answer = (queueArn, messages) => (queueArn === queue ? messages.map(() => down) : allSent(queueArn, messages));
  await accept(1, { maxAgeMs: 100, deadLetterArn: dead });
  await runClockUntil(() => deliverer.counts.pending === 0);
  expect(batches.at(-1)?.messages[0]?.attributes?.EXHAUSTED_RETRY_CONDITION).toBe('MaximumEventAgeInSeconds');
});

test('a queue that does not exist is not tried twice', async () => {
  answer = (queueArn, messages) => (queueArn === queue ? messages.map(() => gone) : allSent(queueArn, messages));
  await accept(1, { deadLetterArn: dead });
  await settled();
  expect(batches.map(({ queueArn }) => queueArn)).toEqual([queue, dead]);
  expect(batches[1]?.messages[0]?.attributes).not.toHaveProperty('EXHAUSTED_RETRY_CONDITION');
});

test('without a dead-letter queue what cannot be delivered is dropped, and the log says so', async () => {
  answer = (_, messages) => messages.map(() => gone);
  await accept(1);
  await settled();
  expect(deliverer.counts.dropped).toBe(1);
  expect(logged.join()).toContain('NO_RESOURCE');
  expect(store.undelivered()).toEqual([]);
});

test('dead letters wait for their queue however long it is down', async () => {
  answer = (queueArn, messages) => messages.map(() => (queueArn === queue ? gone : down));
  await accept(1, { deadLetterArn: dead, maxRetries: 0, maxAgeMs: 60 });
  await runClockUntil(() => batches.length > 6);
  answer = allSent;
  await runClockUntil(() => deliverer.counts.pending === 0);
  expect(deliverer.counts).toMatchObject({ deadLettered: 1, dropped: 0 });
});

test('what waits out a back-off is tried at once when the queue works again', async () => {
  answer = (_, messages) => messages.map(() => down);
  await accept(40);
  // The whole queue has failed at least once and now waits.
  await runClockUntil(() => deliverer.counts.retried >= 40);
  answer = allSent;
  const frozenMs = nowMs + 16;
  nowMs = frozenMs;
  await settled();
  expect(nowMs).toBe(frozenMs);
  expect(deliverer.counts.delivered).toBe(40);
});

test('a new process takes up what the old one had not delivered', async () => {
  answer = () => new Promise(() => {});
  const left = await accept(3);
  const successor = new Deliverer({
    store,
    sender: { send: async (queueArn, messages) => allSent(queueArn, messages), close() {} },
    faults,
    backOff: { firstMs: 1, longestMs: 1 },
    now: () => nowMs,
    log: () => {},
  });
  expect(store.undelivered()).toEqual(left);
  successor.start();
  await waitFor('the rest', () => successor.counts.delivered === 3, { timeoutMs: 5_000 });
  await successor.stop();
  expect(store.undelivered()).toEqual([]);
  deliverer = successor;
});

test('deliveries of a paused rule are held until the pause ends; others pass', async () => {
  faults.set({ pauseRules: ['orders'] });
  await accept(2);
  await accept(1, { ruleArn: 'arn:aws:events:us-east-1:000000000000:rule/bus/other' });
  await waitFor('the other rule', () => deliverer.counts.delivered === 1, { timeoutMs: 5_000 });
  expect(deliverer.counts.pending).toBe(2);
  faults.set({});
  deliverer.wake();
  await settled();
  expect(deliverer.counts.delivered).toBe(3);
});

test('injected failures are retried until all is delivered', async () => {
  faults.set({ failDeliveries: 0.5, seed: 7 });
  await accept(50);
  await runClockUntil(() => deliverer.counts.pending === 0);
  expect(deliverer.counts.delivered).toBe(50);
  expect(deliverer.counts.retried).toBeGreaterThan(5);
});
