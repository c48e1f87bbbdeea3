/**
 * The functions of Holdfast as the model runs them: the shipped verb behind each queue, fed through the shipped answer to
 * SQS, with the model's dependencies. The same wiring as in `functions/queue` and `functions/schedule`.
 */
import type { SQSRecord } from 'aws-lambda';
import * as z from 'zod';
import { BusEvent } from '#events/catalog.ts';
import { sweepOutbox } from '#events/outbox.ts';
import { AdvanceTrigger, advance } from '#launch/advance.ts';
import { notify } from '#notification/notify.ts';
import { consumeBatch, type QueueRun, settleFailures } from '#platform/handlers/queue.ts';
import { payPurchases } from '#purchase/pay.ts';
import { PayCommand } from '#purchase/purchase.shapes.ts';
import { resendOpenPurchases } from '#purchase/resend-open.ts';
import { ReconcileTrigger, reconcileOnTrigger } from '#reconcile/reconcile.ts';
import { allocateBatch } from '#reservation/allocate.ts';
import { ReserveCommand } from '#reservation/reservation.shapes.ts';
import { depsOf } from './world/deps.ts';
import type { QueueOptions } from './world/queue.ts';
import type { Process } from './world/world.ts';

/** How long a function may run, less the wrapper's margin. */
const functionLifeMs = 9_000;

export const consumerNames = [
  'reservations',
  'purchases',
  'notifications',
  'advance',
  'relay',
  'settle',
  'reconcile',
] as const;

export type ConsumerName = (typeof consumerNames)[number];

type Consume = (process: Process, records: SQSRecord[]) => Promise<Iterable<string>>;

function consumer<Message>(name: ConsumerName, message: z.ZodType<Message>, run: QueueRun<Message>['run']): Consume {
  return async (process, records) => {
    const deps = depsOf(process);
    const failures = await consumeBatch({ message, run }, deps, records, process.world.nowMs + functionLifeMs);
    if (failures.size > 0) await settleFailures(deps, name, records, failures);
    return failures.keys();
  };
}

const trigger = z.looseObject({});

const consumers: Record<ConsumerName, Consume> = {
  reservations: consumer('reservations', ReserveCommand, allocateBatch),
  purchases: consumer('purchases', PayCommand, payPurchases),
  notifications: consumer('notifications', BusEvent, notify),
  advance: consumer('advance', AdvanceTrigger, advance),
  relay: consumer('relay', trigger, async (deps, _, deadlineMs) => {
    await sweepOutbox(deps, deadlineMs);
    return [];
  }),
  settle: consumer('settle', trigger, async (deps) => {
    await resendOpenPurchases(deps);
    return [];
  }),
  reconcile: consumer('reconcile', ReconcileTrigger, reconcileOnTrigger),
};

/** A queue with its function. */
export function queueOf(name: ConsumerName, options: Omit<QueueOptions, 'name' | 'consume'>): QueueOptions {
  return { name, ...options, consume: consumers[name] };
}

/** What a scheduled rule sends when it fires. */
export const tick = { 'detail-type': 'Scheduled Event' };
