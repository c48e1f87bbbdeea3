/**
 * The world that the shipped code lives in while it is modelled: processes, what they ask of the services around them,
 * and a clock of its own.
 *
 * Invariant: nothing happens by itself. Every call that leaves a process waits here until it is chosen; then it is done,
 * or fails, or is done without the caller learning of it, or the caller dies. Between two choices all processes stand
 * still, so a world and the answers that its processes have had are its whole state. Called by `explore.ts` and
 * `episode.ts`.
 */

import { rowLockWaitSeconds } from '#platform/kernel/time-limits.ts';
import { type Chooser, Digest, type Fault, Random, Sum } from './choice.ts';
import { settle, surround } from './determinism.ts';
import type { Environment } from './environment.ts';
import { NotUnderstood as NotUnderstoodLua } from './lua.ts';
import { MysqlServer, type Row, type RowChange, SqlError } from './mysql.ts';
import { PaymentService } from './provider.ts';
import { ModelQueue, type QueueOptions } from './queue.ts';
import { RedisServer } from './redis.ts';
import { NotUnderstood as NotUnderstoodSql } from './sql.ts';

/** A call that has to wait for another transaction. */
export class Waiting {
  readonly transaction: number;
  readonly waits: number;

  /** `waits` is the caller's transaction, `transaction` the other one. */
  constructor(waits: number, transaction: number) {
    this.waits = waits;
    this.transaction = transaction;
  }
}

/** A call that leaves a process. */
export interface Call<T> {
  readonly to: 'mysql' | 'redis' | 'queue' | 'bus' | 'provider' | 'lock' | 'clock' | 'client';
  /** What is asked, for people. */
  readonly what: string | (() => string);
  /** What may go wrong with it, beyond the death of the caller. */
  readonly faults: readonly Fault[];
  /** Does it. */
  run(): T | Waiting;
  /** What the caller gets instead of the result after a fault; throws if that is an error. */
  broken(fault: Fault): T;
}

interface Pending {
  readonly process: Process;
  readonly call: Call<unknown>;
  readonly order: number;
  /** The transaction that it waits for, while it does. */
  waitsFor: number;
  /** Whether its waiting will be ended. */
  limited: boolean;
  /** Its outcome, if it was done without being chosen; the caller does not know it yet. */
  done: (() => unknown) | undefined;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** Parts of the world, for what a step has read and written. What does not meet in any of them could change places. */
export const parts = {
  rows: 1,
  locks: 2,
  redis: 4,
  queues: 8,
  clients: 16,
  provider: 32,
  faults: 64,
  memories: 128,
} as const;

/** One thing that could happen next, and the choices that make it happen. */
export interface Possibility {
  /** The same for the same thing in another state of the world. */
  readonly key: string;
  /** The process that makes the call; undefined for what happens by itself. */
  readonly process: string;
  readonly choices: readonly number[];
  /** Whether something goes wrong with it. */
  readonly faulty: boolean;
}

/** Something that no process asked for: a message arrives late, a stopped process goes on. */
interface Event {
  readonly what: string;
  readonly atUs: number;
  readonly order: number;
  /** Distinguishes it from others of the same name when states are compared. */
  readonly digest: number;
  run(): void;
}

export type ProcessKind = 'worker' | 'http' | 'client';

/** Shipped code that is running: one batch, one request, one customer. */
export class Process {
  readonly world: World;
  readonly kind: ProcessKind;
  readonly name: string;
  readonly random: Random;
  /** A digest of every answer it has had; with its name it says where the code stands. */
  history: number;
  alive = true;
  /** Whether Redis may have done something that this process does not know of. */
  misledByRedis = false;
  calls = 0;
  /** Open transactions, which end with the process. */
  readonly transactions = new Set<number>();
  onDeath: () => void = () => undefined;
  /** Where it runs, if others run there too, or after it. */
  environment: Environment | undefined;

