/** Which faults of a list no longer fit the code. Called by the tests of the controls. */
import { execFileSync } from 'node:child_process';
import { projectRoot } from '#local/state-folder.ts';

/** The places that the faults in `allFaults` of a file name and that cannot be reached, each with why. */
export function unplantable(file: string): string[] {
  const args = ['--disable-warning=ExperimentalWarning', 'test/support/plantable.ts', file];
  return JSON.parse(execFileSync(process.execPath, args, { cwd: projectRoot, encoding: 'utf8' })) as string[];
}
