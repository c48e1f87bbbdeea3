/** Every minute, at boundaries, and when units were released: the side effects of time. */
import { AdvanceTrigger, advance } from '#launch/advance.ts';
import { queueHandler } from '#platform/handlers/queue.ts';

export const handler = queueHandler({ message: AdvanceTrigger, run: advance });
