/** A Python client, generated from an OpenAPI document by openapi-python-client. */
import { execFile } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fromPypi } from './from-pypi.ts';

const version = '0.29.1';
const run = promisify(execFile);

export interface PythonClient {
  /** What its generator left out, a line each. */
  leftOut: string[];
  /** A Python that has what the client needs. */
  python: string;
}

/** Generates it into a folder, whose name is the package's; undefined if its generator cannot be had. */
export async function generateClient(document: string, folder: string): Promise<PythonClient | undefined> {
  const program = (programs: string) => join(programs, 'openapi-python-client');
  const works = (programs: string) =>
    run(program(programs), ['--version']).then(
      ({ stdout }) => stdout.includes(version),
      () => false,
    );
  const programs = await fromPypi('openapi-python-client', version, works, 'no Python client was generated');
  if (programs === undefined) return undefined;
  rmSync(folder, { recursive: true, force: true });
  // The generator knows neither CSV nor pictures; they are bytes to it.
  const config = `${folder}.json`;
  writeFileSync(
    config,
    JSON.stringify({
      content_type_overrides: { 'text/csv': 'application/octet-stream', 'image/png': 'application/octet-stream' },
      post_hooks: [],
    }),
  );
  const args = ['generate', '--path', document, '--output-path', folder, '--meta', 'none', '--config', config];
  const { stdout, stderr } = await run(program(programs), args, { maxBuffer: 64 * 1_024 * 1_024 });
  const leftOut = [...`${stdout}\n${stderr}`.matchAll(/^.*(?:WARNING|ERROR|Unable to parse).*$/gm)];
  return { leftOut: leftOut.map(([line]) => line), python: join(programs, 'python') };
}
