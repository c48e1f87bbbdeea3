/**
 * The buses, rules and targets that exist now, with compiled patterns and parsed schedules.
 *
 * Invariant: everything here is in the store, because every change is written there first; a bus called "default"
 * always exists. Called by api.ts (changes, lists), accept.ts (which rules select an event) and scheduler.ts (what is
 * due).
 */
import type { Target } from '@aws-sdk/client-eventbridge';
import { ApiError, invalid, notFound } from './errors.ts';
import { compilePattern, type EventMatcher } from './pattern.ts';
import { parseSchedule, type Schedule } from './schedule.ts';
import type { Bus, Rule, Store } from './store.ts';

export const defaultBus = 'default';

export interface RegisteredRule {
  rule: Rule;
  matches?: EventMatcher;
  schedule?: Schedule;
  targets: Target[];
}

export interface RegistryDeps {
  store: Store;
  region: string;
  account: string;
  now: () => number;
}

export class Registry {
  /** Called after every change of a rule, so that the scheduler can look again. */
  onChange: () => void = () => {};
  private readonly buses = new Map<string, Bus>();
  /** By bus, then by rule name. */
  private readonly rules = new Map<string, Map<string, RegisteredRule>>();
  private readonly deps: RegistryDeps;

  constructor(deps: RegistryDeps) {
    this.deps = deps;
    const { store } = deps;
    for (const bus of store.buses()) this.buses.set(bus.name, bus);
    if (!this.buses.has(defaultBus)) this.createBus(defaultBus);
    for (const rule of store.rules()) {
      this.rulesOf(rule.bus).set(rule.name, read(rule, store.targets(rule.bus, rule.name)));
    }
  }

  busArn(name: string): string {
    return `arn:aws:events:${this.deps.region}:${this.deps.account}:event-bus/${name}`;
  }

  hasBus(name: string): boolean {
    return this.buses.has(name);
  }

  /** The bus, or a ResourceNotFoundException. */
  bus(name: string): Bus {
    const bus = this.buses.get(name);
    if (!bus) throw notFound(`Event bus ${name} does not exist.`);
    return bus;
  }

  createBus(name: string): Bus {
    if (this.buses.has(name)) {
      throw new ApiError('ResourceAlreadyExistsException', `Event bus ${name} already exists.`);
    }
    const bus = { name, createdMs: this.deps.now() };
    this.deps.store.putBus(bus);
    this.buses.set(name, bus);
    return bus;
  }

  /** The rules of a bus in order of name. */
  listRules(bus: string): RegisteredRule[] {
    return [...this.rulesOf(bus).values()].sort((a, b) => (a.rule.name < b.rule.name ? -1 : 1));
  }

  findRule(bus: string, name: string): RegisteredRule | undefined {
    return this.rulesOf(bus).get(name);
  }

  /** The rule, or a ResourceNotFoundException. */
  rule(bus: string, name: string): RegisteredRule {
    const registered = this.findRule(bus, name);
    if (!registered) throw notFound(`Rule ${name} does not exist on EventBus ${bus}.`);
    return registered;
  }

  /**
   * Creates a rule, or replaces an existing one and keeps its targets. A schedule that has not changed keeps its phase.
   * Throws PatternError and ScheduleError.
   */
  putRule(given: Omit<Rule, 'arn' | 'nextFireMs'>): RegisteredRule {
    const existing = this.findRule(given.bus, given.name);
    const path = given.bus === defaultBus ? given.name : `${given.bus}/${given.name}`;
    const arn = `arn:aws:events:${this.deps.region}:${this.deps.account}:rule/${path}`;
    const registered = read({ ...given, arn, nextFireMs: undefined }, existing?.targets ?? []);
    const { rule, schedule } = registered;
    if (schedule && rule.enabled) {
      const unchanged = existing?.rule.enabled && existing.rule.schedule === rule.schedule;
      const nowMs = this.deps.now();
      rule.nextFireMs = (unchanged ? existing.rule.nextFireMs : undefined) ?? schedule.next(nowMs, nowMs);
    }
    this.deps.store.putRule(rule);
    this.rulesOf(rule.bus).set(rule.name, registered);
    this.onChange();
    return registered;
  }

  /** Deletes a rule without targets; one that does not exist is no error, as in AWS. */
  deleteRule(bus: string, name: string): void {
    if ((this.findRule(bus, name)?.targets.length ?? 0) > 0)
      throw invalid("Rule can't be deleted since it has targets.");
    this.deps.store.deleteRule(bus, name);
    this.rulesOf(bus).delete(name);
    this.onChange();
  }

  putTargets(registered: RegisteredRule, targets: Target[]): void {
    const { bus, name } = registered.rule;
    this.deps.store.putTargets(bus, name, targets);
    registered.targets = this.deps.store.targets(bus, name);
  }

  removeTargets(registered: RegisteredRule, ids: string[]): void {
    const { bus, name } = registered.rule;
    this.deps.store.removeTargets(bus, name, ids);
    registered.targets = this.deps.store.targets(bus, name);
  }

  /** Enabled rules of a bus whose pattern selects the event. */
  rulesFor(bus: string, event: unknown): RegisteredRule[] {
    const selected: RegisteredRule[] = [];
    for (const registered of this.rulesOf(bus).values()) {
      if (registered.rule.enabled && registered.matches?.(event)) selected.push(registered);
    }
    return selected;
  }

  /** Enabled rules with a firing ahead (or overdue). */
  scheduledRules(): RegisteredRule[] {
    const all = [...this.rules.values()].flatMap((rules) => [...rules.values()]);
    return all.filter(({ rule }) => rule.enabled && rule.nextFireMs !== undefined);
  }

  private rulesOf(bus: string): Map<string, RegisteredRule> {
    let rules = this.rules.get(bus);
    if (!rules) {
      rules = new Map();
      this.rules.set(bus, rules);
    }
    return rules;
  }
}

function read(rule: Rule, targets: Target[]): RegisteredRule {
  return {
    rule,
    targets,
    matches: rule.pattern === undefined ? undefined : compilePattern(rule.pattern),
    schedule: rule.schedule === undefined ? undefined : parseSchedule(rule.schedule),
  };
}
