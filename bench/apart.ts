/** Gives the processes that stand for AWS services a processor of their own. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * Keeps some processes on the first processor that this one may use, and others off it. Returns what ends that, or
 * undefined where it cannot be, and then nothing has changed: it takes two processors, Linux, and `taskset` of util-linux.
 */
export function keepApart(
  some: readonly (number | undefined)[],
  others: readonly (number | undefined)[],
): (() => void) | undefined {
  const allowed = allowedProcessors();
  const [first, ...rest] = allowed;
  if (first === undefined || rest.length === 0) return undefined;
  const release = (): void => {
    keepOn([...some, ...others], allowed);
  };
  if (keepOn(some, [first]) && keepOn(others, rest)) return release;
  release();
  return undefined;
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

/** Keeps all threads of those that are processes of this machine on some processors; false where one could not be. */
function keepOn(pids: readonly (number | undefined)[], processors: readonly number[]): boolean {
  const here = pids.filter((pid) => pid !== undefined);
  const kept = here.map((pid) =>
    spawnSync('taskset', ['--all-tasks', '--pid', '--cpu-list', processors.join(','), String(pid)]),
  );
  return kept.every(({ status }) => status === 0);
}
