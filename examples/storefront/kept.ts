/**
 * What is kept for a while, in memory: what has ended is gone, so that nothing grows for ever that somebody began and left. A shop
 * keeps it where its other things are.
 */
import type { Adapter, AdapterFactory, AdapterPayload } from 'oidc-provider';

export interface Kept<Value> {
  get(key: string): Value | undefined;
  /** Keeps a value for so long. */
  set(key: string, value: Value, forMs: number): void;
  delete(key: string): void;
  /** How many are in memory; those that have ended are at most as many as those that have not, or a few. */
  size(): number;
}

/** So few are never looked through. */
const few = 64;

/** Opens a place where nothing is kept yet. */
export function openKept<Value>(now: () => number = Date.now): Kept<Value> {
  const all = new Map<string, { value: Value; endsAtMs: number }>();
  let lookAt = few;
  return {
    get(key) {
      const one = all.get(key);
      return one && one.endsAtMs > now() ? one.value : undefined;
    },
    set(key, value, forMs) {
      all.set(key, { value, endsAtMs: now() + forMs });
      if (all.size <= lookAt) return;
      for (const [name, { endsAtMs }] of all) if (endsAtMs <= now()) all.delete(name);
      lookAt = Math.max(few, 2 * all.size);
    },
    delete: (key) => void all.delete(key),
    size: () => all.size,
  };
}

/** What an artifact of an OpenID provider without an end of its own is kept for. */
const longMs = 86_400_000;

/** Where an OpenID provider keeps its sessions, codes and tokens; `adapter` of its configuration. */
export function keptInMemory(): AdapterFactory {
  const artifacts = openKept<AdapterPayload>();
  /** By what else an artifact is found: a session by its uid, and what hangs on a grant by the grant. */
  const names = openKept<ReadonlySet<string>>();
  const named = (by: string, key: string, forMs: number) =>
    names.set(by, new Set([...(names.get(by) ?? []), key]), forMs);
  const first = (by: string) => [...(names.get(by) ?? [])].map((key) => artifacts.get(key)).find((one) => one);
  return (model): Adapter => ({
    async upsert(id, payload, expiresIn) {
      const key = `${model}:${id}`;
      const forMs = expiresIn === undefined ? longMs : 1_000 * expiresIn;
      artifacts.set(key, payload, forMs);
      if (payload.uid) named(`uid:${model}:${payload.uid}`, key, forMs);
      if (payload.userCode) named(`code:${model}:${payload.userCode}`, key, forMs);
      if (payload.grantId) named(`grant:${payload.grantId}`, key, longMs);
    },
    find: async (id) => artifacts.get(`${model}:${id}`),
    findByUid: async (uid) => first(`uid:${model}:${uid}`),
    findByUserCode: async (userCode) => first(`code:${model}:${userCode}`),
    async consume(id) {
      const payload = artifacts.get(`${model}:${id}`);
      if (payload) payload.consumed = Math.floor(Date.now() / 1_000);
    },
    destroy: async (id) => artifacts.delete(`${model}:${id}`),
    async revokeByGrantId(grantId) {
      for (const key of names.get(`grant:${grantId}`) ?? []) artifacts.delete(key);
      names.delete(`grant:${grantId}`);
    },
  });
}
