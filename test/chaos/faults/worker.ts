/** Rows 1 to 4 and 25 to 28: what can happen to the process that runs a queue function. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { StackProcess } from '#local/supervisor.ts';
import { waitFor } from '#local/wait.ts';
import type { Fault, Run } from '../fault.ts';
import type { StepOrder } from '../steps.ts';
import { readLines } from '../trace.ts';
import { standsStill, visibilitySeconds } from '../world.ts';

/** Every step of the allocate worker, in its order. */
export const allocateSteps = [
  'allocate.received',
  'allocate.judge',
  'allocate.acquire',
  'allocate.begin',
  'allocate.readSales',
  'allocate.readReservations',
  'allocate.readHoldings',
  'allocate.insertDecided',
  'allocate.recordMovements',
  'allocate.moveStock',
  'allocate.recordEvents',
  'allocate.commit',
  'allocate.refreshMirror',
  'allocate.putEvents',
  'allocate.publishEvents',
  'allocate.release',
  'allocate.answered',
  'queue.deleted',
];

/** Every step of the pay worker. */
export const paySteps = [
  'pay.received',
  'pay.begin',
  'pay.lockPurchases',
  'pay.countAttempt',
  'pay.commit',
  'pay.charge',
  'pay.readItems',
  'pay.lockSales',
  'pay.lockReservations',
  'pay.movePurchases',
  'pay.markPurchased',
  'pay.recordMovements',
  'pay.moveStock',
  'pay.recordEvents',
  'pay.refreshMirror',
  'pay.publishEvents',
  'pay.answered',
];

/** An id without its dashes, for UNHEX. */
const hex = (id: string) => id.replaceAll('-', '');

/** Resolves when a process has stopped itself. */
export async function stoppedItself(one: StackProcess, timeoutMs = 60_000): Promise<void> {
  await waitFor(`${one.name} to stop`, () => standsStill(one), { timeoutMs });
}

/** Kills a worker at each of the steps in turn, while requests come in. Steps that are never reached are named. */
async function dieAt(
  run: Run,
  steps: string[],
  functions: string | undefined,
  feed: () => Promise<void>,
): Promise<void> {
  const { world } = run;
  world.markSpecial();
  await world.stopWorkers();
  for (const at of steps) {
    const orders = { ...run.orders, steps: [{ at, act: 'die' }] as StepOrder[], trace: run.trace };
    const worker = await world.startWorker('mortal', { ...(functions ? { functions } : {}), orders });
    // Which steps a request takes is a race: a webhook may be faster than the worker. So other requests are tried too.
    for (let feeds = 0; worker.running && feeds < 4; feeds++) {
      await feed();
      await waitFor(`the worker to die at ${at}`, () => !worker.running, { timeoutMs: run.patienceMs / 4 }).catch(
        () => undefined,
      );
    }
    run.expect(!worker.running, `no worker came to ${at}; it said ${worker.log().slice(-600)}`);
    if (!worker.running) {
      world.kills++;
      run.count('crash points');
    }
    await worker.stop();
  }
  await world.startWorkers(2, run.orders);
}

const crashPoints: Fault = {
  number: 1,
  name: 'crash-points',
  title: 'Worker dies at every step',
  also: ['I6'],
  async run(run) {
    const { load } = run;
    const sales = await load.sales(2, { allotment: 60 });
    const feed = () => load.rush({ sales, requests: 4, concurrency: 4 });
    await dieAt(run, allocateSteps, undefined, feed);
  },
};

const payCrashPoints: Fault = {
  number: 1,
  name: 'pay-crash-points',
  title: 'Pay worker dies at every step',
  also: ['I5', 'I6', 'I7'],
  async run(run) {
    const { load, world } = run;
    const sale = await load.sale({ allotment: 400 });
    await load.rush({ sales: [sale], requests: paySteps.length * 3, concurrency: 10 });
    await load.decided();
    const line = [...load.promised];
    await dieAt(run, paySteps, undefined, async () => {
      for (const { account, reservationId } of line.splice(0, 2))
        await load.buy(account, [reservationId], 'tok_approve');
    });
    run.count('purchases', (await world.rows('SELECT id FROM purchases')).length);
  },
};

