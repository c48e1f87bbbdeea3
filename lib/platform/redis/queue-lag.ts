/**
 * The lag of a queue: how old the oldest message of the latest batch was when a worker got it. SQS tells its age only to
 * CloudWatch; this is what the operator's page can show anywhere.
 */
import { keys } from './keys.ts';
import type { RedisClient } from './redis.ts';

/** After a minute without a batch the last one says nothing any more. */
const lagLifeMs = 60_000;

/** Notes the lag that a batch was received with. Never throws: it is only for looking at. */
export async function noteLag(redis: RedisClient, queue: string, lagMs: number): Promise<void> {
  await redis.guarded(() => redis.set(keys.lag(queue), Math.max(0, lagMs), 'PX', lagLifeMs)).catch(() => undefined);
}

/** The lag of the latest batch, milliseconds, or null if there was none within a minute or Redis is away. */
export async function readLag(redis: RedisClient, queue: string): Promise<number | null> {
  const noted = await redis.get(keys.lag(queue)).catch(() => null);
  return noted === null ? null : Number(noted);
}
