/** Rows 43 to 45 and 48: what can happen to a job that goes over all reservations of a sale in steps, and to the end of an offer. */
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '#local/wait.ts';
import type { Fault, Run } from '../fault.ts';
import type { StepOrder } from '../steps.ts';
import { mirrorEquals } from './redis.ts';

/** More than one step of any job looks at. */
const holders = 560;
const shiftSeconds = 30;
const hourMs = 3_600_000;

/** The steps of a worker that announces something to a sale's reservations. */
const announcingSteps = ['advance.received', 'advance.begin', 'advance.recordEvents', 'advance.commit'];
/** The steps of a worker that ends a sale and orders its refunds; each is on the way to a commit. */
const endingSteps = ['advance.begin', 'advance.lockSales', 'advance.recordEvents', 'advance.commit'];

/** A sale with more reservations than one step of a job looks at, of which some are bought. */
async function largeSale({ load }: Run, requests = holders): Promise<string> {
  const sale = await load.sale({ allotment: requests, cap: 4 * requests, waitlistSize: requests });
  await load.rush({ sales: [sale], requests, concurrency: 24 });
  await load.decided(60_000);
  await load.act({ buy: 0.05 });
  return sale;
}

/** Waits until no job of any sale is under way and every cancellation is done. */
async function jobsDone({ world, patienceMs }: Run): Promise<void> {
  const open = async () => {
    const [row] = await world.rows<{ open: number }>(
      `SELECT (SELECT COUNT(*) FROM sale_jobs WHERE finished_at_ms IS NULL)
            + (SELECT COUNT(*) FROM cancellations WHERE swept_at_ms IS NULL)
            + (SELECT COUNT(*) FROM refunds WHERE state = 'pending') AS open`,
    );
    return row?.open;
  };
  await waitFor('every job to be done', async () => (await open()) === 0, { timeoutMs: 3 * patienceMs });
}

/** Kills a worker at each of these steps in turn, while a job is under way. What one worker leaves, the next one continues. */
async function dieOnTheWay(
  run: Run,
  steps: readonly string[],
  act: (index: number) => Promise<unknown>,
  base = run.orders,
): Promise<void> {
  const { world } = run;
  for (const [index, at] of steps.entries()) {
    const orders = { ...base, steps: [{ at, act: 'die' }] as StepOrder[], trace: run.trace };
    const [functions] = at.split('.');
    const worker = await world.startWorker('mortal', { functions, orders });
    await act(index);
    await waitFor(`the worker to die at ${at}`, () => !worker.running, { timeoutMs: run.patienceMs }).catch(
      () => undefined,
    );
    run.expect(!worker.running, `no worker came to ${at}`);
    if (!worker.running) {
      world.kills++;
      run.count('crash points');
    }
    await worker.stop();
  }
}

const killed: Fault = {
  number: 43,
  name: 'long-job-killed',
  title: 'Worker dies at every step of a long job: announcing, ending, refunding',
  also: ['I4', 'I5', 'I6', 'I7', 'I8', 'I12', 'I13'],
  async run(run) {
    const { world } = run;
    const { operator } = world;
    const sale = await largeSale(run);
    await jobsDone(run);
    world.markSpecial();
    await world.stopWorkers();
    await dieOnTheWay(run, announcingSteps, (index) =>
      index % 2 === 0 ? operator.pauseSale(sale) : operator.resumeSale(sale),
    );
    await dieOnTheWay(run, endingSteps, async (index) => {
      if (index === 0) await operator.cancelSale(sale);
      else await world.send('advance', { saleId: sale });
    });
    await world.startWorkers(2, run.orders);
    await jobsDone(run);
    run.count('announcements', (await world.rows('SELECT kind FROM sale_jobs')).length);
  },
};

/** More than one transaction offers to; there is nothing for most of them at first. */
const unitsAtFirst = 60;
const unitsAdded = 4 * holders;
/** The sale opens so soon after all of them have been decided, by the operator's move. */
const opensInMs = 2_000;

