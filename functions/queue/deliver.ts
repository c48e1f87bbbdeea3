/** Queue webhooks → MySQL → endpoints of shops: events become deliveries, and what is due is sent. */
import { queueHandler } from '#platform/handlers/queue.ts';
import { deliverWebhooks, WebhookTrigger } from '#webhooks/deliver.ts';

export const handler = queueHandler({ message: WebhookTrigger, run: deliverWebhooks });
