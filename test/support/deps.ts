/** Dependencies with some of them replaced: how a test makes one part fail, or time pass, and leaves the rest as it is. */
import type { Deps } from '#platform/environment/deps.ts';
import type { Db, Tx } from '#platform/mysql/mysql.ts';

/**
 * Another environment on the same connections: these parts are replaced, and it shares no memory with the first one
 * beyond them. It has nothing of its own to close.
 */
export function withDeps(deps: Deps, overrides: Partial<Deps>): Deps {
  const kept = new Map<unknown, unknown>();
  const once: Deps['once'] = (open) => {
    if (!kept.has(open)) kept.set(open, open(changed));
    return kept.get(open) as ReturnType<typeof open>;
  };
  // Not a copy: reading a part opens it.
  const changed: Deps = Object.create(deps, Object.getOwnPropertyDescriptors({ once, ...overrides }));
  return changed;
}

/** The queues of these dependencies, one of which rejects every message; `offered` is called with what it was sent. */
export function withoutQueue(
  deps: Deps,
  name: string,
  message: string,
  offered: (body: unknown) => void = () => undefined,
): Deps['queue'] {
  const refuse = async (bodies: unknown[]): Promise<never> => {
    bodies.forEach(offered);
    throw new Error(message);
  };
  const queue: Deps['queue'] = (other) => {
    const real = deps.queue(other);
    if (other !== name) return real;
    return {
      url: real.url,
      send: ({ body }) => refuse([body]),
      sendAll: (messages) => refuse(messages.map(({ body }) => body)),
    };
  };
  return queue;
}

/** A database whose transactions fail at every change whose text matches. */
export function failingAt(db: Db, statement: RegExp, message: string): Db {
  const failing = (tx: Tx): Tx => ({
    ...tx,
    change: (sql, values) => (statement.test(sql) ? Promise.reject(new Error(message)) : tx.change(sql, values)),
  });
  return { ...db, transaction: (work) => db.transaction((tx) => work(failing(tx))) };
}
