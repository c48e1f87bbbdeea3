/**
 * How the AWS SDK's clients are set up, and how long one call may take.
 *
 * Endpoint, region and credentials are the environment's, so there is no local branch anywhere. Connections are kept
 * alive, which is the SDK's default.
 */
import { awsCallTimeoutMs } from '#platform/kernel/time-limits.ts';

/** One repetition of the SDK's own; whoever calls decides what happens after that. */
export const clientSettings = { maxAttempts: 2, requestHandler: { connectionTimeout: 1_000 } };

/** Options of one call: it is given up after `awsCallTimeoutMs`, repetitions included. */
export const callLimit = () => ({ abortSignal: AbortSignal.timeout(awsCallTimeoutMs) });
