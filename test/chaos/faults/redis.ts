/** Rows 5 to 12, 40 and 42: what can happen to Redis, which advises and never decides. */
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, isWorthRepeating } from '#load/client.ts';
import { waitFor } from '#local/wait.ts';
import type { Fault, Run } from '../fault.ts';
import type { StepOrder } from '../steps.ts';
import type { World } from '../world.ts';
import { stoppedItself } from './worker.ts';

/** The promised limit (docs/operations.md) from Redis answering again until the mirror equals MySQL. */
export const mirrorWithinMs = 2_000;

/** The promised limit from the demotion of a primary until the gate judges again. */
const gateWithinMs = 5_000;

/** True if the mirror shows a sale's stock and every decided reservation as MySQL has them. */
export async function mirrorEquals(world: World, saleId: string): Promise<boolean> {
  const tag = saleId.slice(-12);
  const [sale] = await world.rows<{ version: number; available: number; decided: number }>(
    `SELECT version, available, (SELECT COUNT(*) FROM reservations WHERE sale_id = s.id) AS decided
     FROM sales s WHERE id = UNHEX(?)`,
    [saleId.replaceAll('-', '')],
  );
  const [version, available] = await world.redis.hmget(`sale:{${tag}}`, 'version', 'available');
  if (!sale || Number(version) !== sale.version || Number(available) !== sale.available) return false;
  let decided = 0;
  for (const key of await world.redis.keys(`claims:{${tag}}:*`)) {
    const fields = await world.redis.hgetall(key);
    decided += Object.entries(fields).filter(
      ([field, packed]) => !field.startsWith('@') && !/^[ro]/.test(packed),
    ).length;
  }
  return decided >= sale.decided;
}

/** Requests trickle in, as they do during a sale, until `until` resolves. */
async function trickle(run: Run, saleId: string, until: () => Promise<unknown>): Promise<void> {
  let over = false;
  const dripping = (async () => {
    while (!over) {
      await run.load.reserve(run.load.customer(), saleId, { quantity: 1, atLeast: 1 });
      await sleep(120);
    }
  })();
  try {
    await until();
  } finally {
    over = true;
    await dripping;
  }
}

async function convergence(run: Run, saleId: string): Promise<void> {
  const backAtMs = Date.now();
  await trickle(run, saleId, () =>
    waitFor('the mirror to equal MySQL', () => mirrorEquals(run.world, saleId), {
      timeoutMs: run.patienceMs,
      lookAgainMs: 40,
    }),
  );
  const tookMs = Date.now() - backAtMs;
  run.measure('Redis back to equal mirror', tookMs);
  run.expect(tookMs <= mirrorWithinMs, `the mirror took ${tookMs} ms to equal MySQL`);
}

const dies: Fault = {
  number: 5,
  name: 'redis-dies',
  title: 'Redis dies and comes back empty',
  also: ['I4', 'I6'],
  mendsMirror: true,
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 500 });
    await load.rush({ sales: [sale], requests: 120, concurrency: 10 });
    await load.decided();
    const redis = world.part('redis');
    const outage = (async () => {
      redis.leaveWhenDead();
      redis.kill('SIGKILL');
      world.kills++;
      await redis.ended();
      await sleep(800);
      rmSync(join(world.stack.dir, 'redis', 'appendonlydir'), { recursive: true, force: true });
      await redis.start();
    })();
    await load.rush({ sales: [sale], requests: 120, concurrency: 6, paceMs: 40 });
    await outage;
    await waitFor('the driver to be connected', () => world.redis.status === 'ready', { timeoutMs: run.patienceMs });
    await convergence(run, sale);
    await load.decided();
  },
};

