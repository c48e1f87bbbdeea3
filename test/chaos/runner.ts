/**
 * Runs a row of the matrix: clean start, load under the fault, healing, rest, and the verdict of the verifier.
 *
 * Invariant: a run counts as held only if the world came to rest, the verifier could check what the row is about, and
 * neither an invariant nor one of the row's own expectations was broken. A control runs the same way with a fault planted
 * in the code, and is caught if the run does not hold.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type InvariantName, invariantNames } from '#load/verify/tally.ts';
import { type Verification, verify } from '#load/verify.ts';
import { seededRandom } from '#local/service/random.ts';
import { leftOpenAfterMs } from '#purchase/resend-open.ts';
import type { Fault, Run } from './fault.ts';
import { Load } from './load.ts';
import type { ChaosOrders } from './steps.ts';
import { countRequests, readLines } from './trace.ts';
import { visibilitySeconds, type World } from './world.ts';

export interface RowResult {
  number: number;
  name: string;
  title: string;
  seed: number;
  holds: boolean;
  /** Why it was not run, if it was not. */
  unavailable?: string;
  /** Requests to reserve, cancel or buy that were answered, by the clients' own log. */
  requests: number;
  kills: number;
  pauses: number;
  seconds: number;
  counts: Record<string, number>;
  measuredMs: Record<string, number>;
  violations: Partial<Record<InvariantName | 'count' | 'rest', number>>;
  checked: Partial<Record<InvariantName, number>>;
  /** The first cases of what did not hold. */
  examples: string[];
  /** What steps did: how often each order was carried out. */
  steps: Record<string, number>;
  /** Places at which a fault was to be planted and which no process has loaded. */
  unplanted: string[];
}

export interface RunOptions {
  seed: number;
  scale?: number;
  /** The control whose faults are planted. */
  planted?: string;
  /** Whether they are for the HTTP host too. */
  http?: boolean;
  /** Shorter for a control, which may never come to rest. */
  restMs?: number;
}

/** Long enough for a purchase whose message was lost to be resent and settled. */
const restMs = leftOpenAfterMs + 30_000;
/** A number for a row that depends on the seed alone. */
const mixed = (seed: number, row: number) => (seed * 7919 + row * 104_729) >>> 0;

