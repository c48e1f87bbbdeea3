/**
 * The package that `npx serverless package` makes, made once for each state of its inputs and kept in `.local/package`.
 * Several test files read it; the first one makes it, and the others wait for it.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { unpack } from '#infra/zip.ts';
import { projectRoot } from '#local/state-folder.ts';
import { waitFor } from '#local/wait.ts';

/** The inputs that determine the result. */
const inputs = ['client/src', 'functions', 'infra', 'lib', 'web', 'serverless.yml', 'package-lock.json'];
/** The stage whose sizes and protections are for real customers. */
export const packagedStage = 'prod';
export const packagingLimitMs = 240_000;

// biome-ignore lint/suspicious/noExplicitAny: a template is JSON of any shape; each test looks at the part it knows.
export type Properties = Record<string, any>;
export interface Resource {
  Type: string;
  Properties: Properties;
  DeletionPolicy?: string;
}

export interface Package {
  resources: Record<string, Resource>;
  templateFile: string;
  /** Where each function's zip lies unpacked, by the function's name in serverless.yml. */
  unpacked: ReadonlyMap<string, string>;
  /** The folder with the template and the zips. */
  folder: string;
}

/** Makes the package, or finds the one made before from the same inputs. */
export async function packaged(): Promise<Package> {
  const folder = join(projectRoot, '.local', 'package', digest());
  const unpacked = join(folder, 'unpacked');
  if (!existsSync(unpacked)) await makeOnce(folder);
  const templateFile = join(folder, 'cloudformation-template-update-stack.json');
  const { Resources: resources } = JSON.parse(readFileSync(templateFile, 'utf8')) as {
    Resources: Package['resources'];
  };
  return {
    resources,
    templateFile,
    unpacked: new Map(readdirSync(unpacked).map((key) => [key, join(unpacked, key)])),
    folder,
  };
}

function digest(): string {
  const hash = createHash('sha256').update(packagedStage);
  const add = (path: string) => {
    if (statSync(join(projectRoot, path)).isDirectory()) {
      for (const name of readdirSync(join(projectRoot, path)).sort()) add(join(path, name));
    } else if (!path.endsWith('.test.ts')) {
      hash.update(path).update(readFileSync(join(projectRoot, path)));
    }
  };
  inputs.forEach(add);
  return hash.digest('hex').slice(0, 16);
}

/** Packages into a folder beside the final one and moves it there whole, one process at a time. */
async function makeOnce(folder: string): Promise<void> {
  const lock = `${folder}.lock`;
  mkdirSync(dirname(folder), { recursive: true });
  // A lock of a process that was killed is older than any packaging takes.
  if (existsSync(lock) && Date.now() - statSync(lock).mtimeMs > packagingLimitMs) rmSync(lock);
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx' });
  } catch {
    await waitFor('the package that another test is making', async () => existsSync(join(folder, 'unpacked')), {
      timeoutMs: packagingLimitMs,
    });
    return;
  }
  const draft = `${folder}.${process.pid}`;
  // serverless-esbuild leaves what it has zipped where temporary files are.
  const temporary = `${draft}.tmp`;
  mkdirSync(temporary);
  try {
    await promisify(execFile)(
      process.execPath,
      [
        join(projectRoot, 'node_modules', 'serverless', 'bin', 'serverless.js'),
        'package',
        '--stage',
        packagedStage,
        '--package',
        draft,
      ],
      // Variables that the test stack has set must not influence the package.
      {
        cwd: projectRoot,
        timeout: packagingLimitMs,
        env: { PATH: process.env.PATH, HOME: process.env.HOME, TMPDIR: temporary },
      },
    );
    for (const name of readdirSync(draft).filter((one) => one.endsWith('.zip'))) {
      unpack(join(draft, name), join(draft, 'unpacked', name.slice(0, -'.zip'.length)));
    }
    forgetOld(dirname(folder));
    rmSync(folder, { recursive: true, force: true });
    renameSync(draft, folder);
  } finally {
    for (const left of [draft, temporary]) rmSync(left, { recursive: true, force: true });
    rmSync(lock, { force: true });
  }
}

const keptForMs = 86_400_000;

/** Deletes old packages that were made from other inputs. */
function forgetOld(cache: string): void {
  for (const name of readdirSync(cache)) {
    const old = join(cache, name);
    if (Date.now() - statSync(old).mtimeMs > keptForMs) rmSync(old, { recursive: true, force: true });
  }
}
