/** A short sweep for the settings at which a rival is fastest. */
import type { ContenderInfo } from './runner.ts';
import { shippedWorkers } from './settings.ts';
import { shown } from './statistics.ts';
import type { Context } from './suite.ts';
import type { RunOptions } from './worker-process.ts';
import { planFor, type Scenario } from './workload.ts';

/** How a contender is run. */
export type Settings = Required<Pick<RunOptions, 'processes' | 'lanes' | 'batch'>>;

const found = new Map<string, Settings>();

/**
 * The settings at which this rival confirms most, given so many requests of a scenario: deliveries under way at once in
 * each process, and the size of a batch where that is free. It has as many processes as Holdfast has workers.
 */
export async function bestSettings(
  context: Context,
  info: ContenderInfo,
  scenario: Scenario,
  count: number,
): Promise<Settings> {
  const key = `${scenario} ${info.name}`;
  const known = found.get(key);
  if (known !== undefined) return known;
  const processes = info.oneProcess ? 1 : shippedWorkers;
  const candidates = fewer(context, info.lanes).flatMap((lanes) =>
    fewer(context, info.batches ?? [info.batch]).map((batch): Settings => ({ processes, lanes, batch })),
  );
  let best = { settings: candidates[0] ?? { processes, lanes: 1, batch: info.batch }, perSecond: 0 };
  for (const settings of candidates) {
    const plan = planFor(scenario, count);
    const run = await context.runner.run(info.name, { plan, ...settings, limitMs: context.quick ? 350 : 1_000 });
    if (run.perSecond > best.perSecond) best = { settings, perSecond: run.perSecond };
  }
  context.report(`  ${key}: best of ${candidates.length} with ${described(best.settings)}`);
  found.set(key, best.settings);
  return best.settings;
}

/** Settings in words. */
export function described({ processes, lanes, batch }: Settings): string {
  const shape =
    processes === 1
      ? `one process, ${shown(lanes)} at once`
      : `${processes} processes, ${shown(lanes)} at once in each`;
  return `${shape}, batches of ${shown(batch)}`;
}

/** Every other one of several, where time is short. */
function fewer(context: Context, all: readonly number[]): readonly number[] {
  return context.quick && all.length > 1 ? all.filter((_, index) => index % 2 === 1) : all;
}
