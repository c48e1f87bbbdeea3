/**
 * The arena: keeps one player process for each contestant, and plays single runs on the ground.
 *
 * Invariant: a run is prepared, played alone and verified before the next begins. Called by the suites.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Contestant, ContestantName } from './contestant.ts';
import type { BenchGround } from './ground.ts';
import type { Order, Played } from './player.ts';
import { shippedNodeOptions } from './settings.ts';

/** What is known of a contestant outside its process. */
export type Card = Omit<Contestant, 'open'>;

/** One run's outcome. */
export interface Run extends Played {
  readonly perSecond: number;
  /** Processor time for each confirmed reservation, microseconds, by where it was spent. */
  readonly cpuUs: { readonly worker: number; readonly mysql: number; readonly redis: number };
}

interface Player {
  readonly card: Card;
  readonly child: ChildProcess;
  /** Does what is not measured. */
  makeReady(order: Order): Promise<void>;
  start(limitMs: number): Promise<Played>;
}

/** An answer takes no longer than the run's limit and this. */
const graceMs = 120_000;

export class Arena {
  readonly #ground: BenchGround;
  readonly #players = new Map<ContestantName, Promise<Player>>();

  constructor(ground: BenchGround) {
    this.#ground = ground;
  }

  /** What a contestant says of itself. */
  async card(name: ContestantName): Promise<Card> {
    return (await this.#player(name)).card;
  }

  /** The process in which a contestant works. */
  async pidOf(name: ContestantName): Promise<number | undefined> {
    return (await this.#player(name)).child.pid;
  }

  /** Plays one run and verifies it. Throws `NotExact` if anything was lost, doubled or oversold. */
  async run(name: ContestantName, order: Order): Promise<Run> {
    const { card, makeReady, start } = await this.#player(name);
    await this.#ground.prepare(order.plan, card);
    await makeReady(order);
    const before = this.#ground.serverCpuMs();
    const played = await start(order.limitMs);
    const after = this.#ground.serverCpuMs();
    await this.#ground.verify(order.plan, card, played);
    const each = (ms: number): number => (ms * 1000) / Math.max(1, played.reservations);
    return {
      ...played,
      perSecond: (played.reservations / played.elapsedMs) * 1000,
      cpuUs: {
        worker: each(played.cpuMs),
        mysql: each(after.mysql - before.mysql),
        redis: each(after.redis - before.redis),
      },
    };
  }

  /** Ends one player, to make room or to get its profile. */
  async dismiss(name: ContestantName): Promise<void> {
    const player = this.#players.get(name);
    this.#players.delete(name);
    const child = (await player?.catch(() => undefined))?.child;
    if (!child || child.exitCode !== null) return;
    await new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      child.disconnect();
    });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#players.keys()].map((name) => this.dismiss(name)));
  }

  #player(name: ContestantName): Promise<Player> {
    const known = this.#players.get(name) ?? this.#start(name);
    this.#players.set(name, known);
    return known;
  }

  async #start(name: ContestantName): Promise<Player> {
    const { mysqlUrl, redisUrl, env, profileFolder } = this.#ground;
    const profile = profileFolder
      ? ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`, `--cpu-prof-name=${name}.cpuprofile`]
      : [];
    const child = fork(
      fileURLToPath(new URL('./player.ts', import.meta.url)),
      [name, JSON.stringify({ mysqlUrl, redisUrl })],
      {
        env: { ...process.env, ...env, NODE_OPTIONS: shippedNodeOptions },
        execArgv: ['--expose-gc', '--disable-warning=ExperimentalWarning', ...profile],
        serialization: 'advanced',
      },
    );
    const next = <T>(pick: (message: Record<string, unknown>) => T | undefined, limitMs: number): Promise<T> =>
      new Promise<T>((resolve, reject) => {
        const timer = setTimeout(() => end(new Error(`${name} did not answer in ${limitMs} ms`)), limitMs);
        const onMessage = (message: unknown): void => {
          const { error } = message as { error?: string };
          const value = pick(message as Record<string, unknown>);
          if (error !== undefined) end(new Error(`${name}: ${error}`));
          else if (value !== undefined) end(undefined, value);
        };
        const onExit = (code: number | null): void => end(new Error(`${name} ended by itself (code ${code})`));
        const end = (error?: Error, value?: T): void => {
          clearTimeout(timer);
          child.off('message', onMessage);
          child.off('exit', onExit);
          if (error) reject(error);
          else resolve(value as T);
        };
        child.on('message', onMessage);
        child.once('exit', onExit);
      });
    const card = await next((message) => message.ready as Card | undefined, graceMs);
    return {
      card,
      child,
      async makeReady(order) {
        const done = next((message) => message.madeReady, graceMs);
        child.send({ order });
        await done;
      },
      start: (limitMs) => {
        const played = next((message) => message.played as Played | undefined, limitMs + graceMs);
        child.send({ start: true });
        return played;
      },
    };
  }
}