const openingKilled: Fault = {
  number: 43,
  name: 'opening-killed',
  title: 'Worker dies at every step of giving stock to a long line, and of an opening',
  also: ['I4', 'I5', 'I6', 'I8', 'I11', 'I12'],
  async run(run) {
    const { world, load } = run;
    const { operator } = world;
    const lasting = { purchaseOpensInMs: hourMs, purchaseClosesInMs: 2 * hourMs };
    const sale = await load.sale({ allotment: unitsAtFirst, cap: 4 * holders, waitlistSize: holders, ...lasting });
    await load.rush({ sales: [sale], requests: holders, concurrency: 24 });
    await load.decided(60_000);
    world.markSpecial();
    await world.stopWorkers();
    await dieOnTheWay(run, endingSteps, (index) =>
      index === 0 ? operator.adjustStock(sale, unitsAdded) : world.send('advance', { saleId: sale }),
    );
    await world.startWorkers(2, run.orders);
    const waiting = async () =>
      (await world.rows<{ n: number }>(`SELECT COUNT(*) AS n FROM reservations WHERE state = 'waitlisted'`))[0]?.n;
    await waitFor('everybody in line to be served', async () => (await waiting()) === 0, {
      timeoutMs: 3 * run.patienceMs,
    }).catch(() => undefined);
    run.expect((await waiting()) === 0, `${await waiting()} still wait, though there is stock for all`);
    await jobsDone(run);
    await world.stopWorkers();
    await dieOnTheWay(run, announcingSteps, async (index) => {
      if (index > 0) return world.send('advance', { saleId: sale });
      const purchaseOpensAt = new Date(Date.now() + opensInMs).toISOString();
      const { confirmation } = await operator.previewReschedule(sale, { purchaseOpensAt });
      await operator.rescheduleSale(sale, { purchaseOpensAt, ...(confirmation ? { confirmation } : {}) });
      await sleep(opensInMs);
      await world.send('advance', { saleId: sale });
    });
    await world.startWorkers(2, run.orders);
    await jobsDone(run);
    await load.act({ buy: 0.05 });
    const counted = async () => {
      const [row] = await world.rows<{ holders: number; told: number }>(
        `SELECT (SELECT COUNT(*) FROM reservations WHERE state IN ('allocated', 'purchased')) AS holders,
           (SELECT COUNT(DISTINCT subject_id) FROM notifications WHERE kind = 'reminder.purchase-opened') AS told`,
      );
      return row ?? { holders: 0, told: 0 };
    };
    const isTold = async () => {
      // What a worker committed before it died is published by the relay.
      await world.fire('relay-outbox');
      const { holders: all, told } = await counted();
      return all > 0 && told === all;
    };
    await waitFor('all holders to be told', isTold, { timeoutMs: 3 * run.patienceMs, lookAgainMs: 1_000 }).catch(
      () => undefined,
    );
    const { holders: all, told } = await counted();
    run.count('holders', all);
    run.expect(all > 0 && told === all, `${told} of ${all} holders were told of the opening`);
  },
};

/** The steps of a worker that reconciles. */
const reconcilingSteps = ['reconcile.received', 'reconcile.begin', 'reconcile.commit'];

