/** A short sweep for the number of workers at which a rival is fastest. */
import type { ContenderInfo } from './runner.ts';
import type { Context } from './suite.ts';
import { planFor, type Scenario } from './workload.ts';

const found = new Map<string, number>();

/** The number of workers at which this rival confirms most, given so many requests of a scenario. */
export async function bestWorkers(
  context: Context,
  info: ContenderInfo,
  scenario: Scenario,
  count: number,
): Promise<number> {
  const key = `${scenario} ${info.name}`;
  const known = found.get(key);
  if (known !== undefined) return known;
  const few = info.workers.filter((_, index) => index % 2 === 1);
  const candidates = context.quick && few.length > 1 ? few : info.workers;
  let best = { workers: candidates[0] ?? 1, perSecond: 0 };
  for (const workers of candidates) {
    const plan = planFor(scenario, count);
    const run = await context.runner.run(info.name, { plan, workers, limitMs: context.quick ? 350 : 1_000 });
    if (run.perSecond > best.perSecond) best = { workers, perSecond: run.perSecond };
  }
  context.report(`  ${key}: best with ${best.workers} of ${candidates.join(', ')} workers`);
  found.set(key, best.workers);
  return best.workers;
}
