/**
 * Every limit on time, in one place, because they only make sense in order:
 *
 *   Redis command < statement timeout < lock life < function timeout < visibility timeout
 *
 * `test/contract/timings.test.ts` holds the order, and that `serverless.yml` says the same.
 */

/** How long a Redis command may take. The gate and the lock are advice, so waiting long for them is worse than going on. */
export const redisCommandTimeoutMs = 200;

/** How long connecting to Redis may take. */
export const redisConnectTimeoutMs = 1_000;

/** How long InnoDB waits for a row lock; rounded to seconds by the server. */
export const rowLockWaitSeconds = 2;

/** How long one SQL statement may take; above the row lock wait, so that the server's clearer error comes first. */
export const statementTimeoutMs = 4_000;

/** How long connecting to MySQL may take. */
export const mysqlConnectTimeoutMs = 2_000;

/** How long a caller waits for a free connection of the pool. */
export const poolWaitTimeoutMs = 4_000;

/** How long a call to SQS or EventBridge may take. */
export const awsCallTimeoutMs = 3_000;

/** How long a call to a payment provider may take before its outcome is unknown. */
export const providerCallTimeoutMs = 3_000;

/** How long a sale lock lives unless extended; above the statement timeout. */
export const lockLifeMs = 6_000;

/** Function time-outs, seconds, as `serverless.yml` declares them. */
export const httpFunctionTimeoutSeconds = 15;
export const queueFunctionTimeoutSeconds = 10;

/** Queue visibility: at least six function time-outs plus the batching window, as AWS advises. */
export const visibilityTimeoutSeconds = 65;

/** How often a message may fail by its own fault before its consumer puts it among the dead letters. */
export const deliveriesAtMost = 5;

/**
 * How often SQS delivers a message before it makes it a dead letter itself. Deliveries while the store is away count as
 * well, and a message has done nothing wrong then: with the back-off below this is more than an hour of outage.
 */
export const maxReceiveCount = 100;

/** The longest that a message waits for its next delivery while the store is away; it waits a second longer each time. */
export const longestBackOffSeconds = 60;

/** How long a message, and so a dead letter, is kept: fourteen days, the most that SQS offers. */
export const deadLetterLifeSeconds = 1_209_600;

/** How long a health check waits for each part; a part that takes longer is as good as away. */
export const probeTimeoutMs = 1_000;