const reconcileKilled: Fault = {
  number: 43,
  name: 'reconcile-killed',
  title: 'Worker dies at every step of reconcile, which repairs a falsified mirror',
  also: ['I4', 'I6'],
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 300 });
    await load.rush({ sales: [sale], requests: 120, concurrency: 12 });
    await load.decided();
    const tag = sale.slice(-12);
    await world.redis.hset(`sale:{${tag}}`, 'available', 9_999);
    for (const claims of await world.redis.keys(`claims:{${tag}}:*`)) {
      const [field] = Object.keys(await world.redis.hgetall(claims)).filter((one) => !one.startsWith('@'));
      await world.redis.hdel(claims, field ?? '');
    }
    world.markSpecial();
    await world.stopWorkers();
    // So that there are many steps, as of a large sale.
    const orders = { ...run.orders, planted: run.orders.planted ?? 'small-steps' };
    await dieOnTheWay(
      run,
      reconcilingSteps,
      async (index) => {
        if (index === 0) await world.operate('POST', '/ops/reconcile', { saleId: sale });
      },
      orders,
    );
    await world.startWorkers(2, orders);
    const runs = () => world.rows<{ steps: number; state: string }>('SELECT steps, state FROM reconciliations');
    // The schedule goes on with a run that nobody has moved for half a minute.
    const isDone = async () => {
      await world.fire('reconcile-mirror');
      return (await runs()).every(({ state }) => state === 'done');
    };
    await waitFor('reconcile to be done', isDone, { timeoutMs: run.patienceMs + 45_000, lookAgainMs: 2_000 });
    run.count('steps', Math.max(...(await runs()).map(({ steps }) => steps)));
    run.expect(await mirrorEquals(world, sale), 'the mirror does not equal MySQL after the repair');
    await world.stopWorkers();
    await world.startWorkers(2, run.orders);
  },
};

const atOnce: Fault = {
  number: 44,
  name: 'long-jobs-at-once',
  title: 'Several long jobs of one sale at once, each message of them twice',
  also: ['I4', 'I5', 'I6', 'I7', 'I8', 'I12', 'I13'],
  async run(run) {
    const { world } = run;
    const { operator } = world;
    const sale = await largeSale(run);
    await jobsDone(run);
    world.markSpecial();
    await world.stopWorkers();
    await Promise.all(
      ['one', 'other', 'third'].map((name) =>
        world.startWorker(name, { orders: { ...run.orders, trace: run.trace, loseAcks: 0.3, seed: name.length } }),
      ),
    );
    for (let turn = 1; turn <= 2; turn++) {
      await operator.pauseSale(sale);
      await operator.resumeSale(sale);
      const { confirmation } = await operator.previewReschedule(sale, { shiftSeconds });
      await operator.rescheduleSale(sale, { shiftSeconds, ...(confirmation ? { confirmation } : {}) });
      run.count('changes', 3);
    }
    await sleep(200);
    await operator.cancelSale(sale);
    for (let turn = 1; turn <= 4; turn++) {
      await Promise.all([
        world.send('advance', { saleId: sale }),
        world.send('advance', { sweep: { saleId: sale, afterId: null } }),
        world.fire('advance-sales'),
      ]);
      await sleep(300);
    }
    await jobsDone(run);
    const jobs = await world.rows<{ kind: string }>('SELECT kind FROM sale_jobs');
    run.count('jobs', jobs.length);
    run.expect(
      jobs.some(({ kind }) => kind === 'ending') && jobs.length > 1,
      `there were only the jobs ${jobs.map(({ kind }) => kind).join(', ')}`,
    );
    await world.stopWorkers();
    await world.startWorkers(2, run.orders);
  },
};

/** Far below the limits of MySQL (16 MiB) and of the bus (256 KiB): what a sale of any size is kept to. */
const packetBytes = 1024 * 1024;
const detailBytes = 80 * 1024;
/** So many in one event would be more than that. */
const crowd = 800;

