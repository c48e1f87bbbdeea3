/**
 * Reads the zips that a package consists of: as many formats as the framework writes, and no more. Called by the cold
 * start measurement and by the tests of the package.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { inflateRawSync } from 'node:zlib';

const centralEntry = 0x02014b50;
const centralEntryBytes = 46;
const endOfCentralDirectory = Buffer.from([0x50, 0x4b, 0x05, 0x06]);
const localHeaderBytes = 30;
const stored = 0;

/** The files in a zip by their paths, read through its central directory. */
export function readZip(file: string): Map<string, Buffer> {
  const zip = readFileSync(file);
  const files = new Map<string, Buffer>();
  let at = zip.readUInt32LE(zip.lastIndexOf(endOfCentralDirectory) + 16);
  while (zip.readUInt32LE(at) === centralEntry) {
    const nameBytes = zip.readUInt16LE(at + 28);
    const name = zip.toString('utf8', at + centralEntryBytes, at + centralEntryBytes + nameBytes);
    const header = zip.readUInt32LE(at + 42);
    const from = header + localHeaderBytes + zip.readUInt16LE(header + 26) + zip.readUInt16LE(header + 28);
    const content = zip.subarray(from, from + zip.readUInt32LE(at + 20));
    if (!name.endsWith('/')) files.set(name, zip.readUInt16LE(at + 10) === stored ? content : inflateRawSync(content));
    at += centralEntryBytes + nameBytes + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
  return files;
}

/** Writes the files of a zip under a folder; says where each is and how large. */
export function unpack(zip: string, folder: string): { file: string; bytes: number }[] {
  return [...readZip(zip)].map(([path, content]) => {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
    return { file, bytes: content.length };
  });
}
