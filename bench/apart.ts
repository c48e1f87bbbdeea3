/** Gives a server that stands for a service elsewhere a processor of its own. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * Keeps a process on the first processor that this one may use, and the others, this one included, off it; what they start
 * from then on stays where they are. Returns what ends that, or undefined where it cannot be: it takes two processors,
 * Linux, and `taskset` of util-linux.
 */
export function keepApart(
  server: number | undefined,
  others: readonly (number | undefined)[],
): (() => void) | undefined {
  const [first, ...rest] = allowedProcessors();
  if (server === undefined || first === undefined || rest.length === 0) return undefined;
  const theirs = [process.pid, ...others].filter((pid) => pid !== undefined);
  const release = (): void => {
    for (const pid of [server, ...theirs]) keepOn(pid, [first, ...rest]);
  };
  try {
    keepOn(server, [first]);
    for (const pid of theirs) keepOn(pid, rest);
    return release;
  } catch {
    return undefined;
  }
}

/** The processors that this process may use; none where the system does not say. */
function allowedProcessors(): number[] {
  try {
    const list = /^Cpus_allowed_list:\s*(.+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
    return list.split(',').flatMap((range) => {
      const [from = Number.NaN, to = from] = range.split('-').map(Number);
      return Array.from({ length: to - from + 1 }, (_, index) => from + index);
    });
  } catch {
    return [];
  }
}

/** Keeps all threads of a process on some processors. Throws where that is not possible. */
function keepOn(pid: number, processors: readonly number[]): void {
  execFileSync('taskset', ['--all-tasks', '--pid', '--cpu-list', processors.join(','), String(pid)], {
    stdio: 'ignore',
  });
}
