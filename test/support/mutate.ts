/**
 * Plants faults in shipped code while it is loaded, to show that a check notices them. The files themselves stay as they
 * are.
 *
 * Invariant: a fault is planted exactly where it is meant to be. A text that is not found once, and once only, is an
 * error, so that a control does not silently become the shipped code when that changes. Called by the model and by chaos.
 */
import fs from 'node:fs';
import { registerHooks, syncBuiltinESMExports } from 'node:module';
import { fileURLToPath } from 'node:url';

/** A change of one file: a text that occurs in it once, and what stands there instead. */
export interface Edit {
  /** The file's path from the root of the project. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const root = fileURLToPath(new URL('../../', import.meta.url));

/**
 * From now on modules and texts of these files are loaded with the faults in them. To be called before anything shipped
 * is imported. Returns a function that throws if one of the files was never loaded.
 */
export function plant(edits: readonly Edit[]): () => void {
  const loaded = new Set<string>();
  const apply = (path: string, text: string): string => {
    const own = edits.filter(({ file }) => path === root + file);
    return own.reduce((source, { file, find, replace }) => {
      const parts = source.split(find);
      if (parts.length !== 2) throw new Error(`${file} has ${parts.length - 1} times, and not once: ${find}`);
      loaded.add(file);
      return parts.join(replace);
    }, text);
  };
  registerHooks({
    load(url, context, next) {
      const result = next(url, context);
      if (!url.startsWith('file:') || result.source === undefined || result.source === null) return result;
      const path = fileURLToPath(url);
      if (!edits.some(({ file }) => path === root + file)) return result;
      const text =
        typeof result.source === 'string' ? result.source : Buffer.from(result.source as Uint8Array).toString();
      return { ...result, source: apply(path, text) };
    },
  });
  const { readFileSync } = fs;
  const read = (path: fs.PathOrFileDescriptor, ...options: unknown[]) => {
    const content = (readFileSync as (...args: unknown[]) => string | Buffer)(path, ...options);
    const name = path instanceof URL ? fileURLToPath(path) : String(path);
    return typeof content === 'string' && !name.endsWith('.ts') ? apply(name, content) : content;
  };
  Object.assign(fs, { readFileSync: read });
  syncBuiltinESMExports();
  return () => {
    const missed = edits.filter(({ file }) => !loaded.has(file));
    if (missed.length > 0) throw new Error(`never loaded: ${missed.map(({ file }) => file).join(', ')}`);
  };
}