const randomDeaths: Fault = {
  number: 2,
  name: 'random-deaths',
  title: 'Random worker deaths',
  also: ['I5', 'I6'],
  async run(run) {
    const { world, load, random } = run;
    const sales = await load.sales(4, { allotment: 400, cap: 10_000 });
    // A batch takes a third of a second instead of a few milliseconds, so that deaths come in the middle of one.
    world.proxies.mysql.set({ latencyMs: 20 });
    const workers = await world.startWorkers(2, run.orders);
    const busy = new Set<StackProcess>();
    const harm = async (victim: StackProcess) => {
      busy.add(victim);
      if (random() < 0.15) {
        await world.crash(victim);
      } else {
        world.pause(victim);
        await sleep(60 + 240 * random());
        world.continue(victim);
      }
      busy.delete(victim);
    };
    let over = false;
    const killer = (async () => {
      const done: Promise<void>[] = [];
      while (!over) {
        await sleep(120);
        const victims = workers.filter((worker) => worker.running && !busy.has(worker));
        const victim = victims[Math.floor(random() * victims.length)];
        if (victim) done.push(harm(victim));
      }
      await Promise.all(done);
    })();
    await load.rush({ sales, requests: 500, concurrency: 10, paceMs: 60 });
    await load.act({ cancel: 0.2, buy: 0.2 });
    over = true;
    await killer;
  },
};

/** The processes that a crowd stops, at random: mostly workers, sometimes a server they all depend on. */
const stoppedInACrowd = [...Array<string>(16).fill('worker'), 'queues', 'redis', 'mysql', 'http'];
/** The processes that a crowd kills, in turn. Each restart costs seconds of a core, so there are fewer of these. */
const killedInACrowd = ['mysql', 'worker', 'redis', 'worker', 'queues', 'worker', 'events', 'worker', 'http', 'worker'];
const stopEveryMs = 250;
const killEveryMs = 2_000;
const requestsOfACrowd = 500;

const crowd: Fault = {
  number: 2,
  name: 'crowd',
  title: 'A crowd, while every kind of process dies and stops at random',
  also: ['I4', 'I5', 'I6', 'I7'],
  mendsMirror: true,
  losesSenders: true,
  async run(run) {
    const { world, load, random, scale } = run;
    const large = await load.sales(4, { allotment: 500 * scale, cap: 10_000 });
    const small = await load.sale({ allotment: 60 * scale, cap: 4 * scale, waitlistSize: 10 * scale });
    const workers = await world.startWorkers(scale > 1 ? 3 : 2, run.orders);
    const busy = new Set<StackProcess>();
    const harm = async (kind: string, how: (victim: StackProcess) => Promise<unknown>): Promise<void> => {
      const worker = workers[Math.floor(random() * workers.length)];
      const victim = kind === 'worker' ? worker : kind === 'http' ? world.http : world.part(kind);
      if (!victim?.running || busy.has(victim)) return;
      busy.add(victim);
      try {
        await how(victim);
      } catch (error) {
        run.expect(false, `${victim.name} could not be killed or stopped: ${(error as Error).message}`);
      } finally {
        busy.delete(victim);
      }
    };
    let over = false;
    const stopping = (async () => {
      const stopped: Promise<void>[] = [];
      while (!over) {
        await sleep(stopEveryMs * (0.5 + random()));
        const kind = stoppedInACrowd[Math.floor(random() * stoppedInACrowd.length)] ?? 'worker';
        stopped.push(
          harm(kind, async (victim) => {
            world.pause(victim);
            await sleep(60 + 240 * random());
            world.continue(victim);
          }),
        );
      }
      await Promise.all(stopped);
    })();
    const killing = (async () => {
      for (let turn = 0; !over; turn++) {
        await sleep(killEveryMs * (0.5 + random()));
        const kind = killedInACrowd[turn % killedInACrowd.length] ?? 'worker';
        await harm(kind, async (victim) => {
          await world.crash(victim);
          run.count(`${kind} killed`);
        });
      }
    })();
    // The short one takes long enough to meet a death of each kind.
    const pace = scale > 1 ? { concurrency: 48, paceMs: 60 } : { concurrency: 8, paceMs: 240 };
    await load.rush({ sales: [...large, ...large, small], requests: requestsOfACrowd * scale, ...pace });
    await load.act({ cancel: 0.1, buy: 0.05 });
    over = true;
    await Promise.all([stopping, killing]);
    await load.decided(60_000 + 1_500 * scale);
  },
};

