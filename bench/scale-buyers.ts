/**
 * Customers who buy in another sale while a verb runs, at a fixed rate, whether or not the ones before have their answers: says
 * how long each purchase took from when it was due, and how many were not accepted.
 *
 *   forked with the sale's id and the purchases a second, as JSON; begins and ends by messages
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { openDeps } from '#platform/environment/deps.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import type { Registry } from '#platform/kernel/registry.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { requestPurchase } from '#purchase/request.ts';
import { pagesOf } from './long-sale.ts';
import { openUnhurried, untilAnswered } from './unhurried.ts';

/** What became of the purchases. */
export interface Bought {
  readonly latenciesMs: number[];
  readonly failed: number;
}

const [task = ''] = process.argv.slice(2);
const { saleId, perSecond } = JSON.parse(task) as { saleId: SaleId; perSecond: number };
const registry = JSON.parse(readFileSync(process.env.HOLDFAST_REGISTRY ?? '', 'utf8')) as Registry;
const deps = openDeps(registry, {
  queue: () => ({ url: '', send: async () => undefined, sendAll: async () => undefined }),
  bus: { publish: async (events) => events.map(() => true) },
});

const unhurried = openUnhurried(registry['mysql/main'] ?? '');
let latenciesMs: number[] = [];
let failed = 0;
let running = false;

async function buy(): Promise<void> {
  let dueMs = performance.now();
  const under = new Set<Promise<void>>();
  for await (const page of pagesOf(unhurried, saleId, 500)) {
    for (const { customerId, reservationId, state, purchaseId } of page) {
      if (state !== 'allocated' || purchaseId !== null) continue;
      if (!running) return void (await Promise.all(under));
      dueMs = Math.max(dueMs + 1_000 / perSecond, performance.now() - 1_000);
      await sleep(Math.max(0, dueMs - performance.now()));
      const wantedAtMs = dueMs;
      const order = { reservationIds: [reservationId], paymentToken: 'tok_ok' };
      const bought = requestPurchase(deps, customerId, 'other', order)
        .then(
          (answer) => (isRefusal(answer) ? failed++ : latenciesMs.push(performance.now() - wantedAtMs)),
          () => failed++,
        )
        .then(() => void under.delete(bought));
      under.add(bought);
    }
  }
  await Promise.all(under);
}

let work: Promise<void> = Promise.resolve();
process.on('disconnect', () => process.exit(0));
process.on('message', ({ start }: { start: boolean }) => {
  if (start) {
    latenciesMs = [];
    failed = 0;
    running = true;
    work = buy();
    work.catch((error: Error) => process.send?.({ error: error.message }));
    return;
  }
  running = false;
  work.then(
    () => process.send?.({ bought: { latenciesMs, failed } satisfies Bought }),
    () => undefined,
  );
});
untilAnswered(() => redisReady(deps.redis)).then(() => process.send?.({ ready: true }));
