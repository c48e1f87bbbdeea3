/**
 * How long the disk takes to sync, measured beside a run. A transaction waits for the disk when it commits, so one that took long
 * while the disk itself did says nothing of the code.
 */
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Seldom enough to cost the run nothing. */
const everyMs = 25;
const block = Buffer.alloc(4_096);

export interface DiskWatch {
  /** Ends the watch. Resolves to the longest that one sync took, milliseconds. */
  stop(): Promise<number>;
}

/** Writes a block and syncs it again and again, to a file of its own in a folder on the disk that is watched. */
export async function watchDisk(folder: string): Promise<DiskWatch> {
  const path = join(folder, 'disk-watch');
  const file = await open(path, 'w');
  let longestMs = 0;
  let isWatching = true;
  const watching = (async () => {
    while (isWatching) {
      const startedMs = performance.now();
      await file.write(block, 0, block.length, 0);
      await file.datasync();
      longestMs = Math.max(longestMs, performance.now() - startedMs);
      await sleep(everyMs);
    }
  })();
  return {
    async stop() {
      isWatching = false;
      await watching.finally(() => file.close());
      await rm(path);
      return longestMs;
    },
  };
}
