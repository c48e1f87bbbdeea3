/** Rows 18, 20 and 37 to 39, and the outage of both stores: what can happen to machine, network, crowd and build. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, renameSync, rmSync, statfsSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '#local/wait.ts';
import type { Fault } from '../fault.ts';
import type { ChaosOrders } from '../steps.ts';

const isRoot = process.getuid?.() === 0;

/** Runs a program of the system, which must succeed. */
function system(command: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
}

const bothDown: Fault = {
  number: 13,
  name: 'both-stores-down',
  title: 'MySQL and Redis both down: requests are still accepted',
  also: ['I4', 'I5', 'I6'],
  mendsMirror: true,
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 300 });
    await load.rush({ sales: [sale], requests: 20, concurrency: 6 });
    await load.decided();
    const [mysql, redis] = [world.part('mysql'), world.part('redis')];
    for (const part of [mysql, redis]) {
      part.leaveWhenDead();
      part.kill('SIGKILL');
      world.kills++;
      await part.ended();
    }
    const before = load.promised.length;
    let refused = 0;
    const untilMs = Date.now() + 8_000;
    while (Date.now() < untilMs) {
      const answer = await load.reserve(load.customer(), sale, { quantity: 1, atLeast: 1 }, undefined, 1);
      if (answer?.status !== 202) refused++;
      await sleep(40);
    }
    const accepted = load.promised.length - before;
    run.count('accepted without stores', accepted);
    run.expect(refused === 0, `${refused} were not answered 202`);
    await Promise.all([mysql.start(), redis.start()]);
    const backAtMs = Date.now();
    await load.decided(60_000);
    run.measure('all decided after', Date.now() - backAtMs);
  },
};

const diskFull: Fault = {
  number: 18,
  name: 'disk-full',
  title: 'The disk of MySQL is full',
  also: ['I5', 'I6'],
  unavailable: () => (isRoot && process.platform === 'linux' ? undefined : 'needs root, to mount a small disk'),
  async run(run) {
    const { world, load } = run;
    const home = join(world.stack.dir, 'mysql');
    const [data, kept, small] = [join(home, 'data'), join(home, 'kept'), join(home, 'small')];
    const mysql = world.part('mysql');
    const sale = await load.sale({ allotment: 2_000, cap: 1_000 });
    await load.rush({ sales: [sale], requests: 20, concurrency: 6 });
    await load.decided();
    // The free space that earlier rows left inside the tables would hold the whole rush.
    await world.pool.query('OPTIMIZE TABLE reservations, ledger, outbox');
    await mysql.stop();
    mkdirSync(small, { recursive: true });
    system('mount', '-t', 'tmpfs', '-o', 'size=640m', 'tmpfs', small);
    try {
      cpSync(data, join(small, 'data'), { recursive: true });
      renameSync(data, kept);
      symlinkSync(join(small, 'data'), data);
      await mysql.start();
      const filler = join(small, 'filler');
      const { bavail, bsize } = statfsSync(small);
      spawnSync('fallocate', ['-l', String(bavail * bsize), filler]);
      run.count('bytes left', Number(statfsSync(small).bavail) * bsize);
      const rush = load.rush({ sales: [sale], requests: 1_600, concurrency: 16 });
      await waitFor('the disk to be full', () => /full|No space left|errno: 28/i.test(mysql.log()), {
        timeoutMs: run.patienceMs,
      });
      await sleep(2_500);
      const [row] = await world.rows<{ n: number }>('SELECT COUNT(*) AS n FROM reservations').catch(() => [{ n: -1 }]);
      run.count('decided on a full disk', row?.n ?? 0);
      unlinkSync(filler);
      await rush;
      await waitFor(
        'MySQL to run',
        async () => {
          if (!mysql.running) await mysql.start();
          return true;
        },
        { timeoutMs: run.patienceMs },
      );
      await load.decided(60_000);
    } finally {
      await mysql.stop();
      rmSync(data);
      cpSync(join(small, 'data'), data, { recursive: true });
      system('umount', small);
      rmSync(kept, { recursive: true, force: true });
      await mysql.start();
    }
  },
};

const hourMs = 3_600_000;

/** Where libfaketime is, if it is installed. */
const faketime = ['x86_64-linux-gnu/', 'aarch64-linux-gnu/', '']
  .map((folder) => `/usr/lib/${folder}faketime/libfaketime.so.1`)
  .find((path) => existsSync(path));

