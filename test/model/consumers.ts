/**
 * The functions of Holdfast as the model runs them: the shipped verb behind each queue, fed through the shipped answer to
 * SQS, with the model's dependencies. The same wiring as in `functions/queue` and `functions/schedule`.
 */
import type { SQSRecord } from 'aws-lambda';
import * as z from 'zod';
import { BusEvent } from '#events/catalogue.ts';
import { sweepOutbox } from '#events/outbox.ts';
import { AdvanceTrigger, advance } from '#launch/advance.ts';
import { notify } from '#notification/notify.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { consumeBatch, type QueueRun, settleFailures } from '#platform/handlers/queue.ts';
import { payPurchases } from '#purchase/pay.ts';
import { purchasePorts } from '#purchase/ports.ts';
import { PayCommand } from '#purchase/purchase.shapes.ts';
import { resendOpenPurchases } from '#purchase/resend-open.ts';
import { ReconcileTrigger, reconcileOnTrigger } from '#reconcile/reconcile.ts';
import { type AllocationPorts, allocateBatch } from '#reservation/allocate.ts';
import { allocationPorts } from '#reservation/ports.ts';
import { inventoryPorts } from '#reservation/release.ports.ts';
import { ReserveCommand } from '#reservation/reservation.shapes.ts';
import { depsOf, providerOf } from './world/deps.ts';
import { webhookSecret } from './world/provider.ts';
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

/** The ports of the purchase verbs, over the model's provider. */
export function modelPurchasePorts(process: Process): ReturnType<typeof purchasePorts> {
  const deps = depsOf(process);
  return Object.create(purchasePorts(deps), {
    provider: { value: providerOf(process) },
    webhookSecret: { value: webhookSecret },
  });
}

/** The ports of the allocate worker, with the memory of its environment if it has one. */
function modelAllocationPorts(process: Process, deps: Deps): AllocationPorts {
  const ports = allocationPorts(deps);
  return process.environment ? { ...ports, seen: process.environment.seenBy(process) } : ports;
}

type Consume = (process: Process, records: SQSRecord[]) => Promise<Iterable<string>>;

function consumer<Message>(
  name: ConsumerName,
  message: z.ZodType<Message>,
  run: (process: Process, ...args: Parameters<QueueRun<Message>['run']>) => ReturnType<QueueRun<Message>['run']>,
): Consume {
  return async (process, records) => {
    const whole: QueueRun<Message> = { message, run: (...args) => run(process, ...args) };
    const deps = depsOf(process);
    const failures = await consumeBatch(whole, deps, records, process.world.nowMs + functionLifeMs);
    if (failures.size > 0) await settleFailures(deps, name, records, failures);
    return failures.keys();
  };
}

const trigger = z.looseObject({});

const consumers: Record<ConsumerName, Consume> = {
  reservations: consumer('reservations', ReserveCommand, (process, deps, batch, deadlineMs) =>
    allocateBatch(modelAllocationPorts(process, deps), batch, deadlineMs),
  ),
  purchases: consumer('purchases', PayCommand, (process, _, batch, deadlineMs) =>
    payPurchases(modelPurchasePorts(process), batch, deadlineMs),
  ),
  notifications: consumer('notifications', BusEvent, (_, deps, batch, deadlineMs) => notify(deps, batch, deadlineMs)),
  advance: consumer('advance', AdvanceTrigger, (_, deps, batch, deadlineMs) =>
    advance(deps, inventoryPorts(deps), batch, deadlineMs),
  ),
  relay: consumer('relay', trigger, async (_, { db, bus, clock }, __, deadlineMs) => {
    await sweepOutbox(db, bus, clock(), deadlineMs);
    return [];
  }),
  settle: consumer('settle', trigger, async (process) => {
    await resendOpenPurchases(modelPurchasePorts(process));
    return [];
  }),
  reconcile: consumer('reconcile', ReconcileTrigger, (_, deps, batch, deadlineMs) =>
    reconcileOnTrigger(deps, batch, deadlineMs),
  ),
};

/** A queue with its function. */
export function queueOf(name: ConsumerName, options: Omit<QueueOptions, 'name' | 'consume'>): QueueOptions {
  return { name, ...options, consume: consumers[name] };
}

/** What a rule sends when its time has come. */
export const tick = { 'detail-type': 'Scheduled Event' };
