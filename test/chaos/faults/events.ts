/** Rows 29 to 33: what can happen between a committed fact and its consumers. */
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '#local/wait.ts';
import type { Fault, Run } from '../fault.ts';
import type { StepOrder } from '../steps.ts';

/** A row is swept only when it has waited this long. */
const sweepAfterMs = 5_200;

const outbox = async (run: Run) => (await run.world.rows<{ n: number }>('SELECT COUNT(*) AS n FROM outbox'))[0]?.n ?? 0;

const partialPut: Fault = {
  number: 29,
  name: 'put-partly-fails',
  title: 'The bus refuses some of the entries',
  also: ['I5'],
  async run(run) {
    const { world, load } = run;
    const sales = await load.sales(3, { allotment: 100 });
    await world.faults('events', { seed: 11, failEntries: 0.5 });
    // A batch publishes one event, so it takes some time for enough of them.
    await load.rush({ sales, requests: 120, concurrency: 6, paceMs: 400 });
    await load.decided();
    await load.act({ cancel: 0.4 });
    const left = await outbox(run);
    run.count('left in the outbox', left);
    run.expect(left > 0, 'nothing was refused');
    await sleep(sweepAfterMs);
    // The relay meets refusals too, and goes on.
    for (let times = 1; times <= 4; times++) {
      await world.send('relay', {});
      await sleep(700);
    }
    run.count('left after four sweeps', await outbox(run));
    await world.faults('events');
  },
};

const relayDies: Fault = {
  number: 30,
  name: 'relay-dies',
  title: 'Relay dies after publishing',
  also: ['I5'],
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 100 });
    world.markSpecial();
    await world.stopWorkers();
    // First the publisher that runs right after the commit, then the sweep: both have published and not deleted.
    const dying = (at: string) => ({ ...run.orders, steps: [{ at, act: 'die' }] as StepOrder[], trace: run.trace });
    for (let times = 1; times <= 2; times++) {
      const publisher = await world.startWorker('publisher', {
        functions: 'allocate',
        orders: dying('allocate.putEvents'),
      });
      await load.rush({ sales: [sale], requests: 10, concurrency: 6 });
      await waitFor('the publisher to die', () => !publisher.running, { timeoutMs: run.patienceMs });
      world.kills++;
    }
    run.count('left in the outbox', await outbox(run));
    run.expect((await outbox(run)) > 0, 'nothing was left to sweep');
    await sleep(sweepAfterMs);
    const relay = await world.startWorker('relay', { functions: 'relay', orders: dying('relay.putEvents') });
    await world.send('relay', {});
    await waitFor('the relay to die', () => !relay.running, { timeoutMs: run.patienceMs });
    world.kills++;
    await world.startWorkers(2, run.orders);
    await load.decided();
    const [shown] = await world.rows<{ notices: number; moves: number }>(
      'SELECT (SELECT COUNT(*) FROM notifications) AS notices, (SELECT COUNT(*) FROM reservations) AS moves',
    );
    run.count('displays', shown?.notices ?? 0);
  },
};

const twoRelays: Fault = {
  number: 31,
  name: 'two-relays',
  title: 'Two relays at once',
  also: ['I5'],
  async run(run) {
    const { world, load } = run;
    const sales = await load.sales(4, { allotment: 100 });
    await world.faults('events', { seed: 2, failEntries: 1 });
    await load.rush({ sales, requests: 120, concurrency: 6, paceMs: 100 });
    await load.decided();
    await load.act({ cancel: 0.5 });
    run.count('in the outbox', await outbox(run));
    await world.faults('events');
    await sleep(sweepAfterMs);
    // Two workers run the relay; each gets triggers, and sweeps while the other does.
    await Promise.all(Array.from({ length: 6 }, () => world.send('relay', {})));
    await waitFor('the outbox to empty', async () => (await outbox(run)) === 0, { timeoutMs: run.patienceMs });
  },
};

const consumerDown: Fault = {
  number: 32,
  name: 'consumer-down',
  title: 'The notifier is down',
  also: ['I5'],
  async run(run) {
    const { world, load, scale } = run;
    const sales = await load.sales(2, { allotment: 120 });
    world.markSpecial();
    await world.stopWorkers();
    await world.startWorker('worker-1', { functions: world.functionsBut('notify'), orders: run.orders });
    await load.rush({ sales, requests: 80, concurrency: 8 });
    await load.decided();
    await load.act({ cancel: 0.3, buy: 0.3 });
    await sleep(scale > 1 ? 60_000 : 6_000);
    run.count('events waiting', await world.depth('notifications'));
    run.expect((await world.depth('notifications')) > 0, 'nothing waited for the notifier');
    await world.startWorker('notifier', { functions: 'notify', orders: run.orders });
    await waitFor('the notifier to catch up', async () => (await world.depth('notifications')) === 0, {
      timeoutMs: run.patienceMs,
    });
  },
};

const rules: Fault = {
  number: 33,
  name: 'rules-unreliable',
  title: 'Rules fire twice, late or never',
  also: ['I5', 'I8'],
  async run(run) {
    const { world, load } = run;
    world.markSpecial();
    await world.stopWorkers();
    await world.startWorker('worker-1', {
      functions: world.functionsBut('advance'),
      orders: run.orders,
    });
    const advancer = await world.startWorker('advancer', { functions: 'advance', orders: run.orders });
    await world.faults('events', { seed: 4, duplicate: 0.5, delayMs: 400, jitterMs: 900 });
    const short = {
      reserveOpensInMs: 1_200,
      reserveClosesInMs: 3_500,
      purchaseOpensInMs: 4_000,
      purchaseClosesInMs: 7_500,
    };
    const sales = await load.sales(2, { allotment: 30, waitlistSize: 20, offerLifeSeconds: 5, ...short });
    const startedAtMs = Date.now();
    // From before the opening until after the close: the clock decides, not the rules. From the middle on their
    // messages are not even consumed, until everything is over.
    const ignored = sleep(3_000).then(() => advancer.stop());
    while (Date.now() - startedAtMs < 4_200) {
      for (const saleId of sales)
        await load.reserve(
          load.customer(),
          saleId,
          { quantity: 1 + Math.floor(run.random() * 2), atLeast: 1 },
          undefined,
          1,
        );
      if (run.random() < 0.2) await world.fire('advance-sales');
      await sleep(90);
    }
    await ignored;
    await load.decided();
    await load.act({ buy: 0.5, cancel: 0.2 });
    await world.fire('advance-sales');
    await world.fire('advance-sales');
    await waitFor('the windows to close', () => Date.now() - startedAtMs > 8_500, { timeoutMs: run.patienceMs });
    const ordered = (await world.rows('SELECT id FROM purchases')).length;
    run.count('ordered in the window', ordered);
    run.expect(ordered > 0, 'no customer could buy');
    await load.act({ buy: 1 });
    await world.faults('events');
    await world.startWorkers(2, run.orders);
    await Promise.all([1, 2, 3].map(() => world.fire('advance-sales')));
    await waitFor(
      'everything to expire',
      async () =>
        (
          await world.rows(
            "SELECT id FROM reservations WHERE state IN ('allocated', 'waitlisted') AND purchase_id IS NULL",
          )
        ).length === 0,
      { timeoutMs: run.patienceMs },
    );
  },
};

export const eventFaults = [partialPut, relayDies, twoRelays, consumerDown, rules];
