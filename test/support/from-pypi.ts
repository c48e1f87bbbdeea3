/**
 * Tools in Python: installed from PyPI once, each into a folder of its own in `.local`. Where that is not possible a line
 * says what is missing, and its test does without.
 */
import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { projectRoot } from '#local/state-folder.ts';

const run = promisify(execFile);
const installLimitMs = 240_000;

/**
 * The folder with the programs of a virtual environment that has this package, or undefined if it cannot be had. `works` says
 * whether one that is there is complete.
 */
export async function fromPypi(
  name: string,
  version: string,
  works: (programs: string) => Promise<boolean>,
  otherwise: string,
): Promise<string | undefined> {
  const folder = join(projectRoot, '.local', name);
  const programs = join(folder, 'bin');
  if (await works(programs)) return programs;
  try {
    rmSync(folder, { recursive: true, force: true });
    await run('python3', ['-m', 'venv', folder], { timeout: installLimitMs });
    await run(join(programs, 'pip'), ['install', '--quiet', `${name}==${version}`], { timeout: installLimitMs });
    return programs;
  } catch {
    rmSync(folder, { recursive: true, force: true });
    process.stderr.write(`${name} is not here and could not be installed from PyPI; ${otherwise}\n`);
    return undefined;
  }
}