  constructor(world: World, kind: ProcessKind, name: string) {
    this.world = world;
    this.kind = kind;
    this.name = name;
    this.history = new Digest().text(name).value();
    this.random = new Random(this.history);
  }

  /** Asks something of a service. Settles when the model chooses so, or never, if the process dies first. */
  ask<T>(call: Call<T>): Promise<T> {
    return this.world.ask(this, call);
  }

  /** Notes an answer that came from another process. */
  heard(value: unknown): void {
    if (this.world.digests) this.history = new Digest().number(this.history).add(value).value();
  }
}

export interface WorldOptions {
  readonly migrations: string;
  readonly queues: readonly QueueOptions[];
  /** Whether states are to be compared. */
  readonly digests: boolean;
  /** Whether the clock stands still; then what takes time may happen at any moment. */
  readonly frozen: boolean;
  /** Whether sales are locked while they are worked on. Nothing may depend on it. */
  readonly locks: boolean;
}

/**
 * What may be left over by a failure that nothing repeats: a stale mirror; a ticket that the customer was told and the
 * request did not carry; a claim at the gate whose request was never queued. 'deaf' if Redis itself
 * refused something.
 */
export type Excuse = 'mirror' | 'ticket' | 'gate' | 'deaf';

const faultsOfCaller: readonly Fault[] = ['crash', 'grave', 'stall'];
const none: readonly Fault[] = [];
const faultsOfAnswer: readonly Fault[] = ['lost', 'crash'];

function faultsOf({ process, call, done }: Pending): readonly Fault[] {
  if (process.kind === 'client') return none;
  if (done) return call.faults.includes('lost') ? faultsOfAnswer : ['crash'];
  return [...call.faults, ...faultsOfCaller];
}

export class World {
  readonly options: WorldOptions;
  readonly mysql: MysqlServer;
  readonly redis: RedisServer;
  readonly provider: PaymentService;
  readonly queues = new Map<string, ModelQueue>();
  readonly digests: boolean;
  chooser: Chooser = { pick: () => 0, fault: () => undefined, happens: () => false };
  nowUs = 0;
  /** The first promise that was broken. */
  violation: { invariant: string; detail: string } | undefined;
  /** Receives a line for each thing that happens, if set. */
  trace: ((line: string) => void) | undefined;
  /** Steps since the beginning. */
  steps = 0;
  /** While set, no other process runs between the statements of a transaction. */
  serial = false;
  /** While set, the bus accepts nothing. */
  busIsDown = false;
  /** The parts that the step under way has read and written. */
  reads = 0;
  writes = 0;
  /** What need not be right at rest before reconciling, because what would have made it right has failed for good. */
  excuses = new Set<Excuse>();
  /** Counts of what went wrong, by kind. */
  readonly faults = new Map<Fault, number>();
  /** Things that a scenario lets happen at any moment, each once. */
  actions: { readonly name: string; run(): void }[] = [];

  /** True while a path is replayed that was run and checked before. */
  repeating = false;
  #histories: number[] = [];
  #answers = 0;
  #ready: Pending[] = [];
  #blocked: Pending[] = [];
  #late: Event[] = [];
  #timers: Event[] = [];
  #processes = new Set<Process>();
  #names = new Map<string, number>();
  #order = 0;
  #current: Process | undefined;
  #random = new Random(1);
  onRowChanges: (changes: RowChange[]) => void = () => undefined;
  /** Told of each event that the bus has taken. */
  onPublished: (eventId: string) => void = () => undefined;

  constructor(options: WorldOptions) {
    this.options = options;
    this.digests = options.digests;
    this.mysql = new MysqlServer(options.migrations);
    this.redis = new RedisServer(() => this.nowUs, options.digests);
    this.provider = new PaymentService(this);
    this.mysql.onCommit = (changes) => {
      // Mirror writes are checked against commits, so the two must not be reordered.
      this.writes |= parts.rows | parts.redis;
      this.onRowChanges(changes);
    };
    this.mysql.onEnd = (transaction) => {
      this.writes |= parts.locks;
      this.#wake(transaction);
    };
    for (const queue of options.queues) this.queues.set(queue.name, new ModelQueue(this, queue));
  }

