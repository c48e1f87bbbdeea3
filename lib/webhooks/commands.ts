/** The commands in the queue `webhooks`: serve an endpoint, or continue a redelivery. The minute's rule makes up for a lost one. */
import * as z from 'zod';
import type { Needs } from '#platform/environment/deps.ts';
import { log } from '#platform/kernel/log.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import type { EndpointId } from './endpoint.store.ts';
import type { Redelivery, RedeliveryId } from './redelivery.store.ts';

/** An endpoint has something that is due. */
export const EndpointCommand = z.object({ endpointId: idOf<EndpointId>() });

/** A redelivery has more to order. */
export const RedeliveryCommand = z.object({
  redelivery: z.object({
    id: idOf<RedeliveryId>(),
    /** The sender's progress; the row is right if another worker was faster. */
    afterId: z.string().nullable(),
  }),
});

/** The longest delay of a message that SQS takes. */
export const longestDelayMs = 900_000;

/** Asks for endpoints to be served, at once or later. Never throws. */
export async function sendEndpoints(deps: Needs<'queue'>, ids: readonly EndpointId[], delayMs = 0): Promise<void> {
  const delaySeconds = Math.ceil(Math.min(delayMs, longestDelayMs) / 1_000);
  await deps
    .queue('webhooks')
    .sendAll(ids.map((endpointId) => ({ body: { endpointId }, delaySeconds })))
    .catch((error) => log.warn('the next tick will deliver webhooks', { error }));
}

/** Asks for a redelivery to be continued. Never throws. */
export async function sendRedelivery(
  deps: Needs<'queue'>,
  { redeliveryId, afterId }: Pick<Redelivery, 'redeliveryId' | 'afterId'>,
): Promise<void> {
  const body: z.input<typeof RedeliveryCommand> = { redelivery: { id: redeliveryId, afterId } };
  await deps
    .queue('webhooks')
    .send({ body })
    .catch((error) => log.warn('the next tick will continue a redelivery', { error, redeliveryId }));
}
