/** Rows 13 to 19 and 41: what can happen to MySQL, on which everything but acceptance depends. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { createConnection } from 'mysql2/promise';
import { waitFor } from '#local/wait.ts';
import type { Fault, Run } from '../fault.ts';
import { functionsAccount } from '../world.ts';

/** The promised limit from MySQL answering again to the first commit. */
export const commitWithinMs = 5_000;

const count = async (run: Run) =>
  (await run.world.rows<{ n: number }>('SELECT COUNT(*) AS n FROM reservations'))[0]?.n ?? 0;

/** How often a transaction of this server has waited for a row. */
async function lockWaits({ world }: Run): Promise<number> {
  const [row] = await world.rows<{ Value: string }>("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_waits'");
  return Number(row?.Value ?? 0);
}

/** Measures from now to the next commit, while requests come in. */
async function untilCommit(run: Run): Promise<void> {
  const before = await count(run);
  const backAtMs = Date.now();
  await waitFor('the first commit', async () => (await count(run)) > before, { timeoutMs: 30_000, lookAgainMs: 30 });
  const tookMs = Date.now() - backAtMs;
  run.measure('MySQL back to first commit', tookMs);
  run.expect(tookMs <= commitWithinMs, `the first commit took ${tookMs} ms`);
}

const dies: Fault = {
  number: 13,
  name: 'mysql-dies',
  title: 'MySQL dies in the middle of transactions',
  also: ['I5', 'I6'],
  async run(run) {
    const { world, load, scale } = run;
    const sales = await load.sales(3, { allotment: 300 });
    const mysql = world.part('mysql');
    let over = false;
    const rush = load.rush({ sales, requests: 240 * scale, concurrency: 8, paceMs: 120 });
    const killing = (async () => {
      for (let times = 1; times <= 2 * scale && !over; times++) {
        await sleep(900);
        mysql.leaveWhenDead();
        mysql.kill('SIGKILL');
        world.kills++;
        await mysql.ended();
        await sleep(1_200);
        await mysql.start();
        run.count('deaths');
        await untilCommit(run);
      }
    })();
    await rush;
    over = true;
    await killing;
  },
};

const hangs: Fault = {
  number: 14,
  name: 'mysql-hangs',
  title: 'MySQL hangs for fifteen seconds',
  also: ['I5', 'I6'],
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 300 });
    await load.rush({ sales: [sale], requests: 40, concurrency: 8 });
    await load.decided();
    const mysql = world.part('mysql');
    world.pause(mysql);
    const rush = load.rush({ sales: [sale], requests: 120, concurrency: 6, paceMs: 600 });
    const untilMs = Date.now() + 15_000;
    let slowestMs = 0;
    while (Date.now() < untilMs) {
      const answer = await load.reserve(load.customer(), sale, { quantity: 1, atLeast: 1 }, undefined, 1);
      if (answer) slowestMs = Math.max(slowestMs, answer.answeredMs - answer.sentMs);
      await sleep(200);
    }
    world.continue(mysql);
    run.measure('slowest acceptance', slowestMs);
    run.expect(slowestMs < 2_000, `an acceptance took ${slowestMs} ms`);
    await untilCommit(run);
    await rush;
    await load.decided();
    const sessions = await world.rows<{ Command: string }>('SHOW PROCESSLIST');
    run.count('connections after', sessions.length);
    run.expect(sessions.length < 60, `${sessions.length} connections are open afterwards`);
  },
};

const lostCommit: Fault = {
  number: 15,
  name: 'commit-reply-lost',
  title: 'COMMIT or its reply is lost',
  also: ['I5', 'I6'],
  async run(run) {
    const { world, load, scale } = run;
    const sales = await load.sales(3, { allotment: 200 });
    const before = world.proxies.mysql.cuts;
    world.proxies.mysql.set({
      rules: [
        { match: 'COMMIT', action: 'cut after', chance: 0.3 },
        { match: 'COMMIT', action: 'cut before', chance: 0.3 },
      ],
    });
    await load.rush({ sales, requests: 160 * scale, concurrency: 8, paceMs: 300 });
    await sleep(2_000);
    run.count('replies lost', world.proxies.mysql.cuts - before);
    world.proxies.mysql.set();
    run.expect(world.proxies.mysql.cuts > before, 'no reply was lost');
    await load.decided();
    run.count('resolved', await count(run));
  },
};

