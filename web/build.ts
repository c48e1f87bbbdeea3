/**
 * The pages as a browser gets them: scripts bundled and minified, styles beside them, both under names that change with
 * their content, and HTML that names them.
 *
 * Invariant: what is under `/assets/` never changes under its name, so it may be kept for ever; HTML, and what pages of others
 * load from `/embed/`, is asked for anew each time. Called by the local web server.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename, extname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

/** A file of the pages. */
export interface PageFile {
  body: Buffer;
  /** The same, compressed. */
  gzip: Buffer;
  type: string;
  /** Whether its name changes with its content. */
  immutable: boolean;
}

const contentTypes: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

const folder = import.meta.dirname;
const pages = ['index.html', 'console.html'];
const scripts = ['shop.tsx', 'console.tsx'];
const plain = ['style.css', 'favicon.svg'];
/** What pages of others load, so under a name that stays. */
const embedded = ['embed/holdfast-sale.ts'];

/** Builds the pages; the files by their paths. Throws if one cannot be built. */
export async function buildPages(): Promise<Map<string, PageFile>> {
  const common = {
    absWorkingDir: folder,
    chunkNames: '[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    target: 'es2022',
    charset: 'utf8',
    minify: true,
    metafile: true,
    write: false,
    logLevel: 'silent',
  } as const;
  const [built, embeds] = await Promise.all([
    build({
      ...common,
      entryPoints: scripts,
      outdir: '/assets',
      entryNames: '[name]-[hash]',
      jsx: 'automatic',
      jsxImportSource: 'preact',
    }),
    build({ ...common, entryPoints: embedded, outdir: '/embed', entryNames: '[name]' }),
  ]);
  const files = new Map<string, PageFile>();
  /** What the HTML calls a file, and where it lies. */
  const names = new Map<string, string>();
  const add = (path: string, body: Buffer, immutable: boolean) =>
    files.set(path, { body, gzip: gzipSync(body), type: contentTypes[extname(path)] ?? '', immutable });

  for (const { path, contents } of built.outputFiles) add(path.replaceAll('\\', '/'), Buffer.from(contents), true);
  for (const { path, contents } of embeds.outputFiles) add(path.replaceAll('\\', '/'), Buffer.from(contents), false);
  for (const [path, { entryPoint, cssBundle }] of Object.entries(built.metafile.outputs)) {
    if (!entryPoint) continue;
    names.set(`/${entryPoint.replace(/\.tsx$/, '.js')}`, `/assets/${basename(path)}`);
    // What its modules import of styles.
    if (cssBundle) names.set(`/${entryPoint.replace(/\.tsx$/, '.css')}`, `/assets/${basename(cssBundle)}`);
  }
  for (const name of plain) {
    const body = readFileSync(join(folder, name));
    const hash = createHash('sha256').update(body).digest('hex').slice(0, 8);
    const path = `/assets/${name.replace('.', `-${hash}.`)}`;
    names.set(`/${name}`, path);
    add(path, body, true);
  }
  for (const name of pages) {
    const html = readFileSync(join(folder, name), 'utf8');
    const named = html.replaceAll(/(?<=(?:src|href)=")\/[^"]+(?=")/g, (path) => names.get(path) ?? path);
    add(`/${name}`, Buffer.from(named), false);
  }
  return files;
}
