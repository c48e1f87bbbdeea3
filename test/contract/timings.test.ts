/** The limits on time are in their order, and `serverless.yml` says what the code says. */

import { queueOf, readDeclared } from '#local/serverless-config.ts';
import * as timings from '#platform/kernel/time-limits.ts';

const declared = await readDeclared();
const queues = declared.queues.filter(({ registryName }) => registryName.startsWith('queue/'));
const dead = declared.queues.filter(({ registryName }) => registryName.startsWith('dead/'));
const mapped = declared.functions.flatMap((one) => one.mappings.map((mapping) => ({ ...one, mapping })));

describe('limits on time', () => {
  test('Redis command < row lock wait < statement < lock life < function < visibility', () => {
    const inOrder = [
      timings.redisCommandTimeoutMs,
      timings.rowLockWaitSeconds * 1_000,
      timings.statementTimeoutMs,
      timings.lockLifeMs,
      timings.queueFunctionTimeoutSeconds * 1_000,
      timings.visibilityTimeoutSeconds * 1_000,
    ];
    expect(inOrder).toEqual([...new Set(inOrder)].sort((one, other) => one - other));
  });

  test('every call to something else ends before the function that makes it', () => {
    const { httpFunctionTimeoutSeconds, queueFunctionTimeoutSeconds } = timings;
    const shortest = Math.min(httpFunctionTimeoutSeconds, queueFunctionTimeoutSeconds) * 1_000;
    for (const limit of [
      timings.redisConnectTimeoutMs,
      timings.mysqlConnectTimeoutMs,
      timings.poolWaitTimeoutMs,
      timings.awsCallTimeoutMs,
      timings.providerCallTimeoutMs,
      timings.webhookCallTimeoutMs,
      timings.probeTimeoutMs,
    ]) {
      expect(limit).toBeLessThan(shortest);
    }
  });
});

describe('serverless.yml', () => {
  test('S9: what a killed worker held comes again as early as the order of the limits allows', () => {
    const least = mapped.map(({ timeoutSeconds, mapping }) => 6 * timeoutSeconds + mapping.batchingWindowSeconds);
    expect(timings.visibilityTimeoutSeconds).toBe(Math.max(...least));
  });

  test.each(declared.functions.map((one) => [one.key, one] as const))(
    'gives %s the time the code counts on',
    (_key, one) => {
      const expected =
        one.mappings.length > 0 ? timings.queueFunctionTimeoutSeconds : timings.httpFunctionTimeoutSeconds;
      expect(one.timeoutSeconds).toBe(expected);
    },
  );

  test.each(queues.map((queue) => [queue.registryName, queue] as const))(
    '%s has the declared visibility timeout, retention and maxReceiveCount',
    (_name, queue) => {
      expect(Number(queue.attributes.VisibilityTimeout)).toBe(timings.visibilityTimeoutSeconds);
      expect(Number(queue.attributes.MessageRetentionPeriod)).toBe(timings.deadLetterLifeSeconds);
      expect(queue.redrive?.maxReceiveCount).toBe(timings.maxReceiveCount);
      // AWS advises five at least; a message that fails by its own fault is given up by its consumer long before.
      expect(timings.maxReceiveCount).toBeGreaterThan(timings.deliveriesAtMost);
      expect(timings.deliveriesAtMost).toBeGreaterThanOrEqual(5);
      const letters = queueOf(declared, queue.redrive?.deadLetters ?? '');
      expect(letters.registryName).toBe(queue.registryName.replace('queue/', 'dead/'));
    },
  );

  test('keeps dead letters as long as SQS can', () => {
    expect(dead).toHaveLength(queues.length);
    for (const { attributes } of dead) {
      expect(Number(attributes.MessageRetentionPeriod)).toBe(timings.deadLetterLifeSeconds);
    }
  });

  test.each(mapped.map((one) => [one.key, one] as const))(
    'feeds %s as AWS allows and advises',
    (_key, { mapping, timeoutSeconds }) => {
      const visibility = Number(queueOf(declared, mapping.queue).attributes.VisibilityTimeout);
      expect(visibility).toBeGreaterThanOrEqual(6 * timeoutSeconds + mapping.batchingWindowSeconds);
      expect(mapping.reportsBatchItemFailures).toBe(true);
      expect(mapping.enabled).toBe(true);
      expect(mapping.maximumConcurrency).toBeGreaterThanOrEqual(2);
      if (mapping.batchSize > 10) expect(mapping.batchingWindowSeconds).toBeGreaterThanOrEqual(1);
    },
  );
});