  get nowMs(): number {
    return Math.floor(this.nowUs / 1000);
  }

  /** From now on this world is what the shipped code of this process sees. */
  enter(): void {
    surround({
      nowMs: () => this.nowMs,
      random: () => this.#current?.random ?? this.#random,
      later: (work, afterMs) => this.#timer(work, afterMs),
    });
  }

  /** Makes everything as it was when the world was new, the content of its services apart. */
  reset(nowUs: number, seed: number): void {
    this.nowUs = nowUs;
    this.#ready = [];
    this.#blocked = [];
    this.#late = [];
    this.#timers = [];
    this.#processes.clear();
    this.#names.clear();
    this.#order = 0;
    this.#answers = 0;
    this.repeating = false;
    this.#current = undefined;
    this.#random = new Random(seed);
    this.violation = undefined;
    this.serial = false;
    this.steps = 0;
    this.excuses = new Set<Excuse>();
    this.actions = [];
    this.faults.clear();
    this.provider.reset();
    for (const queue of this.queues.values()) queue.reset();
  }

  /** Counts something that went wrong. */
  count(fault: Fault): void {
    this.writes |= parts.faults;
    this.faults.set(fault, (this.faults.get(fault) ?? 0) + 1);
  }

  queue(name: string): ModelQueue {
    const queue = this.queues.get(name);
    if (!queue) throw new Error(`there is no queue ${name}`);
    return queue;
  }

  /** Notes that an invariant does not hold. The first one counts. */
  broken(invariant: string, detail: string): void {
    this.violation ??= { invariant, detail };
  }

  /** Starts shipped code. Names are made distinct, in a way that does not depend on what else happens. */
  start(kind: ProcessKind, name: string, work: (process: Process) => Promise<void>): Process {
    const count = (this.#names.get(name) ?? 0) + 1;
    this.#names.set(name, count);
    const process = new Process(this, kind, count === 1 ? name : `${name}'${count}`);
    this.#processes.add(process);
    this.#run(process, () => {
      work(process).then(
        () => this.#processes.delete(process),
        (error) => {
          this.#processes.delete(process);
          if (process.alive) this.broken('model', `${process.name} ended with ${String(error?.stack ?? error)}`);
        },
      );
    });
    return process;
  }

  /** Runs a request in a process of its own; undefined if no answer came. */
  request<T>(
    client: Process,
    name: string,
    work: (process: Process) => Promise<T>,
  ): Promise<{ answer: T } | undefined> {
    return new Promise((resolve) => {
      const heard = (answer: { answer: T } | undefined) => {
        this.writes |= parts.clients;
        client.heard(answer);
        resolve(answer);
      };
      const process = this.start('http', name, async (own) => {
        const answer = await work(own);
        const arrived = await own.ask<boolean>({
          to: 'client',
          what: 'answer',
          faults: ['fail'],
          run: () => true,
          broken: () => false,
        });
        heard(arrived ? { answer } : undefined);
      });
      process.onDeath = () => heard(undefined);
    });
  }

