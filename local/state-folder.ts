/**
 * The folder of one running stack (data, logs, addresses), and the lock that keeps other stacks out of it.
 *
 * Invariant: at most one live process owns a folder. The lock file names its owner by process id and start time, so a
 * stale lock is recognised, also when its process id was reused, and is taken over. Called by `startStack`, before it
 * starts anything in the folder.
 */
import { closeSync, linkSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** The default folder: `HOLDFAST_LOCAL`, or `.local` beside package.json. */
export function defaultFolder(): string {
  return resolve(process.env.HOLDFAST_LOCAL || join(projectRoot, '.local'));
}

/** The root of the clone this file belongs to. */
export const projectRoot = resolve(import.meta.dirname, '..');

/**
 * The start time of a process by the kernel, which differs for a later process with the same id. Undefined when no such
 * process exists; "unknown" outside Linux.
 */
export function processBirth(pid: number): string | undefined {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return undefined;
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const afterName = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const state = afterName[0];
    return state === 'Z' || state === 'X' ? undefined : afterName[19];
  } catch {
    return process.platform === 'linux' ? undefined : 'unknown';
  }
}

interface Owner {
  pid: number;
  birth: string;
}

/** True while the process that wrote this record still runs. */
export function stillRunning(owner: Owner): boolean {
  return processBirth(owner.pid) === owner.birth;
}

function readOwner(file: string): Owner | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Owner;
  } catch {
    return undefined;
  }
}

export interface OwnedFolder {
  dir: string;
  /** Releases the lock. Safe to call more than once. */
  release: () => void;
}

/** Thrown when another live stack owns the folder; the message says what to do. */
export class FolderBusy extends Error {
  override name = 'FolderBusy';
}

/**
 * Locks the folder; creates it if it does not exist.
 * @throws FolderBusy when a live process owns it.
 */
export function takeFolder(dir: string): OwnedFolder {
  mkdirSync(dir, { recursive: true });
  const lockFile = join(dir, 'lock');
  const claim = `${lockFile}.${process.pid}`;
  const descriptor = openSync(claim, 'w');
  writeSync(descriptor, JSON.stringify({ pid: process.pid, birth: processBirth(process.pid) ?? 'unknown' }));
  closeSync(descriptor);
  try {
    for (;;) {
      try {
        // A hard link appears complete or not at all, so a half-written lock is never read.
        linkSync(claim, lockFile);
        break;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const owner = readOwner(lockFile);
      if (owner && stillRunning(owner)) {
        throw new FolderBusy(
          `Holdfast already runs from ${dir} (process ${owner.pid}; its addresses are in ${join(dir, 'stack.json')}). ` +
            'Stop it, or set HOLDFAST_LOCAL to another folder.',
        );
      }
      const stale = `${lockFile}.stale.${process.pid}`;
      try {
        renameSync(lockFile, stale);
      } catch {
        continue;
      }
      rmSync(stale, { force: true });
    }
  } finally {
    rmSync(claim, { force: true });
  }
  return {
    dir,
    release: () => {
      if (readOwner(lockFile)?.pid === process.pid) rmSync(lockFile, { force: true });
    },
  };
}

/** Locks the folder, or the first free one of `dir-2`, `dir-3`, …, so that two runs can work in parallel. */
export function takeFolderOrNext(dir: string): OwnedFolder {
  for (let n = 1; ; n++) {
    try {
      return takeFolder(n === 1 ? dir : `${dir}-${n}`);
    } catch (error) {
      if (!(error instanceof FolderBusy) || n >= 20) throw error;
    }
  }
}
