/**
 * An environment of a function: what its batches share while it lives, one after the other or, where an environment takes
 * several at once, at the same time.
 *
 * Invariant: whatever dies in it takes everything in it along, memory included. What it remembers is part of the state of
 * a world, and whoever looks at it is told apart by what was seen. Called by `queue.ts` and `consumers.ts`.
 */
import { openSeen, type Seen } from '#reservation/recently-decided.ts';
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
    const told = (reservationId: string, work: Promise<unknown>) => {
      process.heard(`${reservationId} is under way`);
      const end = work.finally(() => process.heard(`${reservationId} is over`));
      // Who asks may fail before it comes to wait.
      end.catch(() => undefined);
      return end;
    };
    const learned = (what: string) => {
      world.writes |= parts.memories;
      this.#known.add(what);
    };
    return {
      share(claims) {
        world.reads |= parts.memories;
        const { elsewhere, ...share } = seen.share(claims);
        for (const { reservationId, customerId } of share.own) {
          learned(reservationId);
          learned(customerId);
        }
        return { ...share, elsewhere: new Map([...elsewhere].map(([id, work]) => [id, told(id, work)])) };
      },
      during(share, work) {
        const noted = (): void => {
          world.writes |= parts.memories;
        };
        noted();
        const free = () => {
          process.heard('its customers are free');
          return work();
        };
        return seen.during(share, free).finally(noted);
      },
      surprised(what) {
        seen.surprised(what);
        learned(`a surprise about a ${what}`);
      },
    };
  }
}
