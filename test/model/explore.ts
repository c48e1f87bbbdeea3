/**
 * Explores every path of a small case: each order of calls, each fault at each call, up to a number of faults.
 *
 * A run is a list of choices. The search goes back to the last point with a possibility left and runs again from the
 * beginning. A state that was met before is not explored further; two states are the same if services, queues and
 * books have the same content and every process has had the same answers. Of two steps that do not touch the same
 * part of the world only one order is run: the search remembers which steps would only lead to known states (partial
 * order reduction with sleep sets, kept with each state). Every state that can be reached is reached all the same.
 * Called by `run.ts`.
 */
import type { PurchaseId } from '#platform/kernel/ids.ts';
import { type ConsumerName, consumerNames, queueOf, tick } from './consumers.ts';
import { processorMs } from './processor-time.ts';
import { pages } from './rows-per-step.ts';
import { type SaleSetting, Setting } from './setting.ts';
import { type Chooser, type Fault, Random } from './world/choice.ts';
import type { QueueOptions } from './world/queue.ts';
import type { Possibility } from './world/world.ts';

/** A small case. */
export interface Scenario {
  readonly name: string;
  /** What it is about, in a sentence. */
  readonly about: string;
  readonly queues: readonly QueueOptions[];
  readonly sales: readonly SaleSetting[];
  /** The most faults in one run. */
  readonly faults: number;
  /** The faults that may happen, and how often each at most. */
  readonly kinds: Readonly<Partial<Record<Fault, number>>>;
  /** The rules that fire when nothing is left to happen. */
  readonly rules: readonly ConsumerName[];
  /** Those of their queues whose messages are lost until then. */
  readonly late?: readonly ConsumerName[];
  /** Whether the mirror must be right at rest without being reconciled, unless a failure excuses it. */
  readonly mirror: boolean;
  /** How many reservations one step of a long job looks at; as many as there are if it is not said. */
  readonly page?: number;
  /** What an operator does about a purchase of which the provider refused a refund, when nothing else is left to happen. */
  readonly decides?: (setting: Setting, purchaseId: PurchaseId) => void;
  /** Whether the bus takes nothing before the rules fire: the relay publishes all events then. */
  readonly lateBus?: boolean;
  /** What has happened already when the case begins. */
  readonly before?: (setting: Setting) => void;
  /** Sets off what happens. */
  begin(setting: Setting): void;
}

export interface Exploration {
  readonly name: string;
  readonly states: number;
  readonly runs: number;
  readonly deepest: number;
  /** False if it was ended before everything was seen. */
  readonly complete: boolean;
  readonly violation: { invariant: string; detail: string; choices: (readonly number[])[] } | undefined;
}

const kindsInOrder: readonly Fault[] = ['fail', 'lost', 'late', 'part', 'twice', 'crash', 'grave', 'stall'];

/** Follows given choices, then takes the first possibility at every point. Counts the faults that are left. */
class Script implements Chooser {
  #choices: readonly number[] = [];
  #at = 0;
  #left = new Map<Fault, number>();
  #faultsLeft = 0;

  begin(scenario: Scenario): void {
    this.#choices = [];
    this.#at = 0;
    this.#faultsLeft = scenario.faults;
    this.#left = new Map(Object.entries(scenario.kinds) as [Fault, number][]);
  }

  /** What comes next. */
  follow(choices: readonly number[]): void {
    this.#choices = choices;
    this.#at = 0;
  }

