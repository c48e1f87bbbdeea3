/**
 * A function of the suite `scale`, in a process of its own: carries out one verb on one sale or many, with one message at a time,
 * and says how long it took, what it needed, and whom it told. Queues lie in files, outside its memory; they and
 * the bus take no time. The provider answers at once.
 *
 * A verb that pays all the while has a second process, as the pay worker, which gets one batch after the other (`isPayer`).
 *
 *   forked with the verb's name, how many reservations its sales have and the ids of the databases' processes, as JSON
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { BusEvent } from '#events/catalog.ts';
import { AdvanceTrigger, advance } from '#launch/advance.ts';
import { type Deps, openDeps } from '#platform/environment/deps.ts';
import type { MustRepeat } from '#platform/handlers/queue.ts';
import { newId, type ReservationId, type SaleId } from '#platform/kernel/ids.ts';
import type { Registry } from '#platform/kernel/registry.ts';
import { maxReceiveCount } from '#platform/kernel/time-limits.ts';
import { openDb } from '#platform/mysql/mysql.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { payPurchases } from '#purchase/pay.ts';
import { type PaymentGateway, paymentGateway } from '#purchase/payment-gateway.ts';
import { PayCommand } from '#purchase/purchase.shapes.ts';
import { ReconcileTrigger, reconcileOnTrigger } from '#reconcile/reconcile.ts';
import { observed } from './long-sale.ts';
import { OutsideQueue } from './outside-queue.ts';
import { cpuMsOf, waitedMs } from './processor-time.ts';
import { type Run, verbs } from './scale-verbs.ts';
import { median } from './statistics.ts';
import { openUnhurried, untilAnswered } from './unhurried.ts';

/** What a run has shown. */
export interface ScaleFigures {
  readonly tookMs: number;
  /** Processor time of the function, and of the databases with everything else that asked them meanwhile. */
  readonly cpuMs: number;
  readonly serverCpuMs: number;
  /** The share of the time for which the function could have gone on, but other processes had the processors. */
  readonly waitedShare: number;
  /** When the first event was published, and the last. */
  readonly firstMs: number;
  readonly lastMs: number;
  /** The longest that a transaction held the sale, and the middle of all that did. */
  readonly heldMs: number;
  readonly heldMedianMs: number;
  readonly statementBytes: number;
  readonly eventBytes: number;
  /** Resident memory before the verb began, and at its peak. */
  readonly restMib: number;
  readonly peakMib: number;
  /** How many messages a function has not done the first time, for a time limit that was reached. */
  readonly redelivered: number;
  /** How many were told, and the sums of the last six bytes of their ids, in halves. */
  readonly told: { readonly count: number; readonly high: number; readonly low: number };
  readonly more: Readonly<Record<string, number>>;
}

/** What the process is forked with. */
export interface ScaleTask {
  readonly name: string;
  readonly size: number;
  readonly servers: readonly number[];
  /** Whether it is the pay worker of the verb. */
  readonly isPayer?: boolean;
}

/** What it is started with. */
export interface ScaleStart {
  readonly saleIds: readonly SaleId[];
}

/** How many messages of the queue `purchases` the pay worker gets (serverless.yml). */
const purchasesPerBatch = 10;
const limitMs = 9_000;
/** How long a message that a function has not done stays away. */
const awayMs = 1_000;
/** For so long a verb is repeated: V8's young generation takes seconds to become as large as it may. */
const warmMs = 10_000;
/** So many purchases are paid, or refunded, at most: the others cost the same. */
const messagesKept = 5_000;

const [task = ''] = process.argv.slice(2);
const { name, size, servers, isPayer = false } = JSON.parse(task) as ScaleTask;
const registry = JSON.parse(readFileSync(process.env.HOLDFAST_REGISTRY ?? '', 'utf8')) as Registry;
const mysqlUrl = registry['mysql/main'] ?? '';
const plain = openUnhurried(mysqlUrl);
const { db, extremes } = observed(openDb(mysqlUrl));

const queues = new Map<string, OutsideQueue>();
/** The most messages that have waited for the function `advance` at once. */
let mostWaited = 0;
const told = { count: 0, high: 0, low: 0 };
let eventBytes = 0;
let startedMs = 0;
let firstMs = 0;
let lastMs = 0;
/** When the first event of each sale was published, milliseconds after the start. */
const begunMs = new Map<SaleId, number>();
let isCounting = true;
let redelivered = 0;