const rival: Fault = {
  number: 16,
  name: 'deadlock',
  title: 'A rival session holds and deadlocks the rows',
  also: ['I6'],
  async run(run) {
    const { world, load } = run;
    const sales = await load.sales(3, { allotment: 200 });
    const session = await createConnection({ uri: world.stack.addresses.mysql });
    const before = await lockWaits(run);
    let over = false;
    const rivalry = (async () => {
      for (let turn = 0; !over; turn++) {
        await session.query('START TRANSACTION');
        try {
          // In the reverse of the workers' order, so that it deadlocks with them.
          for (const saleId of [...sales].sort().reverse()) {
            await session.query('SELECT id FROM sales WHERE id = UNHEX(?) FOR UPDATE', [saleId.replaceAll('-', '')]);
            await sleep(120);
          }
          // Every third time it holds them for longer than any lock wait.
          await sleep(turn % 3 === 0 ? 4_500 : 200);
        } catch {
          run.count('the rival lost');
        }
        await session.query('ROLLBACK');
        await sleep(80);
      }
    })();
    await load.rush({ sales, requests: 150, concurrency: 8, paceMs: 150 });
    await load.act({ cancel: 0.3 });
    await load.decided(60_000);
    over = true;
    await rivalry;
    await session.end();
    const waits = (await lockWaits(run)) - before;
    run.count('lock waits', waits);
    run.expect(waits > 0, 'no transaction waited for the rival');
  },
};

const beginFails: Fault = {
  number: 17,
  name: 'begin-fails',
  title: 'BEGIN fails more often than the pool has connections',
  also: ['I6'],
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 100 });
    const before = world.proxies.mysql.cuts;
    world.proxies.mysql.set({ rules: [{ match: 'START TRANSACTION', action: 'cut before', times: 11 }] });
    await load.rush({ sales: [sale], requests: 40, concurrency: 6, paceMs: 100 });
    await waitFor('eleven failures', () => world.proxies.mysql.cuts - before >= 11, { timeoutMs: 30_000 });
    run.count('BEGINs lost', world.proxies.mysql.cuts - before);
    const backAtMs = Date.now();
    await load.rush({ sales: [sale], requests: 20, concurrency: 6 });
    await load.decided();
    run.measure('usable after', Date.now() - backAtMs);
  },
};

const eio: Fault = {
  number: 19,
  name: 'fsync-eio',
  title: 'fsync fails with EIO',
  also: ['I6'],
  unavailable: () => (spawnSync('strace', ['-V']).status === 0 ? undefined : 'strace is not installed'),
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 200 });
    const mysql = world.part('mysql');
    const rush = load.rush({ sales: [sale], requests: 120, concurrency: 6, paceMs: 150 });
    await sleep(700);
    const pid = mysql.pid;
    mysql.leaveWhenDead();
    const strace: ChildProcess = spawn(
      'strace',
      [
        '-f',
        '-qq',
        '-p',
        String(pid),
        '-e',
        'trace=fsync,fdatasync',
        '-e',
        'inject=fsync,fdatasync:error=EIO',
        '-o',
        '/dev/null',
      ],
      { stdio: 'ignore' },
    );
    await waitFor('MySQL to give up', () => !mysql.running, { timeoutMs: 12_000 }).catch(() => undefined);
    run.count('MySQL gave up', mysql.running ? 0 : 1);
    run.expect(!mysql.running, 'MySQL went on after a failed fsync');
    strace.kill('SIGTERM');
    if (mysql.running) {
      mysql.kill('SIGKILL');
      await mysql.ended();
    }
    world.kills++;
    await mysql.start();
    await untilCommit(run);
    await rush;
    await load.decided();
  },
};

/** Longer than it takes a message to be given up that fails by its own fault. */
const readOnlyMs = 30_000;

const readOnly: Fault = {
  number: 41,
  name: 'mysql-read-only',
  title: 'A failover leaves MySQL read-only',
  also: ['I5', 'I6'],
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 300 });
    await load.rush({ sales: [sale], requests: 40, concurrency: 8 });
    await load.decided();
    const held = [...load.promised];
    const sessions = async () =>
      (await world.rows<{ Id: number; User: string }>('SHOW PROCESSLIST'))
        .filter(({ User }) => User === functionsAccount)
        .map(({ Id }) => Id);
    const before = await sessions();
    await world.pool.query('SET GLOBAL read_only = 1');
    const untilMs = Date.now() + readOnlyMs;
    try {
      const decided = await count(run);
      const rush = load.rush({ sales: [sale], requests: 60, concurrency: 4, paceMs: 1_500 });
      for (const { account, reservationId } of held.slice(0, 10)) {
        const answer = await account.cancel(reservationId);
        const asked = answer.retryAfterMs / 1_000;
        run.count('writes refused');
        run.expect(
          answer.status === 503 && asked > 0,
          `a cancellation was answered ${answer.status} ${answer.code}, to be repeated after ${asked} s`,
        );
        await sleep(500);
      }
      await rush;
      await sleep(Math.max(0, untilMs - Date.now()));
      run.expect((await count(run)) === decided, 'something was decided by a server that is read-only');
      for (const queue of Object.keys(world.target.deadLetters)) {
        const dead = await world.depth(queue, true);
        run.expect(dead === 0, `${dead} messages of ${queue} were given up`);
      }
      const kept = (await sessions()).filter((id) => before.includes(id));
      run.expect(kept.length === 0, `${kept.length} connections were kept that reach a server that is read-only`);
    } finally {
      await world.pool.query('SET GLOBAL read_only = 0');
    }
    await untilCommit(run);
    await load.decided();
  },
};

export const mysqlFaults = [dies, hangs, lostCommit, rival, beginFails, eio, readOnly];
