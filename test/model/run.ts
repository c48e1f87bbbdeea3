/**
 * A process that runs models: takes jobs over IPC, one after the other, and answers each. With `HOLDFAST_CONTROL` in its
 * environment, one safeguard of the shipped code is taken out as it is loaded.
 */
import './hooks.ts';
import { setImmediate } from 'node:timers';
import { inModule, type Planted, plant } from '../support/plant.ts';
import { type Control, controls } from './controls.ts';
import type { Exploration, Scenario } from './explore.ts';
import type { Done, Failure, Job } from './jobs.ts';
import { planOf } from './plan.ts';
import { processorMs } from './processor-time.ts';
import { smallPages } from './rows-per-step.ts';

const planted = process.env.HOLDFAST_CONTROL;
const control = controls.find(({ name }) => name === planted);
if (planted && !control) throw new Error(`there is no control ${planted}`);
const notPlanted = await plant([...smallPages, ...(control ? [...control.faults, ...constraintDropped(control)] : [])]);

const { removeChance } = await import('./world/determinism.ts');
removeChance();
const { runEpisode } = await import('./episode.ts');
const { explore, wander } = await import('./explore.ts');
const { scenarios } = await import('./scenarios.ts');
const { shrinkCase, shrinkEpisode } = await import('./shrink.ts');
const lost = notPlanted();
if (lost.length > 0) throw new Error(`never loaded, so nothing is planted there: ${lost.join(', ')}`);

const shrinkLimitMs = 20_000;
/** A control needs a short counterexample soon, not the shortest one late. */
const huntShrinkLimitMs = 2_500;
const linesAtMost = 200;

const huntWaysLimitMs = 8_000;
/** Enough to explore a case on a busy machine. */
const huntCaseLimitMs = 60_000;
/** More than any requested number of paths takes. */
const waysLimitMs = 600_000;

/** Removes a constraint from the tables that the migrations make. */
function constraintDropped({ without }: Control): Planted[] {
  if (!without) return [];
  const { table, constraint } = without;
  return [
    inModule(() => import('./world/sql.ts'), {
      parseTables: (real) => (migrations) =>
        real(migrations).map((one) =>
          one.name === table ? { ...one, checks: one.checks.filter(({ name }) => name !== constraint) } : one,
        ),
    }),
  ];
}

function caseOf(name: string) {
  const found = scenarios.find((one) => one.name === name);
  if (!found) throw new Error(`there is no case ${name}`);
  return found;
}

function explored(name: string, limitMs: number): Extract<Done, { kind: 'case' }> {
  const scenario = caseOf(name);
  const startedMs = performance.now();
  const { states, runs, deepest, complete, violation } = explore(scenario, limitMs);
  const seconds = Math.round((performance.now() - startedMs) / 100) / 10;
  const failure = violation && smallest(scenario, violation);
  return { kind: 'case', name, about: scenario.about, states, runs, deepest, complete, seconds, failure };
}

function smallest(scenario: Scenario, violation: NonNullable<Exploration['violation']>): Failure {
  const small = shrinkCase(scenario, violation.choices, violation);
  return { ...small.violation, again: `--case ${scenario.name}`, trace: small.trace.slice(-linesAtMost) };
}

/** Runs random paths of a case until one fails, or their number or the time limit is reached. */
function wandered(name: string, seed: number, ways: number, limitMs: number): Failure | undefined {
  const scenario = caseOf(name);
  const untilMs = processorMs() + limitMs;
  for (let n = 0; n < ways && processorMs() < untilMs; n++) {
    const violation = wander(scenario, seed + n);
    if (violation) return smallest(scenario, violation);
  }
  return undefined;
}

function failureOf(seed: number, requests: number, limitMs: number): Failure | undefined {
  const plan = planOf(seed, requests);
  const { violation } = runEpisode(plan, seed);
  if (!violation) return undefined;
  const small = shrinkEpisode(plan, seed, violation, limitMs);
  const again = `--episode ${seed} --size ${requests}`;
  return { ...small.violation, again, plan: small.plan, trace: small.trace.slice(-linesAtMost) };
}

function work(job: Job): Done {
  switch (job.kind) {
    case 'case':
      return explored(job.name, job.limitMs);
    case 'ways': {
      const { name, ways } = job;
      return { kind: 'ways', name, ways, failure: wandered(name, job.seed, ways, waysLimitMs) };
    }
    case 'episodes': {
      const faults: Record<string, number> = {};
      const outcomes: Record<string, number> = {};
      let [requests, steps, episodes] = [0, 0, 0];
      let failure: Failure | undefined;
      for (const { seed, requests: size } of job.episodes) {
        const result = runEpisode(planOf(seed, size), seed);
        episodes++;
        requests += result.requests;
        steps += result.steps;
        for (const [kind, count] of result.faults) faults[kind] = (faults[kind] ?? 0) + count;
        for (const [state, count] of result.outcomes) outcomes[state] = (outcomes[state] ?? 0) + count;
        if (!result.violation) continue;
        failure = failureOf(seed, size, shrinkLimitMs);
        break;
      }
      return { kind: 'episodes', episodes, requests, steps, faults, outcomes, failure };
    }
    case 'hunt': {
      const startedMs = performance.now();
      const untilMs = processorMs() + job.limitMs;
      const seconds = () => Math.round((performance.now() - startedMs) / 100) / 10;
      for (const name of job.cases) {
        const failure =
          wandered(name, job.seed, Number.POSITIVE_INFINITY, huntWaysLimitMs) ??
          explored(name, huntCaseLimitMs).failure;
        if (failure) return { kind: 'hunt', seconds: seconds(), failure };
      }
      for (let n = 0; processorMs() < untilMs; n++) {
        const size = job.sizes[n % job.sizes.length] ?? 1;
        const failure = failureOf(job.seed + n, size, huntShrinkLimitMs);
        if (failure) return { kind: 'hunt', seconds: seconds(), failure };
      }
      return { kind: 'hunt', seconds: seconds(), failure: undefined };
    }
  }
}

process.on('message', (job: Job) => {
  // Not from within the message's own callback: a model empties the microtask queue itself. The machine's own, also between
  // two models.
  setImmediate(() => {
    let done: Done;
    try {
      done = work(job);
    } catch (error) {
      done = { kind: 'failed', error: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
    }
    process.send?.(done);
  });
});
// The parent process has exited.
process.on('disconnect', () => process.exit());
process.send?.('ready');