const provider: PaymentGateway = {
  charge: async ({ purchaseId, amountMinor, currency }) => ({
    ...{ outcome: 'captured', chargeId: `charge-${purchaseId}`, amountMinor, currency, reference: purchaseId },
  }),
  find: async () => ({ outcome: 'absent' }),
  cancel: async () => ({ outcome: 'absent' }),
  refund: async ({ chargeId, refundKey, amountMinor }) => ({
    ...{ outcome: 'refunded', chargeId, refundKey, amountMinor, refundId: `refund-${chargeId}` },
  }),
  instances: () => [],
};

const deps: Deps = openDeps(registry, {
  db,
  queue: (queue) => {
    const waiting = queueOf(queue);
    const keep = (body: unknown): void => {
      if (waiting.length < messagesKept) waiting.push(body as object);
    };
    return {
      url: registry[`queue/${queue}`] ?? '',
      send: async ({ body, delaySeconds }) => void (delaySeconds || keep(body)),
      sendAll: async (messages) => {
        for (const { body, delaySeconds } of messages) if (!delaySeconds) keep(body);
      },
    };
  },
  bus: {
    publish: async (events) => {
      lastMs = performance.now() - startedMs;
      firstMs ||= lastMs;
      for (const { detailType, detail } of events) {
        eventBytes = Math.max(eventBytes, Buffer.byteLength(detail));
        note(BusEvent.parse({ 'detail-type': detailType, detail: JSON.parse(detail) }), JSON.parse(detail) as object);
      }
      return events.map(() => true);
    },
  },
  push: {
    send: async (pushes) => ({ reached: pushes.length, gone: [], missed: 0 }),
    close: () => undefined,
  },
});
const { once } = deps;
Object.defineProperty(deps, 'once', {
  value(this: Deps, open: (deps: Deps) => unknown) {
    return open === paymentGateway ? provider : once.call(this, open);
  },
});

/** Counts whom an event tells; what it means for the function is put into its queue, as the bus's rule does. */
function note(event: BusEvent, detail: object): void {
  if (event['detail-type'] === 'reservations.reminded') {
    for (const { reservationId } of event.detail.recipients) count(event.detail.saleId, reservationId);
  }
  if (event['detail-type'] === 'reservations.changed') {
    for (const { saleId, reservationId } of event.detail.changes) count(saleId, reservationId);
    if (event.detail.released) queueOf('advance').push({ 'detail-type': event['detail-type'], detail });
  }
}

function queueOf(queue: string): OutsideQueue {
  const waiting = queues.get(queue) ?? new OutsideQueue();
  queues.set(queue, waiting);
  return waiting;
}

function count(saleId: SaleId, reservationId: ReservationId): void {
  if (!isCounting) return;
  if (!begunMs.has(saleId)) begunMs.set(saleId, lastMs);
  told.count++;
  told.high += Number.parseInt(reservationId.slice(-12, -6), 16);
  told.low += Number.parseInt(reservationId.slice(-6), 16);
}

function deliveryOf<T>(message: T) {
  return { messageId: newId(), sentAtMs: deps.clock(), deliveries: 1, message };
}

/** Gives a function a batch, and again what it has not done, as its queue does. */
async function deliver<T>(
  work: (deps: Deps, batch: ReturnType<typeof deliveryOf<T>>[], deadlineMs: number) => Promise<MustRepeat>,
  messages: readonly T[],
): Promise<void> {
  let batch = messages.map(deliveryOf<T>);
  for (let delivery = 1; batch.length > 0; delivery++) {
    if (delivery > maxReceiveCount) throw new Error(`the function has failed on ${JSON.stringify(batch[0]?.message)}`);
    if (delivery > 1) {
      redelivered += batch.length;
      await sleep(awayMs);
    }
    const all = batch.map(({ messageId }) => messageId);
    const left = new Set(await work(deps, batch, deps.clock() + limitMs).catch(() => all));
    batch = batch.filter(({ messageId }) => left.has(messageId));
  }
}

/** Gives the pay worker what waits for it. Returns how many messages that were. */
async function pay(): Promise<number> {
  let paid = 0;
  for (;;) {
    const payments = queueOf('purchases').take(purchasesPerBatch);
    if (payments.length === 0) return paid;
    await (verbs[name]?.paysApart ? paidApart(payments) : payBatch(payments));
    paid += payments.length;
  }
}

