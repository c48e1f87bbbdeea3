/** Rule relay-outbox, every minute: publishes what a crash or a refusing bus left in the outbox, and says what is left. */
import { measureOutbox, sweepOutbox } from '#events/outbox.ts';
import { scheduleHandler } from '#platform/handlers/schedule.ts';

export const handler = scheduleHandler(async (deps, deadlineMs) => {
  await sweepOutbox(deps, deadlineMs);
  await measureOutbox(deps);
});
