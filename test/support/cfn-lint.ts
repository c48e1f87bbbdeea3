/**
 * cfn-lint, which knows what CloudFormation and its services accept. It comes from PyPI: one that is on the PATH is
 * used as it is, otherwise it is installed into `.local/cfn-lint` once. Where neither is possible one line says so, and
 * only our own checks hold the template.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fromPypi } from './from-pypi.ts';

const run = promisify(execFile);
const version = '1.58.0';
const lintLimitMs = 240_000;

/** W3005: the framework names a function's role twice, as a reference and as a dependency. */
const ignored = ['W3005'];

interface Finding {
  Rule: { Id: string };
  Message: string;
  Location: { Path: { 0?: unknown } | string[] };
}

/** What cfn-lint finds, as sentences; nothing if it cannot be installed. */
export async function lintTemplate(file: string): Promise<string[]> {
  const command = await findOrInstall();
  if (!command) return [];
  // Findings end in an exit code; the findings themselves are on standard output either way.
  const { stdout } = await run(command, ['--format', 'json', '--ignore-checks', ...ignored, '--', file], {
    timeout: lintLimitMs,
    maxBuffer: 64 * 1024 * 1024,
  }).catch((error: { stdout?: string; message: string }) => {
    if (error.stdout?.startsWith('[')) return { stdout: error.stdout };
    throw new Error(`cfn-lint could not be run: ${error.message}`);
  });
  const findings = JSON.parse(stdout || '[]') as Finding[];
  return findings.map(({ Rule, Message, Location }) => `${Rule.Id} ${JSON.stringify(Location.Path)}: ${Message}`);
}

async function findOrInstall(): Promise<string | undefined> {
  const works = async (command: string) => {
    const { stdout } = await run(command, ['--version']).catch(() => ({ stdout: '' }));
    return stdout.includes('cfn-lint');
  };
  if (await works('cfn-lint')) return 'cfn-lint';
  const isThere = (programs: string) => works(join(programs, 'cfn-lint'));
  const programs = await fromPypi('cfn-lint', version, isThere, 'the template was held to our own checks only');
  return programs && join(programs, 'cfn-lint');
}
