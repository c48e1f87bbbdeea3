/** Queue notifications → MySQL and WebSocket: tells customers what happened, a batch of events at a time. */
import { BusEvent } from '../../lib/events/catalogue.ts';
import { notify } from '../../lib/notification/notify.ts';
import { queueHandler } from '../../lib/platform/queue.ts';

export const handler = queueHandler({ message: BusEvent, run: notify });
