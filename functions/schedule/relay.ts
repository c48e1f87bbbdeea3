/** Rule relay-outbox, every minute: publishes what a crash or the bus left in the outbox, and measures what remains. */
import { measureOutbox, sweepOutbox } from '#events/outbox.ts';
import { scheduleHandler } from '#platform/handlers/schedule.ts';

export const handler = scheduleHandler(async (deps, deadlineMs) => {
  await sweepOutbox(deps, deadlineMs);
  await measureOutbox(deps);
});