const stale: Fault = {
  number: 6,
  name: 'redis-stale',
  title: 'Redis comes back with old data',
  also: ['I4', 'I6'],
  mendsMirror: true,
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 300 });
    await load.rush({ sales: [sale], requests: 60, concurrency: 8 });
    await load.decided();
    const data = join(world.stack.dir, 'redis', 'appendonlydir');
    const old = join(world.stack.dir, 'redis', 'old');
    rmSync(old, { recursive: true, force: true });
    await sleep(1_100);
    cpSync(data, old, { recursive: true });
    await load.rush({ sales: [sale], requests: 60, concurrency: 8 });
    await load.decided();
    const redis = world.part('redis');
    redis.leaveWhenDead();
    redis.kill('SIGKILL');
    world.kills++;
    await redis.ended();
    rmSync(data, { recursive: true, force: true });
    cpSync(old, data, { recursive: true });
    await redis.start();
    await load.rush({ sales: [sale], requests: 60, concurrency: 8 });
    await load.decided();
    const [known] = await world.redis.hmget(`sale:{${sale.slice(-12)}}`, 'version');
    run.expect(known !== null, 'the old data was not there');
  },
};

const flushall: Fault = {
  number: 7,
  name: 'flushall',
  title: 'FLUSHALL in the middle of a sale',
  also: ['I4', 'I6'],
  mendsMirror: true,
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 500 });
    await load.rush({ sales: [sale], requests: 120, concurrency: 10 });
    for (let times = 1; times <= 2; times++) {
      const rush = load.rush({ sales: [sale], requests: 80, concurrency: 8, paceMs: 20 });
      await sleep(200);
      await world.redis.flushall();
      run.count('flushes');
      await rush;
      await load.decided();
    }
    await world.redis.flushall();
    await convergence(run, sale);
    await load.decided();
  },
};

const hangs: Fault = {
  number: 8,
  name: 'redis-hangs',
  title: 'Redis hangs for ten seconds',
  also: ['I6'],
  mendsMirror: true,
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 400 });
    await load.rush({ sales: [sale], requests: 40, concurrency: 8 });
    const redis = world.part('redis');
    world.pause(redis);
    let slowestMs = 0;
    const untilMs = Date.now() + 10_000;
    let accepted = 0;
    while (Date.now() < untilMs) {
      const answer = await load.reserve(load.customer(), sale, { quantity: 1, atLeast: 1 });
      if (answer?.status === 202) {
        accepted++;
        slowestMs = Math.max(slowestMs, answer.answeredMs - answer.sentMs);
      }
      await sleep(60);
    }
    await load.decided();
    const decidedWhileHanging = (await world.rows('SELECT id FROM reservations')).length;
    world.continue(redis);
    run.measure('slowest acceptance', slowestMs);
    run.count('accepted while it hung', accepted);
    run.expect(slowestMs < 1_000, `an acceptance took ${slowestMs} ms`);
    run.expect(accepted > 20, `only ${accepted} were accepted while Redis hung`);
    run.expect(decidedWhileHanging >= accepted, 'decisions waited for Redis');
  },
};

const slow: Fault = {
  number: 9,
  name: 'redis-slow',
  title: 'Locks and gate answer after 800 ms',
  also: ['I4', 'I6'],
  mendsMirror: true,
  async run(run) {
    const { world, load } = run;
    // Only the worker checks the cap while the gate is unavailable.
    const sale = await load.sale({ allotment: 200, cap: 4 });
    world.proxies.redis.set({ latencyMs: 800 });
    await load.rush({ sales: [sale], requests: 80, concurrency: 8 });
    await load.decided();
    world.proxies.redis.set({ latencyMs: 60, jitterMs: 120, resetChance: 0.01 });
    await load.rush({ sales: [sale], requests: 60, concurrency: 8 });
    await load.decided();
    run.count('connections cut', world.proxies.redis.cuts);
  },
};

