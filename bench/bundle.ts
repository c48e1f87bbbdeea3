/**
 * The packaged bundle of a function: built once for each benchmark by esbuild, with the settings of serverless.yml that
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
  // These are settings of the plugin that packages, not of esbuild.
  const { outputFileExtension: _, exclude: __, plugins: ___, concurrency: ____, ...options } = await readBundling();
  await build({
    ...(options as BuildOptions),
    absWorkingDir: projectRoot,
    entryPoints: [declared.handler.replace(/\.\w+$/, '.ts')],
    outfile: join(folder, `${key}.mjs`),
    logLevel: 'error',
  });
}

/** Where the bundle of a function is imported from. */
export function bundled(key: string): string {
  return pathToFileURL(join(folder, `${key}.mjs`)).href;
}
