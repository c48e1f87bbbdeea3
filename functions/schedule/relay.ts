/**
 * Rule relay-outbox, every minute: publishes what a crash or a refusing bus left in the outbox, says what is left, and ends
 * connections whose time is over.
 */
import { measureOutbox, sweepOutbox } from '#events/outbox.ts';
import { endLapsed } from '#notification/connections.ts';
import { scheduleHandler } from '#platform/handlers/schedule.ts';

export const handler = scheduleHandler(async (deps, deadlineMs) => {
  await sweepOutbox(deps, deadlineMs);
  await measureOutbox(deps);
  await endLapsed(deps);
});