const smallLimits: Fault = {
  number: 45,
  name: 'small-limits',
  title: 'A large sale with small limits for statements and events',
  also: ['I4', 'I5', 'I6', 'I7', 'I8', 'I12', 'I13'],
  async run(run) {
    const { world } = run;
    const { operator } = world;
    const [before] = await world.rows<{ bytes: number }>('SELECT @@GLOBAL.max_allowed_packet AS bytes');
    await world.pool.query('SET GLOBAL max_allowed_packet = ?', [packetBytes]);
    try {
      // A session keeps the limit that it began with.
      world.proxies.mysql.resetAll();
      await world.faults('events', { largestDetailBytes: detailBytes });
      const sale = await largeSale(run, crowd);
      await jobsDone(run);
      await operator.pauseSale(sale);
      await operator.resumeSale(sale);
      await jobsDone(run);
      await operator.cancelSale(sale);
      await jobsDone(run);
      const refused = async () => (await world.rows<{ n: number }>('SELECT COUNT(*) AS n FROM outbox'))[0]?.n ?? 0;
      await waitFor('every event to be published', async () => (await refused()) === 0, {
        timeoutMs: run.patienceMs,
      }).catch(() => undefined);
      run.expect((await refused()) === 0, `${await refused()} events are not published`);
    } finally {
      await world.pool.query('SET GLOBAL max_allowed_packet = ?', [before?.bytes]);
      await world.faults('events');
    }
  },
};

/** How long an offer lives in the row, how many wait, and how late the next in line may get what ran out. */
const offerSeconds = 5;
const inLine = 8;
const nextWithinMs = 10_000;
/** Longer than an offer lives. */
const pauseMs = 6_000;

const runOut: Fault = {
  number: 48,
  name: 'offers-run-out',
  title: 'Offers run out one after the other, and in a pause',
  also: ['I4', 'I5', 'I6', 'I8', 'I12'],
  async run(run) {
    const { world, load } = run;
    const { operator } = world;
    const sale = await load.sale({ allotment: 2, waitlistSize: inLine, offerLifeSeconds: offerSeconds });
    const one = { quantity: 1, atLeast: 1 };
    for (let n = 0; n < 2 + inLine; n++) {
      await load.reserve(load.customer(), sale, one);
      await load.decided();
    }
    for (const { account, reservationId } of load.promised.slice(0, 2)) await account.cancel(reservationId);
    const ends = () =>
      world.rows<{ offeredAtMs: number; endedAtMs: number }>(
        `SELECT o.at_ms AS offeredAtMs, e.at_ms AS endedAtMs FROM reservations r
         JOIN ledger o ON o.subject_id = r.id AND o.kind = 'ALLOCATE'
         JOIN ledger e ON e.subject_id = r.id AND e.kind = 'RELEASE'
         WHERE r.state = 'expired'`,
      );
    const ended = (count: number) =>
      waitFor(`${count} offers to run out`, async () => (await ends()).length >= count, {
        timeoutMs: run.patienceMs,
        lookAgainMs: 100,
      }).catch(() => undefined);
    await ended(inLine / 2);
    await operator.pauseSale(sale);
    const pausedAtMs = Date.now();
    await sleep(pauseMs);
    await operator.resumeSale(sale);
    const resumedAtMs = Date.now();
    await ended(inLine);
    const [clock] = await world.rows<{ offsetMs: number }>('SELECT MAX(clock_offset_ms) AS offsetMs FROM sales');
    const all = await ends();
    run.count('offers that ran out', all.length);
    run.expect(all.length === inLine, `${all.length} of ${inLine} offers ran out`);
    for (const { offeredAtMs, endedAtMs } of all) {
      const isAcross = offeredAtMs < pausedAtMs && endedAtMs > pausedAtMs;
      const dueMs = offeredAtMs + offerSeconds * 1_000 + (isAcross ? (clock?.offsetMs ?? 0) : 0);
      // The units of an offer that ran out in the pause are given on when it is over.
      const lateMs = endedAtMs - (isAcross ? Math.max(dueMs, resumedAtMs) : dueMs);
      run.measure('offer run out to the next in line', Math.max(0, lateMs));
      run.expect(lateMs <= nextWithinMs, `the next in line got what ran out after ${lateMs} ms`);
    }
  },
};

export const jobFaults = [killed, openingKilled, reconcileKilled, atOnce, smallLimits, runOut];
