/**
 * Rule relay-outbox, every minute: publishes the events that a crash or an unavailable bus left in the outbox, reports how
 * many are left, and ends expired connections. Meanwhile it reads the keys of other issuers, since it may call outside.
 */
import { measureOutbox, sweepOutbox } from '#events/outbox.ts';
import { readIssuerKeys } from '#identity/issuer-keys.ts';
import { endLapsed } from '#notification/connections.ts';
import { scheduleHandler } from '#platform/handlers/schedule.ts';

export const handler = scheduleHandler(async (deps, deadlineMs) => {
  const read = readIssuerKeys(deps);
  await sweepOutbox(deps, deadlineMs);
  await measureOutbox(deps);
  await endLapsed(deps);
  await read;
});
