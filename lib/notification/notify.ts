/**
 * The notify verb: consumes events from the bus and notifies the customers they concern.
 *
 * One statement stores the notices of a whole batch; its unique key (subject, version, kind, round) is the inbox, so an event
 * delivered again is told once (invariant I5). Then connected customers are told; no failure of that can fail the
 * batch, because the stored notice is the truth. Called by functions/queue/notify.ts.
 */
import type { BusEvent } from '#events/catalog.ts';
import type { Needs } from '#platform/environment/deps.ts';
import type { Delivered, MustRepeat } from '#platform/handlers/queue.ts';
import { log } from '#platform/kernel/log.ts';
import type { Db } from '#platform/mysql/mysql.ts';
import { isDataError } from '#platform/mysql/mysql.ts';
import { warnUnlessOutage } from '#platform/redis/outage-log.ts';
import { noticesOf } from './notice.ts';
import { storeNotices } from './notification.store.ts';
import { liveOf, pushLive } from './push-changes.ts';

/** The longest that pushing may delay a batch: late pushes are worth little. */
const pushLimitMs = 3_000;

/** Stores and pushes the notices of a batch of events. Returns the messages that could not be stored. */
export async function notify(
  deps: Needs<'db' | 'redis' | 'push' | 'clock' | 'random'>,
  batch: readonly Delivered<BusEvent>[],
  deadlineMs: number,
): Promise<MustRepeat> {
  const rejected = await storeBatch(deps.db, batch);
  const events = batch.filter(({ messageId }) => !rejected.has(messageId)).map(({ message }) => message);
  try {
    const limitMs = Math.min(pushLimitMs, deadlineMs - deps.clock());
    await pushLive(deps, liveOf(events), limitMs);
  } catch (error) {
    warnUnlessOutage(error, 'nothing was pushed; the notices are stored');
  }
  return rejected;
}

/** Stores all notices in one statement. If one of them has invalid data, each message is stored on its own. */
async function storeBatch(db: Db, batch: readonly Delivered<BusEvent>[]): Promise<Set<string>> {
  const rejected = new Set<string>();
  try {
    await storeNotices(
      db,
      batch.flatMap(({ message }) => noticesOf(message)),
    );
  } catch (error) {
    if (!isDataError(error)) throw error;
    for (const { messageId, message } of batch) {
      await storeNotices(db, noticesOf(message)).catch((reason) => {
        log.error('notices cannot be stored; their message will end in the dead-letter queue', {
          messageId,
          error: reason,
        });
        rejected.add(messageId);
      });
    }
  }
  return rejected;
}