export async function runRow(world: World, fault: Fault, options: RunOptions): Promise<RowResult> {
  const { seed, scale = 1, planted } = options;
  const folder = join(world.stack.dir, 'runs', `${fault.number}-${fault.name}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const logFile = join(folder, 'clients.jsonl');
  const trace = join(folder, 'steps.jsonl');
  const orders: ChaosOrders = planted === undefined ? {} : { planted, trace };
  const random = seededRandom(mixed(seed, fault.number));
  const startedAtMs = Date.now();
  const before = { kills: world.kills, pauses: world.pauses };
  const result: RowResult = {
    number: fault.number,
    name: fault.name,
    title: fault.title,
    seed,
    holds: false,
    requests: 0,
    kills: 0,
    pauses: 0,
    seconds: 0,
    counts: {},
    measuredMs: {},
    violations: {},
    checked: {},
    examples: [],
    steps: {},
    unplanted: [],
  };
  const unavailable = fault.unavailable?.();
  if (unavailable) return { ...result, holds: true, unavailable };
  const violate = (what: InvariantName | 'count' | 'rest', example: string, by = 1) => {
    result.violations[what] = (result.violations[what] ?? 0) + by;
    if (result.examples.length < 12) result.examples.push(`${what}: ${example}`);
  };

  await world.begin(logFile);
  const load = new Load(world, random, planted !== undefined ? 0.4 : 1);
  const run: Run = {
    world,
    load,
    random,
    orders,
    scale,
    patienceMs: planted !== undefined ? 15_000 : 60_000,
    trace,
    count: (name, by = 1) => {
      result.counts[name] = (result.counts[name] ?? 0) + by;
    },
    measure: (name, ms) => {
      result.measuredMs[name] = Math.max(result.measuredMs[name] ?? 0, Math.round(ms));
    },
    expect: (holds, otherwise) => {
      if (!holds) violate('count', otherwise);
    },
  };
  try {
    if (options.http) await world.startHttp(orders);
    await world.startWorkers(2, orders);
    await fault.run(run);
  } catch (error) {
    violate('count', `the row could not be played: ${(error as Error).message}`);
  }
  await world.heal();
  await bringToRest(world, load, options.restMs ?? restMs);
  try {
    if (fault.mendsMirror) await reconcile(world);
    if (fault.losesSenders && (await claimsLeft(world)) > 0) await reconcileLater(world);
    await load.look();
  } catch (error) {
    violate('rest', `nothing could be looked at afterwards: ${(error as Error).message}`);
  }
  await world.endLog();

  let verification: Verification | undefined;
  try {
    verification = await verify(world.target, {
      logs: [logFile],
      quietTimeoutMs: planted !== undefined ? 5_000 : 60_000,
    });
  } catch (error) {
    violate('rest', `the stores could not be verified: ${(error as Error).message}`);
  }
  if (verification) {
    if (!verification.quiet.reached) violate('rest', `still moving: ${verification.quiet.moving.join(', ')}`);
    for (const name of invariantNames) {
      const { checked, violations, examples } = verification.invariants[name];
      result.checked[name] = checked;
      if (violations > 0) violate(name, examples.slice(0, 2).join('; '), violations);
    }
    for (const name of ['I1', 'I2', 'I3', ...fault.also] as const) {
      if (result.checked[name] === 0) violate(name, 'there was nothing to check, which proves nothing');
    }
  }
  const noted = readLines(trace);
  const reached = new Set(noted.map((line) => line.planted));
  result.unplanted = [...new Set(noted.flatMap((line) => (line.toPlant as string[] | undefined) ?? []))].filter(
    (place) => !reached.has(place),
  );
  for (const line of noted) {
    if (typeof line.step === 'string') {
      const name = `${line.act} at ${line.step}`;
      result.steps[name] = (result.steps[name] ?? 0) + 1;
    }
  }
  if (options.http) await world.startHttp();
  result.requests = await countRequests(logFile);
  result.kills = world.kills - before.kills;
  result.pauses = world.pauses - before.pauses;
  result.seconds = Math.round((Date.now() - startedAtMs) / 100) / 10;
  result.holds = Object.keys(result.violations).length === 0;
  return result;
}

/** Stands in for minutes of waiting: fires the rules until everything is decided and published. */
async function bringToRest(world: World, load: Load, limitMs: number): Promise<void> {
  const promised = new Set(load.promised.map(({ reservationId }) => reservationId)).size;
  const startedAtMs = Date.now();
  let firedAtMs = 0;
  while (Date.now() - startedAtMs < limitMs) {
    const [row] = await world.rows<{ decided: number; outbox: number; open: number }>(
      `SELECT (SELECT COUNT(*) FROM reservations) AS decided, (SELECT COUNT(*) FROM outbox) AS outbox,
         (SELECT COUNT(*) FROM purchases WHERE state IN ('requested', 'unknown', 'requires_action', 'refunding')) AS open`,
    );
    const depths = await Promise.all(['reservations', 'purchases', 'notifications'].map((name) => world.depth(name)));
    const left = depths.reduce((sum, depth) => sum + depth, 0);
    if (row && row.decided >= promised && row.outbox === 0 && row.open === 0 && left === 0) return;
    if (Date.now() - firedAtMs > 2_000) {
      firedAtMs = Date.now();
      if ((row?.outbox ?? 0) > 0) await world.send('relay', {});
      if ((row?.open ?? 0) > 0) await world.send('settle', {});
    }
    await sleep(150);
  }
}

/** The reconcile job, called by hand until it has nothing left to repair. */
async function reconcile(world: World): Promise<void> {
  for (let round = 1; round <= 4; round++) {
    const run = await world.reconcile({});
    if (run.driftsFound === 0) return;
    await sleep(visibilitySeconds * 25);
  }
}

/** How many sales still count a request as pending. */
async function claimsLeft(world: World): Promise<number> {
  const sales = await world.redis.keys('sale:{*}');
  const counts = await Promise.all(sales.map((key) => world.redis.hmget(key, 'pendingUnits', 'pendingOver')));
  return counts.filter((fields) => fields.some((field) => Number(field ?? 0) !== 0)).length;
}

/** Longer than a claim without a message is left alone (`lib/reconcile/check-claims.ts`). */
const claimForgottenAfterMs = 11 * 60_000;

/**
 * The reconcile job by a clock that is ahead. A sender that died between gate and queue, and whose client gave up, leaves a
 * claim without a message, which the job takes back only when it is old.
 */
async function reconcileLater(world: World): Promise<void> {
  world.markSpecial();
  await world.stopWorkers();
  await world.startWorker('later', { functions: 'reconcile', orders: { clockShiftMs: claimForgottenAfterMs } });
  await reconcile(world);
  await world.startWorkers(2);
}
