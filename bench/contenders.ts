/** All contenders by name. Only worker processes load them. */
import type { Contender, ContenderName } from './contender.ts';

const loaders: Record<ContenderName, () => Promise<Contender>> = {
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

/** Loads a contender, and with it only what it needs. */
export function loadContender(name: ContenderName): Promise<Contender> {
  return loaders[name]();
}