const holderPauses: Fault = {
  number: 3,
  name: 'holder-pauses',
  title: 'Holder pauses past the life of its lock',
  also: ['I6'],
  async run(run) {
    const { world, load } = run;
    world.markSpecial();
    await world.stopWorkers();
    // What the holder has received must stay its own until it goes on.
    await world.setVisibility('reservations', 60);
    try {
      // It stops after reading the stock it is about to move, while the lock's life runs out and others sell everything.
      for (const at of ['allocate.acquire', 'allocate.readSales']) {
        const sale = await load.sale({ allotment: 30 });
        const orders = { ...run.orders, steps: [{ at, act: 'stop' }] as StepOrder[], trace: run.trace };
        const holder = await world.startWorker('holder', { functions: 'allocate', orders });
        // Other customers take the units: requests of the same ones would collide on their reservation numbers first.
        const half = world.accounts.length / 2;
        await load.rush({ sales: [sale], requests: 8, concurrency: 8, among: world.accounts.slice(0, half) });
        await stoppedItself(holder);
        world.pauses++;
        const stoppedAtMs = Date.now();
        const other = await world.startWorker('other', { orders: run.orders });
        await waitFor('the lock to expire', async () => (await world.redis.keys('lock:*')).length === 0, {
          timeoutMs: run.patienceMs,
        });
        run.measure('lock outlived', Date.now() - stoppedAtMs);
        await load.rush({ sales: [sale], requests: 24, concurrency: 8, among: world.accounts.slice(half) });
        await waitFor(
          'everything to be sold',
          async () =>
            (await world.rows('SELECT id FROM sales WHERE id = UNHEX(?) AND available = 0', [hex(sale)])).length === 1,
          { timeoutMs: run.patienceMs },
        );
        holder.kill('SIGCONT');
        run.count('stale holders');
        await load.decided();
        await Promise.all([holder.stop(), other.stop()]);
      }
    } finally {
      await world.setVisibility('reservations', visibilitySeconds);
    }
    await world.startWorkers(2, run.orders);
  },
};

const pausePastVisibility: Fault = {
  number: 4,
  name: 'pause-past-visibility',
  title: 'Worker pauses past the visibility of its messages',
  also: ['I5', 'I6'],
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 60 });
    world.markSpecial();
    await world.stopWorkers();
    for (const at of ['allocate.judge', 'allocate.commit']) {
      const orders = { ...run.orders, steps: [{ at, act: 'stop' }] as StepOrder[], trace: run.trace };
      const sleeper = await world.startWorker('sleeper', { functions: 'allocate', orders });
      await load.rush({ sales: [sale], requests: 12, concurrency: 8 });
      await stoppedItself(sleeper);
      world.pauses++;
      const pausedAtMs = Date.now();
      const other = await world.startWorker('other', { orders: { ...run.orders, trace: run.trace } });
      await load.decided();
      run.measure('redelivered after', Date.now() - pausedAtMs);
      sleeper.kill('SIGCONT');
      await sleep(1_000);
      await Promise.all([sleeper.stop(), other.stop()]);
    }
    const consumed = readLines(run.trace).filter((line) => line.consumed === 'allocate');
    const deliveries = consumed.reduce((sum, line) => sum + Number(line.records), 0);
    run.count('deliveries', deliveries);
    run.count('effects', (await world.rows('SELECT id FROM reservations')).length);
    run.expect(deliveries > load.promised.length, 'nothing was delivered twice');
    await world.startWorkers(2, run.orders);
  },
};