  pick(count: number): number {
    return count <= 1 ? 0 : Math.min(this.#choices[this.#at++] ?? 0, count - 1);
  }

  /** Those of these faults that may still happen, in a fixed order. */
  readonly allowed = (possible: readonly Fault[]): readonly Fault[] => {
    if (this.#faultsLeft === 0) return [];
    return kindsInOrder.filter((kind) => possible.includes(kind) && (this.#left.get(kind) ?? 0) > 0);
  };

  fault(possible: readonly Fault[]): Fault | undefined {
    const kinds = this.allowed(possible);
    const kind = kinds[this.pick(kinds.length + 1) - 1];
    if (!kind) return undefined;
    this.#faultsLeft--;
    this.#left.set(kind, (this.#left.get(kind) ?? 0) - 1);
    return kind;
  }

  happens(): boolean {
    return false;
  }

  /** What can still go wrong makes a difference to where a run can lead. */
  digest(): number {
    let sum = this.#faultsLeft;
    for (const [kind, left] of this.#left) sum = sum * 7 + left * (1 + kindsInOrder.indexOf(kind));
    return sum;
  }
}

/** What a step has touched. */
interface Footprint {
  readonly process: string;
  readonly reads: number;
  readonly writes: number;
}

/** True if the two could change places without any difference. */
function independent(one: Footprint, other: Footprint): boolean {
  if (one.process === other.process) return false;
  return (one.writes & (other.reads | other.writes)) === 0 && (one.reads & other.writes) === 0;
}

type Sleep = ReadonlyMap<string, Footprint>;

/** A point of the current path. */
interface Point {
  /** What is tried here, one after the other. */
  readonly possible: readonly Possibility[];
  at: number;
  /** What need not be tried from here on. Grows by what has been tried. */
  readonly sleep: Map<string, Footprint>;
  footprint: Footprint;
}

/** Takes the default of everything, and nothing goes wrong. */
const plain: Chooser = { pick: () => 0, fault: () => undefined, happens: () => false };

/** More reservations than a small case has. */
const wholePage = 500;
const roundsAtMost = 6;
/** The chance of a fault at each step of a random path; a case has some dozens of steps. */
const faultChance = 0.06;
const stepsAtMost = 5_000;

/** Explores a case until all is seen, `limitMs` are over, or something is wrong. */
export function explore(scenario: Scenario, limitMs: number): Exploration {
  const setting = prepare(scenario);
  const { world, checker } = setting;
  const script = new Script();
  /** What each state was left with that had not been tried there. */
  const seen = new Map<number, readonly string[]>();
  const path: Point[] = [];
  const untilMs = processorMs() + limitMs;
  let [runs, deepest] = [0, 0];
  const result = (complete: boolean, violation?: Exploration['violation']): Exploration => ({
    name: scenario.name,
    states: seen.size,
    runs,
    deepest,
    complete,
    violation,
  });

  const step = (point: Point) => {
    const chosen = point.possible[point.at];
    if (!chosen) throw new Error('there is nothing to choose');
    script.follow(chosen.choices);
    world.step();
    checker.afterStep();
    point.footprint = { process: chosen.process, reads: world.reads, writes: world.writes };
  };

  /** What is to be tried at the state that was reached, or nothing if that is known already. */
  const arrive = (sleep: Sleep): Point | undefined => {
    const digest = world.digest(checker.digest() + script.digest());
    const known = seen.get(digest);
    const untried = known?.filter((key) => !sleep.has(key));
    if (untried?.length === 0) return undefined;
    const all = world.possible(script.allowed);
    if (known === undefined) {
      seen.set(
        digest,
        all.flatMap(({ key }) => (sleep.has(key) ? [key] : [])),
      );
      if (all.length === 0) finish(scenario, setting);
    } else {
      seen.set(
        digest,
        known.filter((key) => sleep.has(key)),
      );
    }
    const possible = all.filter(({ key }) => (untried ? untried.includes(key) : !sleep.has(key)));
    return possible.length > 0 ? { possible, at: 0, sleep: new Map(sleep), footprint: nothing } : undefined;
  };

  for (;;) {
    runs++;
    script.begin(scenario);
    begin(scenario, setting, script);
    path.forEach((point, index) => {
      world.repeating = index < path.length - 1;
      step(point);
    });
    world.repeating = false;
    // From here on everything is new.
    for (;;) {
      if (world.violation) {
        const choices = path.map(({ possible, at }) => possible[at]?.choices ?? []);
        return result(false, { ...world.violation, choices });
      }
      const last = path.at(-1);
      const sleep = new Map<string, Footprint>();
      if (last) for (const [key, print] of last.sleep) if (independent(print, last.footprint)) sleep.set(key, print);
      const next = arrive(sleep);
      if (world.violation) continue;
      if (!next) break;
      path.push(next);
      deepest = Math.max(deepest, path.length);
      if (path.length > stepsAtMost) world.broken('I9', `no end after ${path.length} steps`);
      else step(next);
    }
    if (processorMs() > untilMs) return result(false);
    if (!goBack(path)) return result(true);
  }
}

/** Runs one random path of a case by a seed: any order, any of its faults. A sample, when time is short. */
export function wander(scenario: Scenario, seed: number): Exploration['violation'] {
  const setting = prepare(scenario);
  const { world, checker } = setting;
  const random = new Random(seed);
  const script = new Script();
  const choices: (readonly number[])[] = [];
  script.begin(scenario);
  begin(scenario, setting, script);
  while (!world.violation) {
    const all = world.possible(script.allowed);
    if (all.length === 0) break;
    // Most of the possibilities are faults; if each counted alike, all would happen at the beginning.
    const right = all.filter(({ faulty }) => !faulty);
    const wrong = all.filter(({ faulty }) => faulty);
    const chosen = random.of(right.length === 0 || (wrong.length > 0 && random.next() < faultChance) ? wrong : right);
    choices.push(chosen.choices);
    script.follow(chosen.choices);
    world.step();
    checker.afterStep();
    if (choices.length > stepsAtMost) world.broken('I9', `no end after ${choices.length} steps`);
  }
  if (!world.violation) finish(scenario, setting);
  return world.violation && { ...world.violation, choices };
}

const nothing: Footprint = { process: '', reads: 0, writes: 0 };

/** Goes back to the last point with something left to try, and to what is next there. False if there is none. */
function goBack(path: Point[]): boolean {
  for (;;) {
    const last = path.at(-1);
    if (!last) return false;
    const tried = last.possible[last.at];
    if (tried) last.sleep.set(tried.key, last.footprint);
    last.at++;
    if (last.at < last.possible.length) return true;
    path.pop();
  }
}

/** Replays one path of a case, then continues by default choices. Returns what was wrong with it, if anything was. */
export function replay(
  scenario: Scenario,
  choices: readonly (readonly number[])[],
  watch?: (line: string) => void,
): { invariant: string; detail: string } | undefined {
  const setting = prepare(scenario);
  const { world } = setting;
  const script = new Script();
  script.begin(scenario);
  begin(scenario, setting, script);
  world.trace = watch;
  for (let steps = 0; steps <= stepsAtMost && !world.violation && world.possibilities(); steps++) {
    script.follow(choices[steps] ?? []);
    world.step();
    setting.checker.afterStep();
  }
  if (!world.violation) finish(scenario, setting);
  return world.violation;
}

const prepared = new Map<Scenario, Setting>();

function prepare(scenario: Scenario): Setting {
  const known = prepared.get(scenario);
  if (known) return known;
  const own = new Map(scenario.queues.map((queue) => [queue.name, queue]));
  const queues = consumerNames.map((name) => own.get(name) ?? queueOf(name, { batch: 10, workers: 1 }));
  pages.rows = scenario.page ?? wholePage;
  const setting = new Setting({ queues, digests: true, frozen: true, locks: false });
  setting.prepare(scenario.sales, true, scenario.before);
  const rules = new Set<string>(scenario.rules);
  for (const queue of setting.world.queues.values()) queue.open = own.has(queue.name) || rules.has(queue.name);
  prepared.set(scenario, setting);
  return setting;
}

function begin(scenario: Scenario, setting: Setting, script: Script): void {
  pages.rows = scenario.page ?? wholePage;
  setting.begin(1);
  setting.world.trace = undefined;
  setting.world.chooser = plain;
  for (const name of scenario.late ?? []) setting.world.queue(name).open = false;
  setting.world.busIsDown = scenario.lateBus === true;
  scenario.begin(setting);
  setting.world.chooser = script;
}

/** Nothing is left to happen: lets the rules fire without faults until nothing is left for them either, and checks. */
function finish(scenario: Scenario, setting: Setting): void {
  const { world, checker } = setting;
  world.chooser = plain;
  world.trace?.('nothing is left to happen: the rules fire');
  for (const name of scenario.late ?? []) world.queue(name).open = true;
  world.busIsDown = false;
  for (let round = 0; round < roundsAtMost; round++) {
    let redriven = 0;
    for (const queue of world.queues.values()) redriven += queue.redrive();
    const quiet = redriven === 0 && round > 0 && world.mysql.table('outbox').stored.size === 0;
    const open = [...checker.purchases()].some(({ state }) =>
      /requested|unknown|requires_action|refunding/.test(state),
    );
    const refused = [...checker.purchases()].filter(({ state }) => scenario.decides && state === 'refund_failed');
    if (quiet && !open && refused.length === 0) break;
    for (const { purchaseId } of refused) scenario.decides?.(setting, purchaseId);
    world.pass(61_000_000);
    for (const rule of scenario.rules) world.queue(rule).send(tick);
    for (let steps = 0; world.possibilities() > 0 && !world.violation; steps++) {
      world.step();
      checker.afterStep();
      if (steps > stepsAtMost) world.broken('I9', `no end after ${steps} more steps`);
    }
    if (world.violation) return;
  }
  checker.atRest({ mirror: scenario.mirror && !world.excuses.has('mirror') });
}
