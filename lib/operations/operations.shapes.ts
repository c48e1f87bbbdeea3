/**
 * The shapes of operations in the API: health, and dead letters.
 */
import * as z from 'zod';
import { characters, Time, wholeNumber } from '#platform/kernel/shapes.ts';

/** One part and whether it answers. */
export const Part = z
  .object({
    name: z.string().describe('mysql, redis, queue/<name>, bus, provider/<number>'),
    ok: z.boolean(),
    required: z.boolean().describe('Whether reservations can be accepted only while it answers'),
    latencyMs: z.int(),
    problem: z.string().optional(),
    waiting: z.int().optional().describe('For a queue, told to operators: approximate number of waiting messages'),
    deadLetters: z.int().optional().describe('For a queue, told to operators: approximate number of its dead letters'),
  })
  .meta({ id: 'Part' });
export type Part = z.infer<typeof Part>;

export const Health = z
  .object({
    status: z.enum(['ok', 'degraded']).describe('degraded: reservations are accepted, but some part does not answer'),
    parts: z.array(Part),
    breakers: z.record(z.string(), z.enum(['closed', 'open', 'half-open'])),
  })
  .meta({ id: 'Health' });
export type Health = z.infer<typeof Health>;

const QueueName = z.string().regex(/^[a-z][a-z-]{0,63}$/, 'must be the name of a queue');

export const DeadLetterQuery = z.strictObject({
  queue: QueueName.optional().describe('Only those of this queue'),
  limit: wholeNumber(1, 100, 20).describe('How many to show of each queue, 1 to 100; 20 unless given'),
});
export type DeadLetterQuery = z.output<typeof DeadLetterQuery>;

export const DeadLetter = z
  .object({
    queue: z.string(),
    messageId: z.string(),
    sentAt: Time,
    deliveries: z.int().describe('How often it was received, listings included'),
    cause: z.object({
      kind: z.enum(['unreadable', 'failed', 'repeated', 'unavailable', 'undeliverable', 'unknown']),
      detail: z.string(),
    }),
    body: z.string().describe('The beginning of the message'),
  })
  .meta({ id: 'DeadLetter' });

export const DeadLetters = z
  .object({
    queues: z
      .array(z.object({ queue: z.string(), deadLetters: z.int() }))
      .describe('Every queue, with approximate counts'),
    items: z.array(DeadLetter),
  })
  .meta({ id: 'DeadLetters' });
export type DeadLetters = z.infer<typeof DeadLetters>;

export const Redrive = z
  .strictObject({
    queue: QueueName,
    messageIds: z
      .union([z.array(characters(1, 100)).min(1).max(100), z.literal('all')])
      .describe('Which messages: a list of their ids, or `"all"` of the queue'),
  })
  .meta({ id: 'Redrive' });
export type Redrive = z.output<typeof Redrive>;

export const Redriven = z
  .object({
    redriven: z.int().describe('How many went back to their queue'),
    remaining: z.int().describe('Approximate number of dead letters left in the queue'),
  })
  .meta({ id: 'Redriven' });