  ask<T>(process: Process, call: Call<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (!process.alive) return;
      const pending: Pending = {
        process,
        call,
        order: process.calls++,
        waitsFor: 0,
        limited: false,
        done: undefined,
        resolve: resolve as (value: unknown) => void,
        reject,
      };
      this.#ready.push(pending);
    });
  }

  /** Does something after a while; at any later moment if the clock stands still. */
  after(us: number, what: string, run: () => void, digest = 0): void {
    const event: Event = { what, atUs: this.nowUs + us, order: this.#order++, digest, run };
    if (this.options.frozen) this.#late.push(event);
    else push(this.#timers, event);
  }

  /** Does something when the clock has moved on so far, and not before. */
  afterwards(us: number, what: string, run: () => void, digest = 0): void {
    push(this.#timers, { what, atUs: this.nowUs + us, order: this.#order++, digest, run });
  }

  /** Moves the clock on and lets happen what is due. */
  pass(us: number): void {
    this.nowUs += us;
    this.#fire();
  }

  /** How many things could happen next. */
  possibilities(): number {
    let count = this.#ready.length + this.#late.length + this.actions.length;
    for (const queue of this.queues.values()) if (queue.canDeliver()) count++;
    return count;
  }

  /** Everything that could happen next, given the faults of a kind that are still allowed. */
  possible(allowed: (kinds: readonly Fault[]) => readonly Fault[]): Possibility[] {
    const all: Possibility[] = [];
    const count = this.possibilities();
    let index = 0;
    const first = () => (count > 1 ? [index] : []);
    const dying = new Set<Process>();
    for (const pending of this.#ready) {
      const { process, order } = pending;
      const kinds = allowed(faultsOf(pending));
      [undefined, ...kinds].forEach((kind, choice) => {
        // However many calls of a process are under way, it dies once.
        if (kind === 'crash' && dying.has(process)) return;
        if (kind === 'crash') dying.add(process);
        const choices = kinds.length > 0 ? [...first(), choice] : first();
        const key = `${process.name}#${order}${kind ?? ''}`;
        all.push({ key, process: process.name, choices, faulty: kind !== undefined });
      });
      index++;
    }
    for (const queue of this.queues.values()) {
      if (!queue.canDeliver()) continue;
      for (const { key, choices, faulty } of queue.deliveries(allowed)) {
        all.push({ key, process: '', choices: [...first(), ...choices], faulty });
      }
      index++;
    }
    for (const { what, digest } of this.#late) {
      all.push({ key: `~${what}${digest}`, process: '', choices: first(), faulty: false });
      index++;
    }
    for (const { name } of this.actions) {
      all.push({ key: `!${name}`, process: '', choices: first(), faulty: false });
      index++;
    }
    return all;
  }

  /**
   * Lets one thing happen. If there is none the clock moves to the next thing that is due. False if nothing will happen
   * any more.
   */
  step(): boolean {
    const count = this.possibilities();
    if (count === 0) {
      const [next] = this.#timers;
      if (!next) return false;
      this.nowUs = Math.max(this.nowUs, next.atUs);
      this.#fire();
      return true;
    }
    this.steps++;
    this.reads = 0;
    this.writes = 0;
    let chosen = this.serial ? this.#ready.findIndex(({ process }) => process.transactions.size > 0) : -1;
    if (chosen < 0) chosen = count === 1 ? 0 : this.chooser.pick(count);
    if (chosen < this.#ready.length) {
      this.#call(chosen);
      return true;
    }
    chosen -= this.#ready.length;
    for (const queue of this.queues.values()) {
      if (queue.canDeliver() && chosen-- === 0) {
        queue.deliver();
        return true;
      }
    }
    const [event] = this.#late.splice(chosen, 1);
    if (event) {
      this.trace?.(`              ${event.what}`);
      event.run();
      settle();
      return true;
    }
    const [action] = this.actions.splice(chosen - this.#late.length, 1);
    this.trace?.(`              ${action?.name}`);
    action?.run();
    settle();
    return true;
  }

  /** Ends a process where it stands, and its environment. Transactions end too, at once or when the server notices. */
  kill(process: Process): void {
    if (!process.alive) return;
    process.environment?.end(process);
    process.alive = false;
    this.#processes.delete(process);
    const isOthers = (one: Pending) => one.process !== process;
    this.#ready = this.#ready.filter(isOthers);
    this.#blocked = this.#blocked.filter(isOthers);
    for (const transaction of process.transactions) this.#abandon(transaction);
    process.onDeath();
  }

  /** The connection of a transaction is gone; the server finds out sooner or later. */
  #abandon(transaction: number): void {
    if (this.options.frozen || this.chooser.happens(0.5)) this.mysql.rollback(transaction);
    else
      this.after(this.#random.below(2_000_000), 'a dead connection is noticed', () => this.mysql.rollback(transaction));
  }

  /** True if a process waits for anything, or something is still to happen. */
  get busy(): boolean {
    return this.#ready.length + this.#blocked.length + this.#late.length > 0;
  }

  /** A digest of everything that can make a difference from here on. */
  digest(more: number): number {
    const sum = new Sum().add(more).add(this.nowUs);
    const mix = (value: number) => sum.add(value);
    for (const [name, table] of this.mysql.tables) for (const row of table.rows()) mix(rowDigest(name, row));
    mix(this.redis.digest());
    for (const process of this.#processes) mix(new Digest().text(process.name).number(process.history).value());
    for (const { process, order, done } of this.#ready) {
      const state = done ? 'done' : 'ready';
      mix(new Digest().text(state).text(process.name).number(process.history).number(order).value());
    }
    for (const { process, order } of this.#blocked) {
      mix(new Digest().text('blocked').text(process.name).number(process.history).number(order).value());
    }
    for (const { what, digest } of this.#late) mix(new Digest().text(what).number(digest).value());
    for (const { what, digest, atUs } of this.#timers) mix(new Digest().text(what).number(digest).number(atUs).value());
    for (const { name } of this.actions) mix(new Digest().text('action').text(name).value());
    for (const queue of this.queues.values()) {
      mix(queue.digest());
      for (const environment of queue.environments) mix(environment.digest());
    }
    mix(this.provider.digest());
    for (const excuse of this.excuses) mix(new Digest().text(excuse).value());
    return sum.value();
  }

  #run(process: Process, work: () => void): void {
    const before = this.#current;
    this.#current = process;
    work();
    // What one process starts in another runs with the first, when that has come to a stop.
    if (!before) settle();
    this.#current = before;
  }

  #timer(work: () => void, afterMs: number): void {
    const process = this.#current;
    if (!process) throw new Error('a timer without a process');
    this.after(afterMs * 1000, `${process.name} has waited ${afterMs} ms`, () => {
      if (process.alive) this.#run(process, work);
    });
  }

  #call(index: number): void {
    const pending = this.#ready[index];
    if (!pending) throw new Error('there is no such call');
    const { process, call } = pending;
    // A process that shares an environment may be ended by any step of another.
    if (process.environment) this.reads |= parts.memories;
    const possible = faultsOf(pending);
    const fault = possible.length > 0 ? this.chooser.fault(possible) : undefined;
    this.#ready.splice(index, 1);
    if (fault) this.count(fault);
    switch (fault) {
      case undefined:
        this.#perform(pending);
        return;
      case 'crash':
        this.trace?.(`${process.name}: ${nameOf(call)} ✗ dies before`);
        this.#noteDeath(process);
        this.kill(process);
        settle();
        return;
      case 'grave':
        this.trace?.(`${process.name}: ${nameOf(call)} ✗ dies, and it is still under way`);
        this.#noteDeath(process);
        this.#later(pending);
        settle();
        return;
      case 'stall':
        this.trace?.(`${process.name}: ${nameOf(call)} … takes its time`);
        this.after(this.#random.below(100_000_000), `${process.name} goes on`, () => {
          if (process.alive) this.#ready.push(pending);
        });
        return;
      case 'late': {
        this.trace?.(`${process.name}: ${nameOf(call)} ✗ no answer yet`);
        this.#noteBroken(process, call, fault);
        const digest = new Digest().number(process.history).number(pending.order).value();
        const attempt = () => this.#attempt(call);
        this.after(this.#random.below(3_000_000), `${process.name}: ${nameOf(call)}, late`, attempt, digest);
        this.#answer(pending, () => call.broken('late'));
        return;
      }
      case 'lost':
        this.trace?.(`${process.name}: ${nameOf(call)} ✗ done, but the answer is lost`);
        this.#noteBroken(process, call, fault);
        if (!pending.done) this.#attempt(call);
        this.#answer(pending, () => call.broken('lost'));
        return;
      default:
        this.trace?.(`${process.name}: ${nameOf(call)} ✗ ${fault}s`);
        this.#noteBroken(process, call, fault);
        this.#answer(pending, () => call.broken(fault));
    }
  }

  /** The caller dies, but what it asked for is on its way. */
  #later(pending: Pending): void {
    const { process, call } = pending;
    const open = [...process.transactions];
    process.transactions.clear();
    this.kill(process);
    const attempt = () => {
      this.#attempt(call);
      for (const transaction of open) this.mysql.rollback(transaction);
    };
    const digest = new Digest().number(process.history).number(pending.order).value();
    this.after(this.#random.below(3_000_000), `${process.name}: ${nameOf(call)}, from beyond`, attempt, digest);
  }

  /** Carries out a call whose caller is dead. */
  #attempt(call: Call<unknown>): void {
    try {
      const result = call.run();
      // The server notices that the client is gone before the row is free.
      if (result instanceof Waiting) this.mysql.rollback(result.waits);
    } catch {
      // The caller is dead, so the error reaches no one.
    }
  }

  #perform(pending: Pending): void {
    const { process, call } = pending;
    if (pending.done) {
      this.trace?.(`${process.name}: ${nameOf(call)} … has its row`);
      this.#answer(pending, pending.done);
      return;
    }
    let result: unknown;
    try {
      result = call.run();
    } catch (error) {
      if (error instanceof NotUnderstoodLua || error instanceof NotUnderstoodSql) this.broken('model', String(error));
      this.trace?.(`${process.name}: ${nameOf(call)} → ${String(error)}`);
      this.#answer(pending, () => {
        throw error;
      });
      return;
    }
    if (result instanceof Waiting) {
      pending.waitsFor = result.transaction;
      this.trace?.(`${process.name}: ${nameOf(call)} … waits`);
      this.#blocked.push(pending);
      if (!this.options.frozen) this.#limitWait(pending, result.waits);
      return;
    }
    this.trace?.(`${process.name}: ${nameOf(call)}${shown(result)}`);
    this.#answer(pending, () => result);
  }

  #answer(pending: Pending, result: () => unknown): void {
    const { process, order } = pending;
    let value: unknown;
    try {
      value = result();
    } catch (error) {
      this.#remember(process, order, error);
      this.#run(process, () => pending.reject(error));
      return;
    }
    this.#remember(process, order, value);
    this.#run(process, () => pending.resolve(value));
  }

  /** A process has had an answer. On a replayed path it had the same one before, so the digest is known. */
  #remember(process: Process, order: number, value: unknown): void {
    if (!this.digests) return;
    const at = this.#answers++;
    const known = this.repeating ? this.#histories[at] : undefined;
    process.history = known ?? new Digest().number(process.history).number(order).add(value).value();
    if (known === undefined) {
      this.#histories.length = at;
      this.#histories.push(process.history);
    }
  }

  /** A transaction has ended: those that waited for its rows go on. */
  #wake(transaction: number): void {
    if (this.#blocked.length === 0) return;
    const waiting = this.#blocked.filter((one) => one.waitsFor === transaction);
    this.#blocked = this.#blocked.filter((one) => one.waitsFor !== transaction);
    for (const pending of waiting) this.#grant(pending);
  }

  /** First come, first served: the first waiter gets the row before any newcomer, and learns of it later. */
  #grant(pending: Pending): void {
    try {
      const result = pending.call.run();
      if (result instanceof Waiting) {
        pending.waitsFor = result.transaction;
        this.#blocked.push(pending);
        return;
      }
      pending.done = () => result;
    } catch (error) {
      pending.done = () => {
        throw error;
      };
    }
    this.#ready.push(pending);
  }

  /** A lock wait times out: the server fails the statement, and the caller must roll back the transaction. */
  #limitWait(pending: Pending, waits: number): void {
    if (pending.limited) return;
    pending.limited = true;
    this.after(rowLockWaitSeconds * 1_000_000, `${pending.process.name} has waited long enough for a row`, () => {
      pending.limited = false;
      const at = this.#blocked.indexOf(pending);
      if (at < 0) return;
      this.#blocked.splice(at, 1);
      this.mysql.stopWaiting(waits);
      this.#answer(pending, () => {
        throw new SqlError(1205, 'Lock wait timeout exceeded; try restarting transaction');
      });
    });
  }

  /** Some writes are made once and not again by a redelivery; if one is lost, only reconciling brings the mirror back. */
  #noteBroken(process: Process, call: Call<unknown>, fault: Fault): void {
    if (call.to === 'redis' && process.kind === 'http') {
      this.excuses.add('ticket');
      process.misledByRedis = true;
    }
    if (call.to === 'redis' && fault === 'fail') this.excuses.add('mirror').add('gate').add('deaf');
    // A request that found the gate unavailable has no claim to return, even if the gate has recorded one.
    if (call.to === 'queue' && process.misledByRedis) this.excuses.add('gate');
    if (call.to === 'mysql' && !isRepeated(process)) this.excuses.add('mirror');
  }

  #noteDeath(process: Process): void {
    if (!isRepeated(process)) this.excuses.add('mirror');
    if (process.kind === 'http') this.excuses.add('ticket').add('gate');
  }

  #fire(): void {
    for (;;) {
      const [next] = this.#timers;
      if (!next || next.atUs > this.nowUs) return;
      pop(this.#timers);
      this.trace?.(`              ${next.what}`);
      next.run();
      settle();
    }
  }
}