/** The promised limit from a worker's death to the next delivery of the messages it held. */
export const redeliveryWithinMs = (visibilitySeconds + 1) * 1_000;

/** Longer than a worker's long poll, after which a worker that stands still has none left under way. */
const pollEndsWithinMs = 1_500;

/** Requests for this many units are the ones at which the planted error throws. */
const cursed = '"quantity":9';

const oneThrows: Fault = {
  number: 25,
  name: 'one-of-ten-throws',
  title: 'One message of ten throws',
  also: ['I6'],
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 100 });
    world.markSpecial();
    await world.stopWorkers();
    for (let index = 0; index < 9; index++) await load.reserve(load.customer(), sale, { quantity: 1, atLeast: 1 });
    await load.reserve(load.customer(), sale, { quantity: 9, atLeast: 9 });
    const answers = [...load.outcomes].map(([answer, count]) => `${count} × ${answer}`).join(', ');
    run.expect(load.promised.length === 10, `not all ten requests were accepted: ${answers}`);
    const orders = {
      ...run.orders,
      steps: [{ at: 'allocate.judge', act: 'throw', where: cursed, times: 6 }] as StepOrder[],
      trace: run.trace,
    };
    await world.startWorker('worker-1', { orders });
    const startedAtMs = Date.now();
    await waitFor(
      'the nine others',
      async () => (await world.rows('SELECT id FROM reservations WHERE quantity <> 9')).length >= 9,
      { timeoutMs: run.patienceMs },
    ).catch(() => undefined);
    run.measure('nine decided after', Date.now() - startedAtMs);
    const decided = (await world.rows('SELECT id FROM reservations')).length;
    run.expect(decided === 9, `${decided} of 9 were decided while the tenth threw`);
    run.expect(Date.now() - startedAtMs < visibilitySeconds * 1_000, 'the nine had to wait for another delivery');
    run.count('handler calls', readLines(run.trace).filter((line) => line.consumed === 'allocate').length);
    await load.decided(45_000);
  },
};

const poison: Fault = {
  number: 26,
  name: 'poison',
  title: 'Poison messages',
  also: ['I6'],
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 300 });
    const poisons = ['not json', '{}', '{"reservationId":7}', '[]', JSON.stringify({ saleId: sale, quantity: -1 })];
    const sending = (async () => {
      for (const body of poisons) {
        await world.send('reservations', body);
        await sleep(150);
      }
    })();
    const startedAtMs = Date.now();
    await load.rush({ sales: [sale], requests: 120, concurrency: 10 });
    await sending;
    await load.decided();
    run.measure('others decided after', Date.now() - startedAtMs);
    await waitFor('the dead letters', async () => (await world.depth('reservations', true)) === poisons.length, {
      timeoutMs: 12_000,
    }).catch(() => undefined);
    run.measure('dead letters after', Date.now() - startedAtMs);
    const dead = await world.depth('reservations', true);
    run.count('dead letters', dead);
    run.expect(dead === poisons.length, `${dead} dead letters of ${poisons.length} poison messages`);
    const listed = await world.operate<{ items: { cause: { kind: string } }[] }>(
      'GET',
      '/ops/dead-letters?queue=reservations&limit=50',
    );
    const causes = listed.body.items.map(({ cause }) => cause.kind);
    run.expect(
      causes.length === poisons.length && causes.every((kind) => kind === 'unreadable'),
      `causes: ${causes.join(', ')}`,
    );
    const redrive = () =>
      world.operate<{ redriven: number }>('POST', '/ops/dead-letters/redrive', {
        queue: 'reservations',
        messageIds: 'all',
      });
    const { body } = await redrive();
    run.count('redriven', body.redriven);
    run.expect(body.redriven === poisons.length, `${body.redriven} were redriven`);
    await waitFor('the poison to die again', async () => (await world.depth('reservations', true)) === poisons.length, {
      timeoutMs: 12_000,
    }).catch(() => undefined);
    // An operator has seen them; the verifier asks for empty dead letters.
    await world.purge('dead', 'reservations');
  },
};

