/**
 * An environment of a function: what its batches remember while it lives, one after the other or, where an environment
 * takes several at once, at the same time.
 *
 * Invariant: when a process in it dies, all its processes and its memory are lost. Its memory is part of the state
 * of a world, and a process that reads it has the read in its digest. Called by `queue.ts` and `world.ts`.
 */
import { type RecentlyDecided, recentlyDecided } from '#reservation/recently-decided.ts';
import { Digest, Sum } from './choice.ts';
import { type Process, parts, type World } from './world.ts';

export class Environment {
  readonly #world: World;
  readonly #processes = new Set<Process>();
  #memory: RecentlyDecided;
  /** What is in the memory, for telling states apart. */
  #known = new Set<string>();

  constructor(world: World) {
    this.#world = world;
    this.#memory = recentlyDecided({ clock: () => world.nowMs });
  }

  /** How many batches run in it. */
  get busy(): number {
    return this.#processes.size;
  }

  /** Begins anew, with nothing in it. */
  begin(): void {
    this.#processes.clear();
    this.#known = new Set();
    this.#memory = recentlyDecided({ clock: () => this.#world.nowMs });
  }

  enter(process: Process): void {
    this.#processes.add(process);
    process.environment = this;
  }

  leave(process: Process): void {
    this.#processes.delete(process);
  }

  /** It dies, because a process in it does. */
  end(process: Process): void {
    if (!this.#processes.delete(process)) return;
    this.#world.writes |= parts.memories;
    const others = [...this.#processes];
    this.begin();
    for (const other of others) this.#world.kill(other);
  }

  digest(): number {
    const sum = new Sum();
    for (const one of this.#known) sum.add(new Digest().text(one).value());
    return sum.value();
  }

  /** What its batches know of the reservations that they decide; noted as read and written. */
  get memory(): RecentlyDecided {
    const memory = this.#memory;
    const world = this.#world;
    const learned = (what: string) => {
      world.writes |= parts.memories;
      this.#known.add(what);
    };
    return {
      meet: (claims) => {
        world.reads |= parts.memories;
        const suspects = memory.meet(claims);
        for (const { reservationId, customerId } of claims) {
          learned(reservationId);
          learned(customerId);
        }
        return suspects;
      },
      surprised: (what) => {
        memory.surprised(what);
        learned(`a surprise about a ${what}`);
      },
    };
  }
}
