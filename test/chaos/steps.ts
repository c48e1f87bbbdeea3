/**
 * Loaded before a function process (`node --import`): names every step that a function takes, and does
 * at a named step what the chaos driver asks for: die as by kill -9, stop as by SIGSTOP, throw, or wait.
 *
 * Invariant: the shipped code knows nothing of it. While it is loaded, the functions that do a step are wrapped, and a
 * control's faults are planted. A place that does not exist ends the process, and each that was reached is noted, so that
 * a control which has lost its place is noticed and not silently harmless.
 *
 * Steps are named after what has just been done, `<function>.<what it called>`; `<function>.begin` and `.commit` are
 * a transaction's, `.received` and `.answered` an invocation's, `queue.deleted` an acknowledgement's.
 * HOLDFAST_CHAOS is the JSON of `ChaosOrders`.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SQSBatchResponse } from 'aws-lambda';
import { seededRandom } from '#local/service/random.ts';
import type { SqsClient } from '#platform/aws/sqs-client.ts';
import { inModule, type Planted, placesOf, plant } from '../support/plant.ts';
import { faultsOf } from './controls.ts';

/** What is to happen at a step. */
export interface StepOrder {
  at: string;
  act: 'die' | 'stop' | 'throw' | 'wait';
  /** For `wait`, how long. */
  ms?: number;
  /** How often the step passes unharmed before. */
  skip?: number;
  /** How often it happens. Default 1. */
  times?: number;
  /** Only where the arguments of the step contain this text as JSON. */
  where?: string;
}

export interface ChaosOrders {
  steps?: StepOrder[];
  /** Whose faults are planted: a control, or what `faultsOf` knows beside them. */
  planted?: string;
  /** Chance that an acknowledgement does not reach the queue. */
  loseAcks?: number;
  /** Chance that the queue refuses an entry of a batch that is sent to it. */
  refuseEntries?: number;
  /** How wrong this process's clock is. */
  clockShiftMs?: number;
  seed?: number;
  /** Where each order that was carried out, and each invocation, is noted, one JSON line each. */
  trace?: string;
}

const orders = JSON.parse(process.env.HOLDFAST_CHAOS ?? '{}') as ChaosOrders;
const passed = new Map<StepOrder, number>();
const random = seededRandom(orders.seed ?? 1);
if (orders.clockShiftMs) shiftClock(orders.clockShiftMs);

function shiftClock(byMs: number): void {
  const RealDate = Date;
  class ShiftedDate extends RealDate {
    constructor(...args: [] | ConstructorParameters<typeof Date>) {
      super(...((args.length === 0 ? [RealDate.now() + byMs] : args) as [number]));
    }
    static override now(): number {
      return RealDate.now() + byMs;
    }
  }
  globalThis.Date = ShiftedDate as DateConstructor;
}

function note(fact: object): void {
  if (orders.trace)
    appendFileSync(orders.trace, `${JSON.stringify({ atMs: Date.now(), pid: process.pid, ...fact })}\n`);
}

/** Thrown where an order says so; shipped code has no case for it. */
class Thrown extends Error {
  constructor(step: string) {
    super(`thrown at ${step}, as the chaos driver asked`);
    this.name = 'Thrown';
  }
}

async function step(name: string, args: () => unknown = () => undefined): Promise<void> {
  for (const order of orders.steps ?? []) {
    if (order.at !== name) continue;
    if (order.where !== undefined && !JSON.stringify(args() ?? null).includes(order.where)) continue;
    const count = (passed.get(order) ?? 0) + 1;
    passed.set(order, count);
    const skip = order.skip ?? 0;
    if (count <= skip || count > skip + (order.times ?? 1)) continue;
    note({ step: name, act: order.act });
    if (order.act === 'die') {
      process.kill(process.pid, 'SIGKILL');
      await new Promise(() => undefined);
    }
    if (order.act === 'stop') process.kill(process.pid, 'SIGSTOP');
    if (order.act === 'throw') throw new Thrown(name);
    if (order.act === 'wait') await sleep(order.ms ?? 0);
  }
}

type Verb = (...args: unknown[]) => unknown;
type AnyFunction = (...args: never[]) => unknown;

/** Which function is running; what is not called by one is the HTTP host's. */
const running = new AsyncLocalStorage<string>();
const stepOf = (name: string, args: () => unknown = () => undefined) =>
  step(`${running.getStore() ?? 'http'}.${name}`, args);

/** What stands in the place of a function: itself, followed by its step. */
function followed<F extends AnyFunction>(name: string): (real: F) => F {
  return (real) => {
    const withStep: Verb = async (...args) => {
      const result = await (real as unknown as Verb)(...args);
      // The first argument is the transaction or the deps, not the data.
      await stepOf(name, () => args.slice(1));
      return result;
    };
    return withStep as unknown as F;
  };
}

