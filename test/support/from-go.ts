/**
 * Tools in Go: installed from the proxy of Go's modules once, each into a folder of its own in `.local`. Where that is not
 * possible a line says what is missing, and its test does without.
 */
import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { projectRoot } from '#local/state-folder.ts';

const run = promisify(execFile);
const installLimitMs = 240_000;

/** The program of this module, or undefined if it cannot be had. `works` says whether one that is there does what it should. */
export async function fromGo(
  name: string,
  module: string,
  works: (program: string) => Promise<boolean>,
  otherwise: string,
): Promise<string | undefined> {
  const folder = join(projectRoot, '.local', name);
  const program = join(folder, name);
  if (await works(program)) return program;
  try {
    rmSync(folder, { recursive: true, force: true });
    await run('go', ['install', module], { timeout: installLimitMs, env: { ...process.env, GOBIN: folder } });
    return program;
  } catch {
    rmSync(folder, { recursive: true, force: true });
    process.stderr.write(`${name} is not here and could not be installed as a module of Go; ${otherwise}\n`);
    return undefined;
  }
}
