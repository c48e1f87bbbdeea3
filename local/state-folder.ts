/**
 * The private folder of one running stack, and the lock that keeps it private.
 *
 * Invariant: at most one live process owns a folder. Ownership is a file naming the owner by process id and
 * start time, so a lock left by a crash (or by a process id that was given to somebody else) is taken over and
 * never believed. Called by `startStack`, before anything is started in the folder.
 */
import { closeSync, linkSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** The folder used when none is asked for: `HOLDFAST_LOCAL`, or `.local` beside package.json. */
export function defaultFolder(): string {
  return resolve(process.env.HOLDFAST_LOCAL || join(projectRoot, '.local'));
}

/** The root of the clone this file belongs to. */
export const projectRoot = resolve(import.meta.dirname, '..');

/**
 * What tells one process from a later one with the same id: the start time the kernel keeps. Undefined when
 * no such process exists; "unknown" where the system does not say (outside Linux).
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

/** True while the process that wrote this record is the one now running under its id. */
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
  /** Gives the folder back. Safe to call more than once. */
  release: () => void;
}

/** Thrown when a folder belongs to another live stack; the message says what to do. */
export class FolderBusy extends Error {
  override name = 'FolderBusy';
}

/**
 * Takes the folder, creating it if need be.
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
        // A hard link appears complete or not at all, so nobody ever reads half a lock.
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

/** Takes the folder, or the first free one of `dir-2`, `dir-3`, … so that two runs can go side by side. */
export function takeFolderOrNext(dir: string): OwnedFolder {
  for (let n = 1; ; n++) {
    try {
      return takeFolder(n === 1 ? dir : `${dir}-${n}`);
    } catch (error) {
      if (!(error instanceof FolderBusy) || n >= 20) throw error;
    }
  }
}