const timeoutMidBatch: Fault = {
  number: 27,
  name: 'timeout-mid-batch',
  title: 'Function killed by its time limit in the middle of a batch',
  also: ['I6'],
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 80 });
    world.markSpecial();
    await world.stopWorkers();
    for (const at of ['allocate.moveStock', 'allocate.commit', 'allocate.refreshMirror']) {
      // The function hangs at the step; what Lambda does then is to end the process.
      const orders = { ...run.orders, steps: [{ at, act: 'wait', ms: 600_000 }] as StepOrder[], trace: run.trace };
      // Another stands by, so that what is measured is the queue and not the start of a process. It must not take part
      // before: its last poll ends unheard while it stands still.
      const other = await world.startWorker('other', { orders: { ...run.orders, trace: run.trace } });
      world.pause(other);
      await sleep(pollEndsWithinMs);
      const hanging = await world.startWorker('hanging', { functions: 'allocate', orders });
      await load.rush({ sales: [sale], requests: 10, concurrency: 10 });
      await waitFor('the function to hang', () => readLines(run.trace).some((line) => line.step === at), {
        timeoutMs: run.patienceMs,
      });
      await sleep(300);
      hanging.leaveWhenDead();
      hanging.kill('SIGKILL');
      world.kills++;
      run.count('timeouts');
      const killedAtMs = Date.now();
      world.continue(other);
      // Waited for separately: from the second step on everything is decided before the worker dies.
      const again = () => readLines(run.trace).find(({ consumed, atMs }) => consumed && Number(atMs) > killedAtMs);
      await waitFor('redelivery', () => again() !== undefined, { timeoutMs: run.patienceMs }).catch(() => undefined);
      const tookMs = Number(again()?.atMs ?? Number.POSITIVE_INFINITY) - killedAtMs;
      if (Number.isFinite(tookMs)) run.measure('death to redelivery', tookMs);
      run.expect(tookMs <= redeliveryWithinMs, `the messages of a dead worker were redelivered after ${tookMs} ms`);
      await load.decided();
      await Promise.all([hanging.stop(), other.stop()]);
    }
    await world.startWorkers(2, run.orders);
  },
};

const malformedAnswer: Fault = {
  number: 28,
  name: 'malformed-answer',
  title: 'Malformed batchItemFailures',
  also: ['I6'],
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 80 });
    world.markSpecial();
    await world.stopWorkers();
    await load.rush({ sales: [sale], requests: 15, concurrency: 8 });
    const orders = {
      ...run.orders,
      steps: [{ at: 'allocate.forge', act: 'throw', times: 1 }] as StepOrder[],
      trace: run.trace,
    };
    await world.startWorker('worker-1', { orders });
    await load.decided();
    await sleep(400);
    const left = await world.depth('reservations');
    run.count('left in the queue', left);
    run.expect(left > 0, 'messages were deleted although the answer was malformed');
    await waitFor('redelivery', async () => (await world.depth('reservations')) === 0, { timeoutMs: run.patienceMs });
  },
};

export const workerFaults = [
  crashPoints,
  payCrashPoints,
  randomDeaths,
  crowd,
  holderPauses,
  pausePastVisibility,
  oneThrows,
  poison,
  timeoutMidBatch,
  malformedAnswer,
];
