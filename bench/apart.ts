/** Gives what stands for services elsewhere a processor of its own. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * Keeps some processes on the first processor that this one may use, and others off it. Returns what ends that, or
 * undefined where it cannot be: it takes two processors, Linux, and `taskset` of util-linux.
 */
export function keepApart(
  some: readonly (number | undefined)[],
  others: readonly (number | undefined)[],
): (() => void) | undefined {
  const [first, ...rest] = allowedProcessors();
  if (first === undefined || rest.length === 0) return undefined;
  const release = (): void => {
    for (const pid of [...some, ...others]) keepOn(pid, [first, ...rest]);
  };
  try {
    for (const pid of some) keepOn(pid, [first]);
    for (const pid of others) keepOn(pid, rest);
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

/** Keeps all threads of a process, if it is one of this machine, on some processors. Throws where that is not possible. */
function keepOn(pid: number | undefined, processors: readonly number[]): void {
  if (pid === undefined) return;
  const list = processors.join(',');
  execFileSync('taskset', ['--all-tasks', '--pid', '--cpu-list', list, String(pid)], { stdio: 'ignore' });
}
