/** Rows 21 to 24: what can happen to the queue and to what travels through it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from '../fault.ts';
import { readLines } from '../trace.ts';
import { visibilitySeconds } from '../world.ts';

const duplicates: Fault = {
  number: 21,
  name: 'duplicates',
  title: '30 % of messages and events come twice, out of order',
  also: ['I5', 'I6', 'I7'],
  async run(run) {
    const { world, load, scale } = run;
    const sales = await load.sales(3, { allotment: 120 * scale, waitlistSize: 60 });
    await world.faults('events', { seed: 7, duplicate: 0.3, jitterMs: 700 });
    await world.startWorkers(2, { ...run.orders, loseAcks: 0.3, trace: run.trace, seed: 3 });
    await load.rush({ sales, requests: 150 * scale, concurrency: 10 });
    await load.decided();
    await load.act({ cancel: 0.3, buy: 0.4 });
    await sleep(visibilitySeconds * 1_000 + 500);
    const lost = readLines(run.trace).filter((line) => line.act === 'lose');
    run.count(
      'delivered again',
      lost.reduce((sum, line) => sum + Number(line.records), 0),
    );
    run.expect(lost.length > 0, 'nothing was delivered twice');
    await world.startWorkers(2, run.orders);
  },
};

const dies: Fault = {
  number: 22,
  name: 'queue-dies',
  title: 'The queue server dies',
  also: ['I5', 'I6'],
  async run(run) {
    const { world, load, scale } = run;
    const sales = await load.sales(3, { allotment: 300 });
    const rush = load.rush({ sales, requests: 240 * scale, concurrency: 8, paceMs: 60 });
    for (let times = 1; times <= 2 * scale; times++) {
      await sleep(700);
      await world.crash(world.part('queues'));
      run.count('deaths');
    }
    await rush;
    await load.decided();
  },
};

const lostReply: Fault = {
  number: 23,
  name: 'send-reply-lost',
  title: 'The queue takes a message, and its reply is lost',
  also: ['I6'],
  async run(run) {
    const { world, load, scale } = run;
    const sales = await load.sales(2, { allotment: 200 });
    const before = world.proxies.sqs.cuts;
    world.proxies.sqs.set({ rules: [{ match: 'SendMessageBatch', action: 'cut after', chance: 0.4 }] });
    await load.rush({ sales, requests: 120 * scale, concurrency: 6 });
    world.proxies.sqs.set();
    run.count('replies lost', world.proxies.sqs.cuts - before);
    run.expect(world.proxies.sqs.cuts > before, 'no reply was lost');
    await load.decided();
  },
};

const partialSend: Fault = {
  number: 24,
  name: 'send-partly-fails',
  title: 'The queue refuses entries of a batch',
  also: ['I6'],
  async run(run) {
    const { world, load } = run;
    const sales = await load.sales(2, { allotment: 200 });
    await world.startHttp({ ...run.orders, refuseEntries: 0.3, trace: run.trace, seed: 5 });
    await load.rush({ sales, requests: 120, concurrency: 24 });
    const refused = readLines(run.trace).filter((line) => line.act === 'refuse');
    run.count(
      'entries refused',
      refused.reduce((sum, line) => sum + Number(line.records), 0),
    );
    run.expect(refused.length > 0, 'no entry was refused');
    await world.startHttp();
    await load.decided();
  },
};

export const queueFaults = [duplicates, dies, lostReply, partialSend];
