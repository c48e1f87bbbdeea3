/** Processor time of processes, as the kernel counts it. */
import { readFileSync } from 'node:fs';

/** Processor time of a process since its start, milliseconds; 0 where the system does not say. */
export function cpuMsOf(pid: number | undefined): number {
  if (!pid) return 0;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // Clock ticks are hundredths of a second on every Linux that Node runs on.
    return (Number(fields[11]) + Number(fields[12])) * 10;
  } catch {
    return 0;
  }
}

/** For how long this thread could have run but had no processor, milliseconds; 0 where the system does not say. */
export function waitedMs(): number {
  try {
    const [, nanoseconds] = readFileSync('/proc/self/schedstat', 'utf8').split(' ');
    return Number(nanoseconds) / 1e6;
  } catch {
    return 0;
  }
}
