/**
 * The house: imports run functions → nouns → platform, only the platform knows clients and the environment, and a
 * handler is too small to hide anything.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { projectRoot } from '#local/state-folder.ts';

interface Source {
  path: string;
  text: string;
  /** Files of the project that it imports, by path, and packages, by name. */
  files: string[];
  packages: string[];
}

const { imports: subpaths } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as {
  imports: Record<string, string>;
};

/** The file of the project that an import names, by its path from the root; undefined for a package. */
function fileOf(from: string, target: string): string | undefined {
  if (target.startsWith('.')) return relative(projectRoot, resolve(projectRoot, dirname(from), target));
  // As Node does, the most specific pattern wins.
  const patterns = Object.keys(subpaths).sort((one, other) => other.length - one.length);
  const pattern = patterns.find((one) => target.startsWith(one.slice(0, -1)));
  return pattern && relative('.', (subpaths[pattern] ?? '').replace('*', target.slice(pattern.length - 1)));
}

function sources(folder: string): Source[] {
  return readdirSync(join(projectRoot, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => {
      const path = join(folder, name);
      const text = readFileSync(join(projectRoot, path), 'utf8');
      const imported = [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'([^'\s]+)'/g)].map((match) => match[1] ?? '');
      return {
        path,
        text,
        files: imported.flatMap((target) => fileOf(path, target) ?? []),
        packages: imported.filter((target) => !/^([.#]|node:)/.test(target)),
      };
    });
}

const lib = sources('lib');
const functions = sources('functions');
const platform = lib.filter(({ path }) => path.startsWith('lib/platform/'));
const nouns = lib.filter(({ path }) => !path.startsWith('lib/platform/'));
const handlers = functions.filter(({ path }) => !/routes\.ts$/.test(path));

/** Whatever opens a connection, keeps a secret or wraps a handler. */
const clients = /^(@aws-sdk\/|@middy\/|mysql2|ioredis|redlock|opossum|pino|jose)/;

/** What breaks a rule, one line for each file, so that a failure names the place. */
const breaking = (files: Source[], offences: (source: Source) => string[]) =>
  files.flatMap((source) => offences(source).map((offence) => `${source.path}: ${offence}`));

describe('imports run one way', () => {
  test('there is something to look at', () => {
    expect(platform.length).toBeGreaterThan(20);
    expect(nouns.length).toBeGreaterThan(30);
    expect(handlers.length).toBeGreaterThan(40);
  });

  test('the platform imports only the platform', () => {
    expect(breaking(platform, ({ files }) => files.filter((file) => !file.startsWith('lib/platform/')))).toEqual([]);
  });

  test('nouns import nouns and the platform, never functions or what runs them locally', () => {
    expect(breaking(nouns, ({ files }) => files.filter((file) => !file.startsWith('lib/')))).toEqual([]);
  });

  test('functions import nouns, the platform, and the routes beside them', () => {
    const allowed = (file: string) => file.startsWith('lib/') || /^functions\/http\/(\w+\.)?routes\.ts$/.test(file);
    expect(breaking(functions, ({ files }) => files.filter((file) => !allowed(file)))).toEqual([]);
    expect(breaking(functions, ({ packages }) => packages.filter((name) => name !== 'zod'))).toEqual([]);
  });

  test('only the platform imports clients', () => {
    expect(breaking([...nouns, ...functions], ({ packages }) => packages.filter((name) => clients.test(name)))).toEqual(
      [],
    );
  });

  test('only tables, and the platform below them, know Drizzle', () => {
    const others = nouns.filter(({ path }) => !/\.(table|store)\.ts$/.test(path));
    expect(breaking(others, ({ packages }) => packages.filter((name) => name.startsWith('drizzle')))).toEqual([]);
  });

  test('only the platform reads the environment', () => {
    expect(breaking([...nouns, ...functions], ({ text }) => text.match(/process\.env/g) ?? [])).toEqual([]);
  });
});

describe('handlers', () => {
  test('have at most 25 lines', () => {
    expect(breaking(handlers, ({ text }) => (text.trimEnd().split('\n').length > 25 ? ['too long'] : []))).toEqual([]);
  });

  test('hold no SQL and no try', () => {
    const offence = /\b(SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b|\btry\s*\{|\bcatch\b/g;
    expect(breaking(handlers, ({ text }) => text.match(offence) ?? [])).toEqual([]);
  });

  test('begin by saying what they are', () => {
    expect(breaking(handlers, ({ text }) => (text.startsWith('/**') ? [] : ['no header']))).toEqual([]);
  });
});

test('every module of the house begins by saying what it is for', () => {
  expect(breaking(lib, ({ text }) => (text.startsWith('/**') ? [] : ['no header']))).toEqual([]);
});
