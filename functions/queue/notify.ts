/** Queue notifications → MySQL and WebSocket: tells customers what happened, a batch of events at a time. */
import { BusEvent } from '#events/catalog.ts';
import { notify } from '#notification/notify.ts';
import { queueHandler } from '#platform/handlers/queue.ts';

export const handler = queueHandler({ message: BusEvent, run: notify });
