/**
 * How far a queue is behind: how old the oldest message of the latest batch was when a worker got it. SQS tells the age of
 * its oldest message only to CloudWatch; this is what the operator's page can show anywhere.
 */
import { keys } from './keys.ts';
import type { RedisClient } from './redis.ts';

/** After a minute without a batch the last one says nothing any more. */
const ageLifeMs = 60_000;

/** Notes the age that a batch was received with. Never throws: it is only for looking at. */
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
