/**
 * Drain: how many reservations a second are confirmed when the messages are there, without any queue or HTTP around it.
 *
 * As deployed: each worker is a process of its own with one batch at a time. Rivals have as many processes and work at
 * their own best settings, which a short sweep finds; ours at what serverless.yml says. A second column shows ours in a
 * host that handles several batches at once in one process.
 */

import { bestSettings, described, type Settings } from '../best-settings.ts';
import type { ContenderName } from '../contender.ts';
import type { ContenderInfo, Run } from '../runner.ts';
import { asDeployed, shippedBatchSize, shippedWorkers } from '../settings.ts';
import { compare, type Measure, type Series, series, shown } from '../statistics.ts';
import { type Entry, inRounds, notesOf, type Suite } from '../suite.ts';
import { planFor, requestsFillingBatches, type Scenario, scenarios } from '../workload.ts';

/** The designs that handle one request at a time and promise what we promise. */
const perRequest: readonly ContenderName[] = ['r0-setnx', 'r1-redlock', 'r2-for-update', 'r3-conditional'];

/** The contenders of each scenario; in a quick run only those that appear in a measure. */
const line: Record<Scenario, { full: readonly ContenderName[]; quick: readonly ContenderName[] }> = {
  hot: {
    full: [...perRequest, 'r4-lua-write-behind', 'r5-skip-locked', 'r6-fifo', 'r7-group-commit', 'bulk-insert'],
    quick: ['r0-setnx', 'r3-conditional', 'r7-group-commit', 'bulk-insert'],
  },
  hundred: { full: ['r7-group-commit'], quick: ['r7-group-commit'] },
  zipf: {
    full: [...perRequest, 'r4-lua-write-behind', 'r5-skip-locked', 'r6-fifo', 'r7-group-commit'],
    quick: ['r0-setnx', 'r2-for-update', 'r3-conditional'],
  },
};

/** Fast designs need more messages to be busy for as long as slow ones. */
const fast: readonly ContenderName[] = ['ours', 'r4-lua-write-behind', 'r7-group-commit', 'bulk-insert'];

/** A host that handles several batches at once, as Lambda Managed Instances does: one process for all workers. */
const oneHost: Settings = { processes: 1, lanes: shippedWorkers, batch: shippedBatchSize };

export const drain: Suite = {
  name: 'drain',
  title: 'Drain at handler level',
  quickSeconds: 60,
  async run(context) {
    const { runner, quick } = context;
    const limitMs = quick ? 1_000 : 2_500;
    const countFor = (name: ContenderName): number => {
      if (fast.includes(name))
        return requestsFillingBatches(quick ? 50_000 : 100_000, shippedBatchSize, shippedWorkers);
      return quick ? 4_000 : 12_000;
    };

    const entries: Entry[] = [];
    const about = new Map<string, { info: ContenderInfo; settings: string; runs: Run[] }>();
    const enter = (name: string, info: ContenderInfo, settings: Settings, scenario: Scenario, count: number): void => {
      const runs: Run[] = [];
      about.set(name, { info, settings: described(settings), runs });
      entries.push({
        name,
        run: async () => {
          const run = await runner.run(info.name, { plan: planFor(scenario, count), ...settings, limitMs });
          runs.push(run);
          return run.perSecond;
        },
      });
    };
    for (const scenario of Object.keys(scenarios) as Scenario[]) {
      for (const name of ['ours' as const, ...line[scenario][quick ? 'quick' : 'full']]) {
        const info = await runner.info(name);
        const count = countFor(name);
        const settings = name === 'ours' ? asDeployed : await bestSettings(context, info, scenario, count);
        // Rivals are warm from their sweep; ours has none.
        if (name === 'ours')
          await runner.run(name, { plan: planFor(scenario, count), ...settings, limitMs: 2 * limitMs });
        enter(`${scenario} ${name}`, info, { ...settings }, scenario, count);
      }
      if (scenario === 'hot') {
        const info = await runner.info('ours');
        enter('hot several', info, oneHost, scenario, countFor('ours'));
      }
    }

    const rounds = await inRounds(context, quick ? 3 : 5, entries);
    const all = new Map<string, Series>();
    for (const { name } of entries) {
      const known = about.get(name);
      const [scenario = ''] = name.split(' ');
      all.set(
        name,
        series(name, rounds.values.get(name) ?? [], {
          title: `${known?.info.title}${name.endsWith(' several') ? ', several batches at once in one process' : ''}, ${scenarios[scenario as Scenario].title}`,
          unit: 'confirmed/s',
          settings: known?.settings ?? '',
        }),
      );
    }
    const costs = Object.fromEntries([...about].map(([name, { runs }]) => [name, costOf(runs)]));
    for (const [name, cost] of Object.entries(costs)) {
      context.report(
        `  ${name}: ${shown(all.get(name)?.median ?? 0)}/s; processor time for each, µs: ` +
          `worker ${shown(cost.worker)}, MySQL ${shown(cost.mysql)}, Redis ${shown(cost.redis)}`,
      );
    }
    return {
      measures: measuresOf(all),
      series: [...all.values()],
      notes: notesOf('drain', rounds),
      details: { processorUs: costs, yardsticks: rounds.readings },
    };
  },
};

function costOf(runs: readonly Run[]): Run['cpuUs'] {
  const mean = (pick: (run: Run) => number): number => runs.reduce((sum, run) => sum + pick(run), 0) / runs.length;
  return {
    worker: mean(({ cpuUs }) => cpuUs.worker),
    mysql: mean(({ cpuUs }) => cpuUs.mysql),
    redis: mean(({ cpuUs }) => cpuUs.redis),
  };
}

function measuresOf(all: ReadonlyMap<string, Series>): Measure[] {
  const of = (name: string): Series => {
    const known = all.get(name);
    if (!known) throw new Error(`"${name}" did not take part`);
    return known;
  };
  const best = perRequest
    .flatMap((name) => all.get(`zipf ${name}`) ?? [])
    .reduce((a, b) => (a.median >= b.median ? a : b));
  return [
    compare(of('hot ours'), of('hot r0-setnx'), { name: 'drain-hot-vs-original', must: 50, aim: 80 }),
    compare(of('hot ours'), of('hot r3-conditional'), { name: 'drain-hot-vs-conditional-update', must: 10, aim: 15 }),
    compare(of('zipf ours'), best, {
      name: 'drain-zipf-vs-best-per-request',
      must: 10,
      aim: 15,
      note: `the best per-request rival was ${best.name.split(' ')[1]}`,
    }),
    compare(of('hot ours'), of('hot bulk-insert'), { name: 'drain-hot-vs-bulk-insert', must: 0.5, aim: 0.65 }),
    compare(of('hot ours'), of('hot r7-group-commit'), { name: 'drain-hot-vs-group-commit', must: 1.3, aim: 1.7 }),
    compare(of('hundred ours'), of('hundred r7-group-commit'), {
      name: 'drain-100-sales-vs-group-commit',
      must: 1.3,
      aim: 1.7,
    }),
    compare(of('hot ours'), of('hot several'), { name: 'drain-processes-vs-one-host', must: 0.85, aim: 0.95 }),
  ];
}
