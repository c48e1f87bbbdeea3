/**
 * The processor time of this process, in milliseconds. The limits of searches are of this time, so that what a search
 * finds does not depend on what else the machine does.
 */
export function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}
