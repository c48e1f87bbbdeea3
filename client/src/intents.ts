/**
 * What somebody meant to do, each with one Idempotency-Key until it is known what became of it.
 *
 * An intent is written down before it is first sent, and crossed out when the server has said what became of it: done, or
 * refused for a reason that holds. A failed line, a 5xx or a full server says nothing; the intent stays, over reloads too,
 * and is sent again as it was, with the same key. So five clicks on a bad line are one reservation.
 */
import { isOutcome } from './problem.ts';

/** The part of Storage that is used. */
export interface Store {
  getItem(key: string): string | null;
  setItem(key: string, text: string): void;
  removeItem(key: string): void;
}

/** Runs work while no other tab runs work under this name. */
export type Exclusively = <T>(name: string, work: () => Promise<T>) => Promise<T>;

export interface Intent {
  readonly key: string;
  readonly path: string;
  readonly body: object;
  /** When it was first meant, in milliseconds by the server. */
  readonly sinceMs: number;
}

export interface IntentOptions {
  store: Store;
  exclusively: Exclusively;
  send(intent: Intent): Promise<unknown>;
  newKey(): string;
  now(): number;
}

export interface Intents {
  /** What is not known yet of this owner, by name. */
  open(owner: string): ReadonlyMap<string, Intent>;
  /**
   * Carries out an intent. If one with this name is not known yet, that one is sent again instead, whatever `path` and
   * `body` say. Throws what the server answered if it refused it, or the failure if the outcome is not known.
   */
  carryOut(owner: string, name: string, path: string, body: object): Promise<unknown>;
}

/** A key for one thing that somebody means to do. */
export const newKey = (): string => crypto.randomUUID();

/** Opens the intents that this browser has written down. */
export function openIntents({ store, exclusively, send, newKey, now }: IntentOptions): Intents {
  const slot = (owner: string) => `holdfast.intents.${owner}`;

  function read(owner: string): Map<string, Intent> {
    try {
      return new Map(JSON.parse(store.getItem(slot(owner)) ?? '[]') as [string, Intent][]);
    } catch {
      return new Map();
    }
  }

  function write(owner: string, name: string, intent: Intent | undefined): void {
    const all = read(owner);
    if (intent) all.set(name, intent);
    else all.delete(name);
    if (all.size === 0) store.removeItem(slot(owner));
    else store.setItem(slot(owner), JSON.stringify([...all]));
  }

  return {
    open: read,
    carryOut(owner, name, path, body) {
      return exclusively(`${slot(owner)}.${name}`, async () => {
        const intent = read(owner).get(name) ?? { key: newKey(), path, body, sinceMs: now() };
        write(owner, name, intent);
        try {
          const answer = await send(intent);
          write(owner, name, undefined);
          return answer;
        } catch (error) {
          if (isOutcome(error)) write(owner, name, undefined);
          throw error;
        }
      });
    },
  };
}