const rowDigests = new WeakMap<Row, number>();

/** Rows never change, so each is digested once. */
function rowDigest(table: string, row: Row): number {
  let digest = rowDigests.get(row);
  if (digest === undefined) {
    digest = new Digest().text(table).add(row).value();
    rowDigests.set(row, digest);
  }
  return digest;
}

/** True if the next delivery of its messages does everything that this process leaves undone. */
function isRepeated(process: Process): boolean {
  return process.name.startsWith('reservations:');
}

function nameOf({ what }: Call<unknown>): string {
  return typeof what === 'string' ? what : what();
}

function shown(result: unknown): string {
  const text = JSON.stringify(result, (_, value) =>
    typeof value === 'object' && value?.type === 'Buffer' ? Buffer.from(value.data).toString('hex').slice(-4) : value,
  );
  return text === undefined || text === '[]' ? '' : ` → ${text.length > 160 ? `${text.slice(0, 160)}…` : text}`;
}

function before(a: Event, b: Event): boolean {
  return a.atUs < b.atUs || (a.atUs === b.atUs && a.order < b.order);
}

/** Puts an event into a heap whose first one is the earliest. */
function push(heap: Event[], event: Event): void {
  let at = heap.length;
  heap.push(event);
  while (at > 0) {
    const up = (at - 1) >> 1;
    const parent = heap[up];
    if (!parent || !before(event, parent)) break;
    heap[at] = parent;
    at = up;
  }
  heap[at] = event;
}

function pop(heap: Event[]): void {
  const last = heap.pop();
  if (!last || heap.length === 0) return;
  let at = 0;
  for (;;) {
    const left = 2 * at + 1;
    const [a, b] = [heap[left], heap[left + 1]];
    if (!a) break;
    const [least, child] = b && before(b, a) ? [b, left + 1] : [a, left];
    if (!before(least, last)) break;
    heap[at] = least;
    at = child;
  }
  heap[at] = last;
}
