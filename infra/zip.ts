/** Unpacks the zips that a package consists of. Called by the cold start measurement and by the tests of the package. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { unzipSync } from 'fflate';

/** Writes the files of a zip under a folder; returns the size of each by its path in the zip. */
export function unpack(zip: string, folder: string): Map<string, number> {
  const files = Object.entries(unzipSync(readFileSync(zip)));
  for (const [path, content] of files) {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
  return new Map(files.map(([path, content]) => [path, content.length]));
}