const full: Fault = {
  number: 10,
  name: 'redis-full',
  title: 'Redis is full',
  also: ['I4', 'I6'],
  mendsMirror: true,
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 200 });
    await load.rush({ sales: [sale], requests: 30, concurrency: 8 });
    await world.redis.config('SET', 'maxmemory', '1mb');
    try {
      await load.rush({ sales: [sale], requests: 80, concurrency: 8 });
      await load.decided();
    } finally {
      await world.redis.config('SET', 'maxmemory', '0');
    }
    run.count('accepted', load.promised.length);
    const refused = [...load.outcomes.keys()].filter((outcome) => !/^(202|409|422)/.test(outcome));
    run.expect(refused.length === 0, `answered ${refused.join(', ')} while Redis was full`);
  },
};

const falsified: Fault = {
  number: 11,
  name: 'mirror-falsified',
  title: 'The mirror is falsified by hand',
  also: ['I6'],
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 120 });
    await load.rush({ sales: [sale], requests: 60, concurrency: 8 });
    await load.decided();
    const tag = sale.slice(-12);
    await sleep(500);
    await world.redis.hset(`sale:{${tag}}`, 'available', 99, 'pendingUnits', 17);
    const [claims] = await world.redis.keys(`claims:{${tag}}:*`);
    const [field] = Object.keys(await world.redis.hgetall(claims ?? '')).filter((one) => !one.startsWith('@'));
    await world.redis.hdel(claims ?? '', field ?? '');
    const startedAtMs = Date.now();
    const { drifts, driftsFound } = await world.reconcile({ saleId: sale });
    run.measure('repair', Date.now() - startedAtMs);
    run.count('drifts', driftsFound);
    const kinds = new Set(drifts.map(({ kind }) => kind));
    run.expect(
      kinds.has('stock') && kinds.has('reservation') && kinds.has('gate'),
      `found only ${[...kinds].join(', ')}`,
    );
    run.expect(
      drifts.every(({ repaired, likelyCause }) => repaired && likelyCause !== ''),
      'not all was repaired',
    );
    await world.reconcile({ saleId: sale });
    run.expect(await mirrorEquals(world, sale), 'the mirror does not equal MySQL after the repair');
  },
};

const hourMs = 3_600_000;

const staleWriter: Fault = {
  number: 12,
  name: 'stale-writer',
  title: 'A late writer meets a newer mirror',
  also: ['I6'],
  async run(run) {
    const { world, load } = run;
    // Before the window opens, and by a host that has seen no outage, statuses are read from the mirror alone.
    const sale = await load.sale({ allotment: 120, purchaseOpensInMs: hourMs, purchaseClosesInMs: 2 * hourMs });
    await world.startHttp();
    world.markSpecial();
    await world.stopWorkers();
    for (let times = 1; times <= 2; times++) {
      // A has committed and stops before it writes the mirror; B commits more and writes; then A writes.
      const orders = {
        ...run.orders,
        steps: [{ at: 'allocate.commit', act: 'stop' }] as StepOrder[],
        trace: run.trace,
      };
      const a = await world.startWorker('a', { functions: 'allocate', orders });
      await load.rush({ sales: [sale], requests: 6, concurrency: 6 });
      await stoppedItself(a);
      world.pauses++;
      const decided = (await world.rows('SELECT id FROM reservations')).length;
      const b = await world.startWorker('b', { orders: run.orders });
      await load.rush({ sales: [sale], requests: 10, concurrency: 6 });
      await waitFor('B to decide', async () => (await world.rows('SELECT id FROM reservations')).length > decided, {
        timeoutMs: run.patienceMs,
      });
      await load.decided();
      // Cancel all of them: then what A writes is stale, whichever reservation it decided.
      await load.act({ cancel: 1 });
      a.kill('SIGCONT');
      run.count('late writes');
      // Reconcile would soon repair the overwritten values; customers must never see them.
      for (let asked = 1; asked <= 9; asked++) {
        await sleep(100);
        await load.ask();
      }
      await Promise.all([a.stop(), b.stop()]);
    }
    await world.startWorkers(2, run.orders);
  },
};

