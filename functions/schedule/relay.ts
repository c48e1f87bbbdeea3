/** Rule relay-outbox, every minute: publishes what a crash or a refusing bus left in the outbox, and says what is still left. */
import { measureOutbox, sweepOutbox } from '#events/outbox.ts';
import { scheduleHandler } from '#platform/handlers/schedule.ts';

export const handler = scheduleHandler(async ({ db, bus, clock }, deadlineMs) => {
  await sweepOutbox(db, bus, clock(), deadlineMs);
  await measureOutbox(db, clock());
});
