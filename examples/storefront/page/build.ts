/** The page as a browser gets it: its script, with the client in it, and its HTML. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const folder = import.meta.dirname;

/** Builds the page; its files by their paths. */
export async function buildPage(): Promise<Map<string, { body: string; type: string }>> {
  const { outputFiles } = await build({
    ...{ entryPoints: [join(folder, 'page.ts')], bundle: true, minify: true, format: 'esm', target: 'es2022' },
    ...{ write: false, logLevel: 'silent' },
  });
  const read = (name: string) => readFileSync(join(folder, name), 'utf8');
  return new Map([
    ['/', { body: read('index.html'), type: 'text/html; charset=utf-8' }],
    ['/style.css', { body: read('style.css'), type: 'text/css; charset=utf-8' }],
    ['/page.js', { body: outputFiles[0]?.text ?? '', type: 'text/javascript; charset=utf-8' }],
  ]);
}
