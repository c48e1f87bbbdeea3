/** Scenarios and hooks belong together: what a scenario names, the processor has, and what users do, the log knows. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { crowdOf } from './crowd.ts';
import { fileOf, phasesOf, scenarios, usersOf } from './scenarios.ts';

interface Step {
  function?: string;
  loop?: Step[];
  parallel?: Step[];
  whileTrue?: string;
  [method: string]: unknown;
}

interface Flow {
  flow: Step[];
  beforeScenario: string[];
  beforeRequest: string[];
  afterResponse: string[];
  onError: string[];
}

const hooks = new Set(
  [...readFileSync(join(import.meta.dirname, 'processor.ts'), 'utf8').matchAll(/^export function (\w+)/gm)].map(
    ([, name]) => name,
  ),
);
const loggedNames = [
  'reserve',
  'reservation',
  'reservations',
  'cancel',
  'buy',
  'purchase',
  'notifications',
  'sale',
  'sales',
];

function requestsOf(steps: readonly Step[]): { name?: string; ifTrue?: string }[] {
  return steps.flatMap((step) => [
    ...requestsOf(step.loop ?? []),
    ...requestsOf(step.parallel ?? []),
    ...['get', 'post', 'delete'].flatMap((method) => (step[method] ? [step[method] as { name?: string }] : [])),
  ]);
}

function conditionsOf(steps: readonly Step[]): string[] {
  return steps.flatMap((step) => [
    ...(step.whileTrue ? [step.whileTrue] : []),
    ...(step.function ? [step.function] : []),
    ...conditionsOf(step.loop ?? []),
    ...conditionsOf(step.parallel ?? []),
  ]);
}

describe.each(scenarios)('$name', ({ name }) => {
  const { scenarios: flows } = parse(readFileSync(fileOf(name), 'utf8')) as { scenarios: Flow[] };

  test('every user enters as a customer, and every request is stamped and logged', () => {
    for (const flow of flows) {
      expect(flow.beforeScenario).toEqual(['enter']);
      expect(flow.beforeRequest).toEqual(['stamp']);
      expect(flow.afterResponse).toEqual(['note']);
      expect(flow.onError).toEqual(['noteFailure']);
    }
  });

  test('every hook and condition is there, and every request has a name that the log knows', () => {
    for (const { flow } of flows) {
      for (const condition of conditionsOf(flow)) expect(hooks).toContain(condition);
      for (const request of requestsOf(flow)) {
        expect(loggedNames).toContain(request.name);
        if (request.ifTrue !== undefined) expect(hooks).toContain(request.ifTrue);
      }
    }
  });

  test('arrivals are bounded, and scale', () => {
    const phases = phasesOf(name, { rate: 1, time: 1 });
    expect(usersOf(phases)).toBeLessThan(10_000);
    expect(usersOf(phasesOf(name, { rate: 2, time: 1 }))).toBe(2 * usersOf(phases));
  });
});

test('a thousand bots share four addresses, and a thousand people have one each', () => {
  const phases = phasesOf('bots', { rate: 1, time: 1 });
  const wanted = scenarios.find(({ name }) => name === 'bots')?.crowd;
  const crowd = wanted ? crowdOf(wanted, usersOf(phases), usersOf(phases.slice(0, 1))) : [];
  const addresses = (kind: string) => crowd.filter((one) => one.kind === kind).map(({ address }) => address);
  expect([addresses('bot').length, new Set(addresses('bot')).size]).toEqual([1_000, 4]);
  expect([addresses('person').length, new Set(addresses('person')).size]).toEqual([1_000, 1_000]);
  for (const { address } of crowd) expect(address).toMatch(/^127\.[12]\.\d+\.([1-9]|[1-9]\d|1\d\d|2[0-4]\d|250)$/);
});
