/**
 * A process that runs models: takes jobs over IPC, one after the other, and answers each. With `HOLDFAST_CONTROL` in its
 * environment, one safeguard of the shipped code is taken out as it is loaded.
 */
import './hooks.ts';
import { plant } from '../support/mutate.ts';
import { controls } from './controls.ts';
import type { Done, Failure, Job } from './jobs.ts';
import { planOf } from './plan.ts';

const planted = process.env.HOLDFAST_CONTROL;
const control = controls.find(({ name }) => name === planted);
if (planted && !control) throw new Error(`there is no control ${planted}`);
const requireLoaded = plant(control?.edits ?? []);

const { removeChance } = await import('./world/determinism.ts');
removeChance();
const { runEpisode } = await import('./episode.ts');
const { explore } = await import('./explore.ts');
const { scenarios } = await import('./scenarios.ts');
const { shrinkCase, shrinkEpisode } = await import('./shrink.ts');
requireLoaded();

const shrinkLimitMs = 20_000;
/** A hunt wants a short story soon rather than the shortest late. */
const huntShrinkLimitMs = 2_500;
const linesAtMost = 200;

/** The sizes of episodes in a hunt: small ones fail soonest, if they can. */
const huntSizes = [8, 25, 80];
const huntCaseLimitMs = 8_000;

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
  let failure: Failure | undefined;
  if (violation) {
    const small = shrinkCase(scenario, violation.choices, violation);
    failure = { ...small.violation, again: `--case ${name}`, trace: small.trace.slice(-linesAtMost) };
  }
  return { kind: 'case', name, about: scenario.about, states, runs, deepest, complete, seconds, failure };
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
      const seconds = () => Math.round((performance.now() - startedMs) / 100) / 10;
      for (const name of job.cases) {
        const { failure } = explored(name, huntCaseLimitMs);
        if (failure) return { kind: 'hunt', seconds: seconds(), failure };
      }
      for (let n = 0; performance.now() - startedMs < job.limitMs; n++) {
        const size = huntSizes[n % huntSizes.length] ?? 8;
        const failure = failureOf(job.seed + n, size, huntShrinkLimitMs);
        if (failure) return { kind: 'hunt', seconds: seconds(), failure };
      }
      return { kind: 'hunt', seconds: seconds(), failure: undefined };
    }
  }
}

process.on('message', (job: Job) => {
  // Not from within the message's own callback: a model empties the microtask queue itself.
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
process.send?.('ready');
