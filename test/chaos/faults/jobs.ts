/** Rows 43 to 45: what can happen to a job that goes over all reservations of a sale in steps. */
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '#local/wait.ts';
import type { Fault, Run } from '../fault.ts';
import type { StepOrder } from '../steps.ts';

/** More than one step of any job looks at. */
const holders = 560;
const shiftSeconds = 30;

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
): Promise<void> {
  const { world } = run;
  for (const [index, at] of steps.entries()) {
    const orders = { ...run.orders, steps: [{ at, act: 'die' }] as StepOrder[], trace: run.trace };
    const worker = await world.startWorker('mortal', { functions: 'advance', orders });
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
        world.fire('advance'),
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

export const jobFaults = [killed, atOnce, smallLimits];