function payBatch(payments: readonly object[]): Promise<void> {
  return deliver(
    payPurchases,
    payments.map((body) => PayCommand.parse(body)),
  );
}

/** Gives a batch to the process that is the pay worker, and waits until it is done. */
async function paidApart(payments: readonly object[]): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const onMessage = (message: { paid?: boolean }): void => {
    if (message.paid) resolve();
  };
  process.on('message', onMessage);
  process.send?.({ pay: payments });
  await promise;
  process.off('message', onMessage);
}

async function carry(): Promise<void> {
  for (;;) {
    const reconciling = queueOf('reconcile').shift();
    mostWaited = Math.max(mostWaited, queueOf('advance').length);
    const advancing = queueOf('advance').shift();
    if (reconciling) await deliver(reconcileOnTrigger, [ReconcileTrigger.parse(reconciling)]);
    if (advancing) await deliver(advance, [AdvanceTrigger.parse(advancing)]);
    if (!reconciling && !advancing) return;
  }
}

/** Processor time since the start, and the time spent waiting for a processor. */
function spent(): { cpuMs: number; serverCpuMs: number; waitedMs: number } {
  const { user, system } = process.cpuUsage();
  const serverCpuMs = servers.reduce((sum, pid) => sum + cpuMsOf(pid), 0);
  return { cpuMs: (user + system) / 1_000, serverCpuMs, waitedMs: waitedMs() };
}

async function carryOut({ saleIds }: ScaleStart): Promise<ScaleFigures> {
  const verb = verbs[name];
  if (!verb) throw new Error(`there is no verb ${name}`);
  const more: Record<string, number> = {};
  const keep = (figure: string, value: number): void => {
    more[figure] = value;
  };
  const [saleId] = saleIds;
  if (!saleId) throw new Error('there is no sale');
  const run: Run = { deps, db: plain, saleId, saleIds, size, carry, pay, keep };
  const finish = await begin();
  let times = 0;
  do {
    await verb.run(run);
    times++;
  } while (verb.isRepeated && performance.now() - startedMs < warmMs);
  const figures = finish(times);
  if (verb.isRepeated) keep('times', times);
  isCounting = false;
  if (saleIds.length > 1 && begunMs.size > 0) keep('lastSaleBegunMs', Math.max(...begunMs.values()));
  if (verb.function === 'advance') keep('mostMessagesWaited', mostWaited);
  await verb.afterwards?.(run);
  return { ...figures, ...extremesSoFar(), more };
}

/** Pays each batch that comes, until there are no more. */
async function payAll(): Promise<ScaleFigures> {
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  const begun = begin();
  process.on('message', ({ pay: payments, end }: { pay?: object[]; end?: boolean }) => {
    if (end) resolve();
    if (payments) begun.then(() => payBatch(payments)).then(() => process.send?.({ paid: true }), reject);
  });
  const finish = await begun;
  await ended;
  return { ...finish(), ...extremesSoFar(), more: {} };
}

/** Begins to measure; the function that it returns says what was needed since, for each time that something was done. */
async function begin() {
  await untilAnswered(() => redisReady(deps.redis));
  deps.queue('advance');
  // Resident memory before the verb.
  const restMib = process.memoryUsage.rss() / 1_048_576;
  const before = spent();
  startedMs = performance.now();
  return (times = 1) => {
    const tookMs = performance.now() - startedMs;
    const after = spent();
    return {
      ...{ restMib, tookMs: tookMs / times, firstMs, lastMs },
      cpuMs: (after.cpuMs - before.cpuMs) / times,
      serverCpuMs: (after.serverCpuMs - before.serverCpuMs) / times,
      waitedShare: (after.waitedMs - before.waitedMs) / tookMs,
    };
  };
}

/** What has been the longest and the largest since the start of the process, and whom it told. */
function extremesSoFar() {
  const { heldMs, held, statementBytes } = extremes;
  const heldMedianMs = held.length > 0 ? median(held) : 0;
  // The largest resident set, in kibibytes.
  const peakMib = process.resourceUsage().maxRSS / 1_024;
  return { heldMs, heldMedianMs, statementBytes, eventBytes, peakMib, redelivered, told };
}

process.on('disconnect', () => process.exit(0));
process.once('message', (start: ScaleStart) => {
  (isPayer ? payAll() : carryOut(start)).then(
    (figures) => process.send?.({ figures }),
    (error: Error) => process.send?.({ error: error.stack ?? error.message }),
  );
});
process.send?.({ ready: true });
