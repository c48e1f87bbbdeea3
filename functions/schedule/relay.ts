/** Rule relay-outbox, every minute: publishes what a crash or a refusing bus left in the outbox. */
import { sweepOutbox } from '../../lib/events/outbox.ts';
import { scheduleHandler } from '../../lib/platform/schedule.ts';

export const handler = scheduleHandler(async ({ db, bus, clock }, deadlineMs) => {
  await sweepOutbox(db, bus, clock(), deadlineMs);
});
