/** Queue reservations → MySQL → mirror: one lock call and one transaction for each batch, whatever its sales and customers. */
import { queueHandler } from '#platform/handlers/queue.ts';
import { allocateBatch } from '#reservation/allocate.ts';
import { ReserveCommand } from '#reservation/reservation.shapes.ts';

export const handler = queueHandler({ message: ReserveCommand, run: allocateBatch });
