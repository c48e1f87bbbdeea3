/**
 * The time limits that depend on each other, in one place, because their order matters:
 *
 *   Redis command < statement timeout < lock life < function timeout < visibility timeout
 *
 * `test/contract/timings.test.ts` checks the order, and that `serverless.yml` agrees. A limit that nothing else depends
 * on stands beside its use.
 */

/** How long a Redis command may take. The gate and the lock are optional, so going on without them beats waiting. */
export const redisCommandTimeoutMs = 200;

/** How long connecting to Redis may take. */
export const redisConnectTimeoutMs = 1_000;

/** How long InnoDB waits for a row lock; rounded to seconds by the server. */
export const rowLockWaitSeconds = 2;

/** How long one SQL statement may take; above the row lock wait, so that the server's more specific error comes first. */
export const statementTimeoutMs = 4_000;

/** How long connecting to MySQL may take. */
export const mysqlConnectTimeoutMs = 2_000;

/** How long a caller waits for a free connection of the pool. */
export const poolWaitTimeoutMs = 4_000;

/** How long a call to SQS or EventBridge may take. */
export const awsCallTimeoutMs = 3_000;

/** How long a call to a payment provider may take before its outcome is unknown. */
export const providerCallTimeoutMs = 3_000;

/** How long a receiver of webhooks may take to answer one. */
export const webhookCallTimeoutMs = 5_000;

/** How long sending one mail may take, connecting included. */
export const mailCallTimeoutMs = 5_000;

/** After how long a sale lock expires by itself; above the statement timeout. */
export const lockLifeMs = 6_000;

/** Function timeouts, seconds, as `serverless.yml` declares them. */
export const httpFunctionTimeoutSeconds = 15;
export const queueFunctionTimeoutSeconds = 10;

/** Visibility timeout of the queues: six function timeouts plus the longest batching window, the least that AWS advises. */
export const visibilityTimeoutSeconds = 61;

/** How many times a message may fail through its own fault before its consumer sends it to the dead-letter queue. */
export const deliveriesAtMost = 5;

/**
 * How many times SQS delivers a message before SQS itself moves it to the dead-letter queue. Deliveries during an outage
 * count too, although the message is not at fault: with the back-off below this allows for more than an hour of outage.
 */
export const maxReceiveCount = 100;

/** The longest back-off of a message while the store is unavailable; the back-off grows by a second each time. */
export const longestBackOffSeconds = 60;

/** How long messages and dead letters are retained: fourteen days, the most that SQS offers. */
export const deadLetterLifeSeconds = 1_209_600;

/** How long a health check waits for each part; a part that takes longer counts as unavailable. */
export const probeTimeoutMs = 1_000;
