/**
 * An environment of a function: what its batches share while it lives, one after the other or, where an environment takes
 * several at once, at the same time.
 *
 * Invariant: whatever dies in it takes everything in it along, memory included. What it remembers is part of the state of
 * a world, and whoever looks at it is told apart by what was seen. Called by `queue.ts` and `consumers.ts`.
 */
import { openSeen, type Seen } from '../../../lib/reservation/seen.ts';
import { Digest, Sum } from './choice.ts';
import { type Process, parts, type World } from './world.ts';

export class Environment {
  readonly #world: World;
  readonly #processes = new Set<Process>();
  #seen: Seen;
  /** What is in the memory, for telling states apart. */
  #known = new Set<string>();

  constructor(world: World) {
    this.#world = world;
    this.#seen = openSeen(() => world.nowMs);
  }

  /** How many batches run in it. */
  get busy(): number {
    return this.#processes.size;
  }

  /** Begins anew, with nothing in it. */
  begin(): void {
    this.#processes.clear();
    this.#known = new Set();
    this.#seen = openSeen(() => this.#world.nowMs);
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

  /** What its batches know of the reservations that they decide, as a process in it asks. */
  seenBy(process: Process): Seen {
    const seen = this.#seen;
    const world = this.#world;
    const looked = <T>(answer: T): T => {
      world.reads |= parts.memories;
      return answer;
    };
    const learned = (what: string) => {
      world.writes |= parts.memories;
      this.#known.add(what);
    };
    return {
      reservation: (reservationId) => looked(seen.reservation(reservationId)),
      customer: (customerId) => looked(seen.customer(customerId)),
      underWay(reservationId) {
        const work = looked(seen.underWay(reservationId));
        if (!work) return undefined;
        process.heard(`${reservationId} is under way`);
        const told = work.finally(() => process.heard(`${reservationId} is over`));
        // Who asks may fail before it comes to wait.
        told.catch(() => undefined);
        return told;
      },
      async during(claims, work) {
        world.writes |= parts.memories;
        try {
          return await seen.during(claims, () => {
            process.heard('its customers are free');
            return work();
          });
        } finally {
          for (const { reservationId, customerId } of claims) {
            learned(reservationId);
            learned(customerId);
          }
        }
      },
      surprised(what) {
        seen.surprised(what);
        learned(`a surprise about a ${what}`);
      },
    };
  }
}
