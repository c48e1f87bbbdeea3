/** All who take part, by name. Loaded by the players; the main process asks only for what it shows. */
import type { Contestant, ContestantName } from './contestant.ts';

const loaders: Record<ContestantName, () => Promise<Contestant>> = {
  ours: async () => (await import('./ours.ts')).ours,
  'r0-setnx': async () => (await import('./rivals/r0-setnx.ts')).setnx,
  'r1-redlock': async () => (await import('./rivals/r1-redlock.ts')).redlock,
  'r2-for-update': async () => (await import('./rivals/r2-for-update.ts')).forUpdate,
  'r3-conditional': async () => (await import('./rivals/r3-conditional.ts')).conditional,
  'r4-lua-write-behind': async () => (await import('./rivals/r4-lua-write-behind.ts')).luaWriteBehind,
  'r5-skip-locked': async () => (await import('./rivals/r5-skip-locked.ts')).skipLocked,
  'r6-fifo': async () => (await import('./rivals/r6-fifo.ts')).fifo,
  'r7-group-commit': async () => (await import('./rivals/r7-group-commit.ts')).groupCommit,
  'bulk-insert': async () => (await import('./rivals/bulk-insert.ts')).bulkInsert,
  empty: async () => (await import('./rivals/empty.ts')).empty,
};

/** Loads a contestant, and with it only what it needs. */
export function loadContestant(name: ContestantName): Promise<Contestant> {
  return loaders[name]();
}
