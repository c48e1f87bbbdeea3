/**
 * Settings of the AWS SDK's clients, and the time limit of one call.
 *
 * Endpoint, region and credentials come from the environment, so no code path is local only. Connections use
 * keep-alive, which is the SDK's default.
 */
import { awsCallTimeoutMs } from '#platform/kernel/time-limits.ts';

/** How long connecting to a service may take. */
export const connectTimeoutMs = 1_000;

/** The SDK retries once; the caller decides what happens after that. */
export const clientSettings = { maxAttempts: 2, requestHandler: { connectionTimeout: connectTimeoutMs } };

/** Options of one call: it is aborted after `awsCallTimeoutMs`, retries included. */
export const callLimit = () => ({ abortSignal: AbortSignal.timeout(awsCallTimeoutMs) });
