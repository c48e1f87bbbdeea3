/**
 * Makes a failure small enough to read: looks for the smallest plan that still breaks the same invariant, and among its
 * ways of failing for the shortest one. Called by `run.ts`.
 */
import { runEpisode } from './episode.ts';
import { replay, type Scenario } from './explore.ts';
import type { Plan } from './plan.ts';
import { processorMs } from './processor-time.ts';
import type { Fault } from './world/choice.ts';

export interface Violation {
  readonly invariant: string;
  readonly detail: string;
}

/** A failing episode, as small as it was found. */
export interface SmallEpisode {
  readonly plan: Plan;
  readonly seed: number;
  readonly violation: Violation;
  readonly trace: string[];
}

const seedsPerPlan = 60;
const seedsForShortest = 150;
const smallerCrowds = [1, 2, 3, 4, 6, 9, 15, 30, 80, 250];
/** A smaller crowd needs higher fault rates for the same number of faults. */
const leastRate = 0.03;

/** Looks for the smallest episode that breaks the same invariant, within a time limit. */
export function shrinkEpisode(plan: Plan, seed: number, violation: Violation, limitMs: number): SmallEpisode {
  const untilMs = processorMs() + limitMs;
  let best = { plan, seed };
  const fails = (candidate: Plan): number | undefined => {
    for (let n = 0; n < seedsPerPlan && processorMs() < untilMs; n++) {
      const found = runEpisode(candidate, seed + n).violation;
      if (found?.invariant === violation.invariant) return seed + n;
    }
    return undefined;
  };
  for (let smaller = true; smaller && processorMs() < untilMs; ) {
    smaller = false;
    for (const candidate of simpler(best.plan)) {
      const failing = fails(candidate);
      if (failing === undefined) continue;
      best = { plan: candidate, seed: failing };
      smaller = true;
      break;
    }
  }
  return shortest(best.plan, best.seed, violation, untilMs);
}

/** Slightly smaller plans, the smallest first. */
function* simpler(plan: Plan): Generator<Plan> {
  const rates = Object.fromEntries(
    Object.entries(plan.rates).map(([kind, rate]) => [kind, rate > 0 ? Math.max(rate, leastRate) : 0]),
  );
  for (const requests of smallerCrowds) {
    if (requests >= plan.requests) break;
    const share = requests / plan.requests;
    const fewer = (count: number) => Math.max(1, Math.round(count * share));
    yield { ...plan, requests, customers: fewer(plan.customers), allotment: fewer(plan.allotment), rates };
    yield { ...plan, requests, customers: requests, allotment: 1, rates };
  }
  for (const field of ['purchases', 'cancellations', 'operators'] as const)
    if (plan[field]) yield { ...plan, [field]: false };
  for (const field of ['sales', 'workers', 'batch', 'customers', 'allotment'] as const) {
    if (plan[field] > 1) yield { ...plan, [field]: 1 };
    if (plan[field] > 2) yield { ...plan, [field]: 2 };
  }
  if (plan.disasters > 0) yield { ...plan, disasters: 0 };
  if (plan.environments > 0) yield { ...plan, environments: 0 };
  if (plan.poison > 0) yield { ...plan, poison: 0 };
  if (plan.waitlistSize > 0) yield { ...plan, waitlistSize: 0 };
  for (const [kind, rate] of Object.entries(plan.rates)) {
    if (rate > 0) yield { ...plan, rates: { ...plan.rates, [kind as Fault]: 0 } };
  }
}

function shortest(plan: Plan, seed: number, violation: Violation, untilMs: number): SmallEpisode {
  let best: SmallEpisode | undefined;
  for (let n = 0; n < seedsForShortest && (n === 0 || processorMs() < untilMs); n++) {
    const trace: string[] = [];
    const found = runEpisode(plan, seed + n, (line) => trace.push(line)).violation;
    if (found?.invariant !== violation.invariant) continue;
    const told = trace.filter((line) => !/ is visible again$| fires$| comes$| has waited/.test(line));
    if (!best || told.length < best.trace.length) best = { plan, seed: seed + n, violation: found, trace: told };
  }
  if (!best) throw new Error('an episode did not fail again: something in it is left to chance');
  return best;
}

/** Looks for a simpler path on which a case fails: fewer faults, fewer switches between processes, fewer steps. */
export function shrinkCase(
  scenario: Scenario,
  choices: readonly (readonly number[])[],
  violation: Violation,
): { violation: Violation; trace: string[] } {
  const run = (candidate: readonly (readonly number[])[]) => {
    const trace: string[] = [];
    const found = replay(scenario, candidate, (line) => trace.push(line));
    return found?.invariant === violation.invariant ? { violation: found, trace } : undefined;
  };
  let best = run(choices);
  if (!best) throw new Error('a case did not fail again: something in it is left to chance');
  let kept = [...choices];
  for (let smaller = true; smaller; ) {
    smaller = false;
    for (let at = kept.length - 1; at >= 0; at--) {
      if ((kept[at]?.length ?? 0) === 0) continue;
      for (const candidate of [kept.toSpliced(at, 1), kept.with(at, []), kept.slice(0, at)]) {
        const found = run(candidate);
        if (!found || found.trace.length > best.trace.length) continue;
        const plainer = found.trace.length < best.trace.length || weight(candidate) < weight(kept);
        if (!plainer) continue;
        best = found;
        kept = candidate;
        smaller = true;
        break;
      }
    }
  }
  return best;
}

/** How far choices are from the default ones. */
function weight(choices: readonly (readonly number[])[]): number {
  return choices.flat().filter((choice) => choice > 0).length;
}