/** The functions that are wrapped so that their steps have names. */
const steps: readonly Planted[] = [
  inModule(() => import('#platform/mysql/mysql.ts'), {
    openDb:
      (real) =>
      (...args) => {
        const db = real(...args);
        return {
          ...db,
          transaction: async (work) => {
            const result = await db.transaction(async (tx) => {
              await stepOf('begin');
              return work(tx);
            });
            await stepOf('commit');
            return result;
          },
        };
      },
  }),
  inModule(() => import('#platform/redis/sale-lock.ts'), {
    openSaleLock:
      (real) =>
      (...args) => {
        const lock = real(...args);
        return {
          acquire: async (...wanted) => {
            const grant = await lock.acquire(...wanted);
            await stepOf('acquire');
            return {
              ...grant,
              release: async () => {
                await grant.release();
                await stepOf('release');
              },
            };
          },
        };
      },
  }),
  inModule(() => import('#platform/aws/eventbridge.ts'), {
    openBus:
      (real) =>
      (...args) => {
        const bus = real(...args);
        return { ...bus, publish: followed<typeof bus.publish>('putEvents')(bus.publish) };
      },
  }),
  inModule(() => import('#purchase/payment-gateway.ts'), {
    openPaymentGateway:
      (real) =>
      (...args) => {
        const gateway = real(...args);
        return { ...gateway, charge: followed<typeof gateway.charge>('charge')(gateway.charge) };
      },
  }),
  inModule(() => import('#sale/sale.store.ts'), {
    readSales: followed('readSales'),
    lockSales: followed('lockSales'),
    moveStock: followed('moveStock'),
  }),
  inModule(() => import('#sale/ledger.store.ts'), { recordMovements: followed('recordMovements') }),
  inModule(() => import('#reservation/reservation.store.ts'), {
    readReservations: followed('readReservations'),
    readHoldings: followed('readHoldings'),
    insertDecided: followed('insertDecided'),
    lockReservations: followed('lockReservations'),
    markPurchased: followed('markPurchased'),
  }),
  inModule(() => import('#purchase/purchase.store.ts'), {
    lockPurchases: followed('lockPurchases'),
    countAttempt: followed('countAttempt'),
    readItems: followed('readItems'),
    movePurchases: followed('movePurchases'),
  }),
  inModule(() => import('#events/outbox.ts'), {
    recordEvents: followed('recordEvents'),
    publishEvents: followed('publishEvents'),
  }),
  inModule(() => import('#mirror/mirror.ts'), { refreshMirror: followed('refreshMirror') }),
  inModule(() => import('#platform/handlers/queue.ts'), {
    queueHandler: (real) => (consumer) => {
      const handler = real(consumer);
      return (event, context) => {
        const name = context.functionName.split('-').at(-1) ?? '';
        const { Records } = event;
        return running.run(name, async () => {
          note({ invoked: name, records: Records.length });
          await stepOf('received', () => Records.map(({ body }) => body));
          const answer = await handler(event, context);
          await stepOf('answered');
          return forge(name, answer);
        });
      };
    },
  }),
  inModule(() => import('#local/sqs.ts'), {
    openSqs: (real) => (endpoint, url, region) => {
      const port = real(endpoint, url, region);
      return {
        ...port,
        delete: async (handles) => {
          const lost = handles.filter(() => orders.loseAcks !== undefined && random() < orders.loseAcks);
          if (lost.length > 0) note({ step: 'queue.deleted', act: 'lose', records: lost.length });
          const left = await port.delete(handles.filter((handle) => !lost.includes(handle)));
          await step('queue.deleted');
          return left;
        },
      };
    },
  }),
  inModule(() => import('#platform/aws/sqs.ts'), { openSqs: (real) => () => refusing(real()) }),
  inModule(() => import('#reservation/allocate.ts'), {
    allocateBatch: (real) => async (deps, batch, deadlineMs) => {
      note({ consumed: 'allocate', records: batch.length });
      await stepOf('judge', () => batch.map(({ message }) => message));
      return real(deps, batch, deadlineMs);
    },
  }),
];

/** The client, refusing some entries of what it sends, where an order says so. */
function refusing(client: SqsClient): SqsClient {
  const { refuseEntries } = orders;
  if (refuseEntries === undefined) return client;
  const sendMessages = client.sendMessages.bind(client);
  const refuse: SqsClient['sendMessages'] = async (url, entries) => {
    const refused = entries.filter(() => random() < refuseEntries);
    if (refused.length === 0) return sendMessages(url, entries);
    note({ step: 'queue.sent', act: 'refuse', records: refused.length });
    const taken = entries.filter((entry) => !refused.includes(entry));
    const { Successful } = taken.length === 0 ? { Successful: [] } : await sendMessages(url, taken);
    return { Successful, Failed: refused.map(({ Id }) => ({ Id, Code: 'InternalError', SenderFault: false })) };
  };
  return Object.assign(client, { sendMessages: refuse });
}

/** A malformed batch response, where an order asks for one. */
function forge(name: string, answer: SQSBatchResponse): SQSBatchResponse {
  const order = orders.steps?.find(({ at }) => at === `${name}.forge`);
  if (!order) return answer;
  const count = (passed.get(order) ?? 0) + 1;
  passed.set(order, count);
  if (count > (order.times ?? 1)) return answer;
  note({ step: `${name}.forge`, act: 'throw' });
  return { batchItemFailures: [{ itemIdentifier: 'no message has this id' }] };
}

// The steps around the faults, so that a step is reached of what has a fault in it.
const faults = orders.planted === undefined ? [] : faultsOf(orders.planted);
note({ toPlant: await placesOf(faults) });
await plant([...faults, ...steps], (place) => note({ planted: place }));
