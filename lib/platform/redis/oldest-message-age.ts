/**
 * The age of a queue's oldest message, measured when a worker received the latest batch. SQS reports it only to CloudWatch;
 * this one is on the operator's page everywhere.
 */
import { keys } from './keys.ts';
import type { RedisClient } from './redis.ts';

/** After a minute without a batch the last age is stale. */
const ageLifeMs = 60_000;

/** Stores the age of a batch's oldest message on receipt. Never throws: it is for display only. */
export async function noteOldestMessageAge(redis: RedisClient, queue: string, ageMs: number): Promise<void> {
  await redis
    .guarded(() => redis.set(keys.oldestMessageAge(queue), Math.max(0, ageMs), 'PX', ageLifeMs))
    .catch(() => undefined);
}

/** That age, milliseconds, or null if there was no batch within a minute or Redis is unavailable. */
export async function readOldestMessageAge(redis: RedisClient, queue: string): Promise<number | null> {
  const noted = await redis.get(keys.oldestMessageAge(queue)).catch(() => null);
  return noted === null ? null : Number(noted);
}
