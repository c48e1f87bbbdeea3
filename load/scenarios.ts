/**
 * The scenarios: which sales each wants, what must have been checked at its end, and its phases as its YAML declares them.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { CrowdWanted } from './crowd.ts';
import type { SalesWanted } from './plan.ts';
import type { InvariantName } from './verify/tally.ts';

export interface Scenario {
  readonly name: string;
  readonly title: string;
  readonly sales: SalesWanted;
  /** Invariants that this scenario must check; a run that did not check one of them proves nothing. */
  readonly mustCheck: readonly InvariantName[];
  /** Who comes, if not everybody is alike: the scenario is then played without limits on callers, and with those of an account. */
  readonly crowd?: CrowdWanted;
}

const reserving: readonly InvariantName[] = ['I1', 'I2', 'I3', 'I4', 'I5', 'I6', 'I8', 'I11'];

export const scenarios: readonly Scenario[] = [
  {
    name: 'rush',
    title: 'Rush: all customers want the same sale',
    sales: {
      count: 1,
      allotment: 2_500,
      waitlistSize: 500,
      capPerCustomer: 4,
      mostPerRequest: 4,
      opensInSeconds: -60,
      buyable: false,
    },
    mustCheck: reserving,
  },
  {
    name: 'browse',
    title: 'Browse: many look, few reserve',
    sales: {
      count: 20,
      allotment: 1_000,
      waitlistSize: 50,
      capPerCustomer: 4,
      mostPerRequest: 2,
      opensInSeconds: -60,
      buyable: false,
    },
    mustCheck: reserving,
  },
  {
    name: 'retry-storm',
    title: 'Retry storm: the same request again and again',
    sales: {
      count: 2,
      allotment: 700,
      waitlistSize: 100,
      capPerCustomer: 4,
      mostPerRequest: 2,
      opensInSeconds: -60,
      buyable: false,
    },
    mustCheck: reserving,
  },
  {
    name: 'window-opens',
    title: 'Window opens: twenty for each unit, all in the same second',
    sales: {
      count: 1,
      allotment: 100,
      waitlistSize: 20,
      capPerCustomer: 1,
      mostPerRequest: 1,
      opensInSeconds: 6,
      buyable: false,
    },
    mustCheck: reserving,
  },
  {
    name: 'mixed-day',
    title: 'Mixed day: look, reserve, change one’s mind, buy',
    sales: {
      count: 10,
      allotment: 300,
      waitlistSize: 50,
      capPerCustomer: 4,
      mostPerRequest: 3,
      opensInSeconds: -60,
      buyable: true,
    },
    mustCheck: [...reserving, 'I7', 'I13'],
  },
  {
    name: 'bots',
    title: 'Bots: a thousand accounts on four machines, beside a thousand people',
    sales: {
      count: 1,
      allotment: 500,
      waitlistSize: 0,
      capPerCustomer: 1,
      mostPerRequest: 1,
      opensInSeconds: -60,
      buyable: false,
    },
    mustCheck: reserving,
    crowd: { machines: 4, botsForEachPerson: 10 },
  },
];

/** A phase as artillery has it. */
export interface Phase {
  name?: string;
  duration: number;
  arrivalRate: number;
  rampTo?: number;
}

const folder = join(import.meta.dirname, 'scenarios');

/** The YAML file of a scenario. */
export function fileOf(name: string): string {
  return join(folder, `${name}.yml`);
}

/** The phases of a scenario, with arrivals and durations scaled. */
export function phasesOf(name: string, scale: { rate: number; time: number }): Phase[] {
  const { config } = parse(readFileSync(fileOf(name), 'utf8')) as { config: { phases: Phase[] } };
  const rate = (value: number): number => Math.max(1, Math.round(value * scale.rate));
  return config.phases.map((phase) => ({
    ...phase,
    duration: Math.max(1, Math.round(phase.duration * scale.time)),
    arrivalRate: rate(phase.arrivalRate),
    ...(phase.rampTo === undefined ? {} : { rampTo: rate(phase.rampTo) }),
  }));
}

/** How many virtual users the phases create at most. */
export function usersOf(phases: readonly Phase[]): number {
  return phases.reduce((sum, { duration, arrivalRate, rampTo = arrivalRate }) => {
    return sum + Math.ceil(duration * Math.max(arrivalRate, rampTo));
  }, 0);
}
