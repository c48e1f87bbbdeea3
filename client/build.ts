/** Builds the package: writes what follows from the documents, then ES modules with declarations into `dist`. */
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generated } from './generate.ts';

const folder = import.meta.dirname;

for (const [name, text] of Object.entries(await generated())) writeFileSync(join(folder, 'src', name), text);
rmSync(join(folder, 'dist'), { recursive: true, force: true });
const tsc = join(folder, '..', 'node_modules', 'typescript', 'bin', 'tsc');
process.exitCode = spawnSync(process.execPath, [tsc, '--project', folder], { stdio: 'inherit' }).status ?? 1;