/** The environment of a process with a wrong clock: by libfaketime, or without it by shifting JavaScript's. */
function clockWrongBy(hours: number, orders: ChaosOrders): { orders: ChaosOrders; env: Record<string, string> } {
  if (faketime === undefined) return { orders: { ...orders, clockShiftMs: hours * hourMs }, env: {} };
  const FAKETIME = `${hours > 0 ? '+' : '-'}${Math.abs(hours)}h`;
  return { orders, env: { LD_PRELOAD: faketime, FAKETIME, DONT_FAKE_MONOTONIC: '1' } };
}

const clocks: Fault = {
  number: 20,
  name: 'clocks',
  title: 'Clocks an hour fast and an hour slow',
  also: ['I6', 'I8'],
  async run(run) {
    const { world, load } = run;
    // Rows and notices are dated by these clocks. So no boundary lies between their times and nobody waits: neither who must
    // be told of a boundary nor who waited first could be read from such dates.
    const sale = await load.sale({
      ...{ allotment: 300, reserveClosesInMs: 30 * 60_000 },
      ...{ purchaseOpensInMs: 2 * hourMs, purchaseClosesInMs: 4 * hourMs },
    });
    world.markSpecial();
    await world.stopWorkers();
    run.count('by libfaketime', faketime === undefined ? 0 : 1);
    await world.startWorker('fast', { share: '0/2', ...clockWrongBy(1, run.orders) });
    await world.startWorker('slow', { share: '1/2', ...clockWrongBy(-1, run.orders) });
    await load.rush({ sales: [sale], requests: 60, concurrency: 8 });
    await load.decided();
    const rejected = await world.rows(
      "SELECT id FROM reservations WHERE reason IN ('sale_closed', 'sale_not_open', 'window_closed')",
    );
    run.expect(rejected.length === 0, `${rejected.length} were rejected because of a wrong clock`);
    for (const hours of [1, -1]) {
      const { orders, env } = clockWrongBy(hours, {});
      const account = load.customer();
      // A token that the client does not renew of its own accord.
      const token = await account.token();
      await world.startHttp(orders, env);
      const clock = hours > 0 ? '+1 h' : '-1 h';
      const { status } = await account.api.send('reservations', { method: 'GET', path: '/reservations', token });
      run.count(`status at ${clock}`, status);
      // A token issued an hour ago has expired; one from the future may be accepted or not, but nothing breaks.
      run.expect(status === 401 || (hours < 0 && status === 200), `answered ${status} at ${clock}`);
      // The client renews a token that was refused.
      const renewed = await load.reserve(account, sale, { quantity: 1, atLeast: 1 }, undefined, 1);
      run.expect(renewed?.status === 202, `with a renewed token answered ${renewed?.status} at ${clock}`);
    }
    await world.startHttp();
    await world.startWorkers(2);
  },
};

const dayBehind: Fault = {
  number: 49,
  name: 'queue-a-day-behind',
  title: 'The queue is a day behind',
  also: ['I4', 'I6', 'I8'],
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({
      ...{ allotment: 60, waitlistSize: 200, reserveClosesInMs: 12 * hourMs },
      ...{ purchaseOpensInMs: 36 * hourMs, purchaseClosesInMs: 60 * hourMs },
    });
    world.markSpecial();
    await world.stopWorkers();
    await load.rush({ sales: [sale], requests: 80, concurrency: 8 });
    const withdrawn = load.promised.slice(0, 8);
    for (const { account, reservationId } of withdrawn) await account.cancel(reservationId);
    run.count('accepted', load.promised.length);
    // Decided when the reservation period has been over for twelve hours.
    await world.startWorker('late', clockWrongBy(24, { ...run.orders }));
    await load.decided();
    const states = await world.rows<{ state: string; n: number }>(
      'SELECT state, COUNT(*) AS n FROM reservations GROUP BY state',
    );
    for (const { state, n } of states) run.count(state, n);
    const rejected = await world.rows<{ reason: string }>("SELECT reason FROM reservations WHERE state = 'rejected'");
    run.expect(
      rejected.every(({ reason }) => reason !== 'sale_closed' && reason !== 'window_closed'),
      `${rejected.length} were rejected: ${[...new Set(rejected.map(({ reason }) => reason))].join(', ')}`,
    );
    await world.startWorkers(2);
  },
};

const lossTable = 'holdfast_chaos';

