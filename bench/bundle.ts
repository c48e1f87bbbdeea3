/**
 * The packaged bundle of a function: built for each benchmark that needs it by esbuild, with the settings of serverless.yml that
 * `npm run package` uses. Worker processes import it, so that what is measured is what is deployed.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type BuildOptions, build } from 'esbuild';
import { readBundling, readDeclared } from '#local/serverless-config.ts';
import { defaultFolder, projectRoot } from '#local/state-folder.ts';

const folder = join(defaultFolder(), 'bench', 'bundles');

/** Builds the bundle of a function that may use the database. */
export async function buildBundle(key: string): Promise<void> {
  const { functions } = await readDeclared();
  const declared = functions.find((one) => one.key === key);
  if (!declared) throw new Error(`serverless.yml declares no function ${key}`);
  await bundle(key, declared.handler.replace(/\.\w+$/, '.ts'));
}

/** Builds the bundle of a handler of the benchmark, in a file of the project, with the same settings. */
export async function bundle(name: string, file: string): Promise<void> {
  // These are settings of the plugin that packages, not of esbuild.
  const { outputFileExtension: _, exclude: __, plugins: ___, concurrency: ____, ...options } = await readBundling();
  await build({
    ...(options as BuildOptions),
    absWorkingDir: projectRoot,
    entryPoints: [file],
    outfile: join(folder, `${name}.mjs`),
    logLevel: 'error',
  });
}

/** Where a bundle is imported from, by the key of its function or its name. */
export function bundled(name: string): string {
  return pathToFileURL(join(folder, `${name}.mjs`)).href;
}
