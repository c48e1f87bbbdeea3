/**
 * Whether code with a fault planted in it still fits together. A name that is gone makes it throw, and a control that is
 * caught by that says nothing about the safeguard it takes out. Called by the tests of the controls.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { projectRoot } from '#local/state-folder.ts';
import type { Edit } from './mutate.ts';

interface Planted {
  readonly name: string;
  readonly edits: readonly Edit[];
}

/** What the compiler says of the code with each of these planted in it by itself; nothing if it fits together. */
export function typeErrors(kind: string, planted: readonly Planted[]): string {
  const local = join(projectRoot, '.local');
  mkdirSync(local, { recursive: true });
  const folder = mkdtempSync(join(local, `planted-${kind}-`));
  try {
    const files = planted.flatMap((one) => write(one, join(folder, one.name)));
    // Each copy finds what it imports as if it stood where its original does.
    const rootDirs = [projectRoot, ...planted.map(({ name }) => join(folder, name))];
    const compilerOptions = { rootDirs, noUnusedLocals: false, noUnusedParameters: false };
    const config = { extends: join(projectRoot, 'tsconfig.json'), compilerOptions, include: [], files };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
    const tsc = join(projectRoot, 'node_modules/typescript/bin/tsc');
    const run = spawnSync(process.execPath, [tsc, '--project', folder, '--pretty', 'false'], { encoding: 'utf8' });
    return run.stdout + run.stderr;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Writes the sources that it changes; those of Lua and SQL are no concern of the compiler. */
function write({ edits }: Planted, folder: string): string[] {
  const files = [...new Set(edits.map(({ file }) => file).filter((file) => file.endsWith('.ts')))];
  return files.map((file) => {
    const source = readFileSync(join(projectRoot, file), 'utf8');
    const own = edits.filter((edit) => edit.file === file);
    const path = join(folder, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(
      path,
      own.reduce((text, { find, replace }) => text.split(find).join(replace), source),
    );
    return path;
  });
}
