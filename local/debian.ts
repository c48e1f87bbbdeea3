/**
 * Programs of this machine, and Debian's packages for those that are missing.
 *
 * Invariant: a package is installed without starting a service. Called for the databases and for the browser of the tests.
 */
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** This machine is not Debian, or its user is not root. */
export class CannotInstall extends Error {}

/** The path of a program, also from folders where Debian puts servers. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin'];
  for (const folder of folders) {
    const file = join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not in this folder: the next one is tried.
    }
  }
  return undefined;
}

/** Installs Debian's packages without starting their services. Throws `CannotInstall` where that is not possible. */
export async function installPackages(packages: string[], report: (line: string) => void): Promise<void> {
  const isRoot = process.getuid?.() === 0;
  if (!isRoot || !findProgram('apt-get')) throw new CannotInstall('only root on Debian can install packages');
  report(`installing ${packages.join(' and ')} (Debian packages, services not started)`);
  // The policy file stops Debian from starting a service that it installs; it is removed afterwards.
  const policy = '/usr/sbin/policy-rc.d';
  const policyIsOurs = !existsSync(policy);
  if (policyIsOurs) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  const apt = (...args: string[]) =>
    run('apt-get', ['-o', 'DPkg::Lock::Timeout=120', '-qq', ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      maxBuffer: 64 * 1024 * 1024,
    });
  try {
    await apt('update').catch(() => undefined);
    await apt('install', '-y', '--no-install-recommends', ...packages);
  } catch (error) {
    throw new Error(`installing ${packages.join(' and ')} failed`, { cause: error });
  } finally {
    if (policyIsOurs) rmSync(policy, { force: true });
  }
}
