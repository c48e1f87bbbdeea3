/** Schemathesis, which invents requests from an OpenAPI document and holds the answers to it. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fromPypi } from './from-pypi.ts';

const version = '4.32.5';

const answers = (program: string) =>
  promisify(execFile)(program, ['--version']).then(
    ({ stdout }) => stdout.includes(version),
    () => false,
  );

/** The program, installed from PyPI where it is not there yet; undefined where it cannot be. */
export async function schemathesis(): Promise<string | undefined> {
  const program = (programs: string) => join(programs, 'schemathesis');
  const otherwise = 'without it the API cannot be held to its document';
  const programs = await fromPypi('schemathesis', version, (folder) => answers(program(folder)), otherwise);
  return programs && program(programs);
}