/** Asks until there is an answer that is worth something, or patience is at an end. */
async function answered<Body>(ask: () => Promise<Answer<Body>>): Promise<Answer<Body> | undefined> {
  let answer: Answer<Body> | undefined;
  for (let attempt = 1; attempt <= 8; attempt++) {
    answer = await ask().catch(() => undefined);
    if (answer && !isWorthRepeating(answer)) return answer;
    await sleep(250);
  }
  return answer;
}

const askedWithout: Fault = {
  number: 40,
  name: 'asked-without-redis',
  title: 'Redis is unavailable while customers read and cancel what was just accepted',
  also: ['I4', 'I6'],
  mendsMirror: true,
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 200 });
    await load.rush({ sales: [sale], requests: 10, concurrency: 5 });
    await load.decided();
    // Nothing is decided meanwhile: what was accepted is in the queue alone.
    world.markSpecial();
    await world.stopWorkers();
    const before = load.promised.length;
    const redis = world.part('redis');
    redis.leaveWhenDead();
    redis.kill('SIGKILL');
    world.kills++;
    await redis.ended();
    await load.rush({ sales: [sale], requests: 20, concurrency: 4 });
    const accepted = [...new Map(load.promised.slice(before).map((one) => [one.reservationId, one])).values()];
    run.count('accepted', accepted.length);
    run.expect(accepted.length > 0, 'nothing was accepted');
    const cancelled = new Set<string>();
    for (const [index, { account, reservationId }] of accepted.entries()) {
      const seen = await answered(() => account.reservation(reservationId));
      const state = seen?.status === 200 ? seen.body.state : `${seen?.status} ${seen?.code}`;
      run.expect(state === 'requested', `what was accepted a moment ago reads as ${state}`);
      if (state !== 'requested') break;
      if (index % 2 === 0) continue;
      const given = await answered(() => account.cancel(reservationId));
      run.expect(given?.status === 200, `cancelling it was answered ${given?.status} ${given?.code}`);
      cancelled.add(reservationId);
    }
    run.count('cancelled', cancelled.size);
    await redis.start();
    await waitFor('the driver to be connected', () => world.redis.status === 'ready', { timeoutMs: run.patienceMs });
    await world.startWorkers(2, run.orders);
    await load.decided();
    const kept = (
      await world.rows<{ id: string }>("SELECT LOWER(HEX(id)) AS id FROM reservations WHERE state <> 'cancelled'")
    ).filter(({ id }) => [...cancelled].some((one) => one.replaceAll('-', '') === id));
    run.expect(kept.length === 0, `${kept.length} that were cancelled before they were decided got something`);
  },
};

const demoted: Fault = {
  number: 42,
  name: 'redis-demoted',
  title: 'Redis is demoted to a replica under load',
  also: ['I4', 'I6'],
  mendsMirror: true,
  async run(run) {
    const { world, load } = run;
    const sale = await load.sale({ allotment: 300 });
    await load.rush({ sales: [sale], requests: 60, concurrency: 8 });
    await load.decided();
    const pair = await world.redisReplica();
    try {
      const rush = load.rush({ sales: [sale], requests: 120, concurrency: 6, paceMs: 60 });
      await sleep(500);
      await pair.failOver();
      const demotedAtMs = Date.now();
      const byTheGate = async () => {
        const answer = await load.reserve(load.customer(), sale, { quantity: 1, atLeast: 1 });
        return answer?.status === 202 && answer.body.ticket !== null;
      };
      const limit = { timeoutMs: run.patienceMs, lookAgainMs: 50 };
      await waitFor('the gate to be back', byTheGate, limit).catch(() => undefined);
      const tookMs = Date.now() - demotedAtMs;
      run.measure('demotion to a gate that judges', tookMs);
      run.expect(tookMs <= gateWithinMs, `the gate took ${tookMs} ms to be back`);
      await rush;
      await load.decided();
    } finally {
      await pair.end();
    }
    await load.rush({ sales: [sale], requests: 20, concurrency: 4 });
    await load.decided();
  },
};

export const redisFaults = [dies, stale, flushall, hangs, slow, full, falsified, staleWriter, askedWithout, demoted];