const loss: Fault = {
  number: 37,
  name: 'packet-loss',
  title: '5 % packet loss',
  also: ['I5', 'I6'],
  mendsMirror: true,
  async run(run) {
    const { world, load, scale } = run;
    const sales = await load.sales(3, { allotment: 150 });
    const names = ['mysql', 'redis', 'sqs', 'events', 'provider'] as const;
    const nft = spawnSync('nft', ['--version']).status === 0 && isRoot;
    if (nft) {
      const ports = names.map((name) => world.proxies[name].port).join(', ');
      const rule = (way: string) => `tcp ${way} { ${ports} } numgen random mod 100 < 5 drop`;
      // What an earlier run left behind when it was killed would lose packets for ever.
      spawnSync('nft', ['delete', 'table', 'inet', lossTable]);
      system('nft', 'add', 'table', 'inet', lossTable);
      system('nft', `add chain inet ${lossTable} input { type filter hook input priority 0; }`);
      for (const way of ['dport', 'sport']) system('nft', `add rule inet ${lossTable} input ${rule(way)}`);
    }
    // Without nftables, delays stand in for lost and retransmitted packets. Some connections never recover.
    for (const name of names) world.proxies[name].set({ lossChance: nft ? 0 : 0.05, resetChance: 0.02 });
    run.count('by nftables', nft ? 1 : 0);
    try {
      await load.rush({ sales, requests: 200 * scale, concurrency: 8, paceMs: 300 });
      await load.decided(90_000);
      await load.act({ cancel: 0.2, buy: 0.2 });
    } finally {
      if (nft) system('nft', 'delete', 'table', 'inet', lossTable);
    }
  },
};

const overload: Fault = {
  number: 38,
  name: 'overload',
  title: 'Ten times the capacity',
  also: ['I4', 'I6'],
  losesSenders: true,
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 100_000, cap: 10_000, waitlistSize: 0 });
    // The queue is made the bottleneck, so that one machine can offer ten times its capacity.
    world.proxies.sqs.set({ latencyMs: 150 });
    const offer = async (perSecond: number, ms: number) => {
      const statuses = new Map<number, number>();
      let hinted = 0;
      let accepted = 0;
      const startedAtMs = Date.now();
      const endsAtMs = startedAtMs + ms;
      const pending: Promise<unknown>[] = [];
      for (let sent = 0; Date.now() < endsAtMs; ) {
        const due = Math.floor(((Date.now() - startedAtMs) / 1_000) * perSecond);
        for (; sent < due; sent++) {
          const account = load.customer();
          load.sent++;
          pending.push(
            account.reserve(sale, { quantity: 1, atLeast: 1, key: load.newKey() }).then((answer) => {
              statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
              if (answer.status === 202) {
                load.promised.push({ account, saleId: sale, reservationId: answer.body.reservationId });
                if (answer.answeredMs <= endsAtMs) accepted++;
              }
              if (answer.status >= 429 && answer.retryAfterMs > 0) hinted++;
            }),
          );
        }
        await sleep(5);
      }
      await Promise.all(pending);
      return { statuses, hinted, goodput: (accepted * 1_000) / ms };
    };
    const calm = await offer(100, 3_000);
    run.count('capacity per second', Math.round(calm.goodput));
    const storm = await offer(1_000, 4_000);
    run.count('goodput at ten times', Math.round(storm.goodput));
    for (const [status, n] of storm.statuses) run.count(`answered ${status}`, n);
    const others = [...storm.statuses.keys()].filter((status) => ![202, 429, 503].includes(status));
    run.expect(others.length === 0, `answered ${others.join(', ')}`);
    const refused = (storm.statuses.get(429) ?? 0) + (storm.statuses.get(503) ?? 0);
    run.expect(refused > 0 && storm.hinted === refused, `${storm.hinted} of ${refused} refusals have a Retry-After`);
    run.expect(storm.goodput >= 0.8 * calm.goodput, `goodput fell from ${calm.goodput} to ${storm.goodput}`);
    const after = await offer(50, 1_500);
    run.expect((after.statuses.get(202) ?? 0) > 0 && after.statuses.size === 1, 'recovery was not immediate');
    world.proxies.sqs.set();
    await load.decided(60_000);
  },
};

const twoBuilds: Fault = {
  number: 39,
  name: 'two-builds',
  title: 'This build and the next one together',
  also: ['I5', 'I6', 'I7'],
  async run(run) {
    const { world, load } = run;
    const sales = await load.sales(2, { allotment: 100 });
    world.markSpecial();
    await world.stopWorkers();
    await world.startWorker('this', { share: '0/2', orders: run.orders });
    await world.startWorker('next', { share: '1/2', orders: { planted: 'next-build' } });
    await load.rush({ sales, requests: 40, concurrency: 8 });
    await world.startHttp({ planted: 'next-build' });
    await load.rush({ sales, requests: 60, concurrency: 8 });
    await load.decided();
    await load.act({ cancel: 0.2, buy: 0.4 });
    await world.startHttp();
    await world.startWorkers(2);
  },
};

export const machineFaults = [bothDown, diskFull, clocks, loss, overload, twoBuilds, dayBehind];
