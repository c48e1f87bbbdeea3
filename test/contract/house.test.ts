/**
 * The house: rooms stand in one order and import only downward, each table has one writer, only the platform knows clients
 * and the environment, and a handler is too small to hide anything.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { projectRoot } from '#local/state-folder.ts';
import { codes } from '#platform/kernel/errors.ts';

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

/**
 * The rooms of `lib/` in their one order: each imports only rooms that stand before it. The platform comes first; then the
 * nouns, from what everything needs to what needs everything.
 */
const rooms = [
  'platform/kernel',
  'platform/security',
  'platform/resilience',
  'platform/mysql',
  'platform/redis',
  'platform/aws',
  'platform/mail',
  'platform/payments',
  'platform/environment',
  'platform/handlers',
  'audit',
  'idempotency',
  'erasure',
  'labels',
  'mail',
  'identity',
  'keys',
  'catalog',
  'state',
  'sale',
  'events',
  'mirror',
  'reservation',
  'purchase',
  'launch',
  'notification',
  'webhooks',
  'account',
  'reconcile',
  'operations',
];

const roomOf = (path: string) => /^lib\/((?:platform\/)?[\w-]+)\//.exec(path)?.[1] ?? '';

const lib = sources('lib');
const functions = sources('functions');
const platform = lib.filter(({ path }) => path.startsWith('lib/platform/'));
const nouns = lib.filter(({ path }) => !path.startsWith('lib/platform/'));
const handlers = functions.filter(({ path }) => !/(?:routes|\/document)\.ts$/.test(path));

/** Packages that open a connection, keep a secret or wrap a handler. */
const clients =
  /^(@aws-sdk\/|@smithy\/|@middy\/|mysql2|ioredis|redlock|opossum|pino|jose|standardwebhooks|undici|aws4|nodemailer|stripe$)/;

/** What breaks a rule, one line for each file, so that a failure names the place. */
const breaking = (files: Source[], offences: (source: Source) => string[]) =>
  files.flatMap((source) => offences(source).map((offence) => `${source.path}: ${offence}`));

describe('imports run one way', () => {
  test('sources are found', () => {
    expect(platform.length).toBeGreaterThan(20);
    expect(nouns.length).toBeGreaterThan(30);
    expect(handlers.length).toBeGreaterThan(40);
  });

  test('every source of lib stands in a room of the order, and every room has sources', () => {
    expect([...new Set(lib.map(({ path }) => roomOf(path)))].sort()).toEqual([...rooms].sort());
  });

  test('a room imports only rooms before it', () => {
    const upward = ({ path, files }: Source) =>
      files.filter((file) => rooms.indexOf(roomOf(file)) > rooms.indexOf(roomOf(path)));
    expect(breaking(lib, upward)).toEqual([]);
  });

  test('no import cycles, direct or indirect', () => {
    const imports = new Map(lib.map(({ path, files }) => [path, files]));
    const reaches = (from: string, to: string, seen = new Set<string>()): boolean =>
      (imports.get(from) ?? []).some((next) => {
        if (next === to) return true;
        if (seen.has(next)) return false;
        seen.add(next);
        return reaches(next, to, seen);
      });
    expect(lib.map(({ path }) => path).filter((path) => reaches(path, path))).toEqual([]);
  });

  test('lib imports nothing from functions or from what runs them locally', () => {
    expect(breaking(lib, ({ files }) => files.filter((file) => !file.startsWith('lib/')))).toEqual([]);
  });

  test('functions import lib and the routes beside them, one of several routes their handlers, and pages what draws them', () => {
    const allowed = (path: string, file: string) =>
      file.startsWith('lib/') ||
      (/^functions\/http\/get-sale-(page|cover)\.ts$/.test(path) && file.startsWith('web/')) ||
      /^functions\/http\/((\w+\.)?routes|document)\.ts$/.test(file) ||
      (/^functions\/http\/((operate|customer|public)-[\w-]+|documents)\.ts$/.test(path) &&
        dirname(file) === dirname(path));
    expect(breaking(functions, ({ path, files }) => files.filter((file) => !allowed(path, file)))).toEqual([]);
    expect(breaking(functions, ({ packages }) => packages.filter((name) => name !== 'zod'))).toEqual([]);
  });

  test('only the platform imports clients', () => {
    expect(breaking([...nouns, ...functions], ({ packages }) => packages.filter((name) => clients.test(name)))).toEqual(
      [],
    );
  });

  test('only tables, and the platform below them, know Drizzle', () => {
    const others = nouns.filter(({ path }) => !path.endsWith('.table.ts'));
    expect(breaking(others, ({ packages }) => packages.filter((name) => name.startsWith('drizzle')))).toEqual([]);
  });

  test('only the platform reads the environment', () => {
    expect(breaking([...nouns, ...functions], ({ text }) => text.match(/process\.env/g) ?? [])).toEqual([]);
  });

  test('folders are left by subpath, never by ../..', () => {
    const climbing = ({ text }: Source) => text.match(/from '(\.\.\/){2,}[^']*'/g) ?? [];
    expect(breaking([...lib, ...functions], climbing)).toEqual([]);
  });
});

describe('tables', () => {
  const tables = lib
    .filter(({ path }) => path.endsWith('.table.ts'))
    .flatMap(({ path, text }) =>
      [...text.matchAll(/mysqlTable\(\s*'(\w+)'/g)].map(([, name = '']) => ({ name, path })),
    );
  /** The statements of a source: its texts in backticks or quotes. */
  const statements = (text: string) => text.match(/`[^`]*`|'[^'\n]*'|"[^"\n]*"/g) ?? [];

  /** Where a statement names what it writes. Not the UPDATE of a lock or of a duplicate key, which has its own INSERT. */
  const targets =
    /\b(?:INSERT(?:\s+IGNORE)?\s+INTO|REPLACE\s+INTO|DELETE\s+FROM)\s+`?\w+|(?<!\b(?:FOR|KEY)\s+)\bUPDATE\b[\s\S]*?\bSET\b|\bDELETE\s+\w+\s+FROM\b[\s\S]*/g;
  const writes = (text: string, table: string) =>
    statements(text).some((sql) =>
      (sql.match(targets) ?? []).some((target) => new RegExp(`(?<![\\w.])${table}\\b`).test(target)),
    );

  test('there are tables', () => expect(tables.length).toBeGreaterThan(8));

  test.each([
    "'INSERT INTO sales (id) VALUES (?)'",
    '`INSERT\n  INTO sales (id) VALUES ?`',
    `"UPDATE sales SET phase = 'ended' WHERE id = ?"`,
    '`UPDATE (SELECT ? AS id) m STRAIGHT_JOIN sales s ON s.id = m.id SET s.sold = 0`',
    "'UPDATE customers c, sales s SET s.sold = 0'",
    "'DELETE FROM sales WHERE id = ?'",
    '`DELETE s FROM (SELECT ? AS id) p STRAIGHT_JOIN sales s ON s.id = p.id`',
  ])('%s writes', (source) => expect(writes(source, 'sales')).toBe(true));

  test.each([
    "'SELECT id FROM sales WHERE id = ? FOR UPDATE'",
    "'INSERT INTO reconciliations (id, sales) VALUES (?) ON DUPLICATE KEY UPDATE sales = VALUES(sales)'",
    "'UPDATE reconciliations SET state = ?, sales = ? WHERE id = ?'",
  ])('%s does not', (source) => expect(writes(source, 'sales')).toBe(false));

  test.each(tables)('$name is written by one file, in the room of its table', ({ name, path }) => {
    const writers = lib.filter(({ text }) => writes(text, name));
    expect(writers.map((writer) => writer.path)).toHaveLength(1);
    expect(roomOf(writers[0]?.path ?? '')).toBe(roomOf(path));
  });
});

/** The variables of a module that can change after it was loaded, by their names. */
function stateOf(text: string): string[] {
  const declared = [
    ...text.matchAll(/^(?:export )?(let|var|const) (\w+)(?::(?:[^=]|=>)*?)?(?:\s=\s*([\s\S]*?;$)|;$)/gm),
  ];
  return declared
    .filter(([, kind, name = '', value = '']) => {
      if (kind !== 'const') return true;
      // Tables that are written out are constants, unless something is put into them later.
      if (/^new (?:Map|Set)(?:<.*>)?\(./.test(value) && !/\(\);$/.test(value)) {
        return new RegExp(`\\b${name}\\.(?:set|add|delete|clear)\\(`).test(text);
      }
      if (/^new (?:RegExp|Uint8Array)\b/.test(value)) return false;
      return /^(?:new |pLimit\(|\[\];|\{\};|Object\.create\()/.test(value);
    })
    .map(([, , name = '']) => name);
}

describe('the clock and state', () => {
  test('nouns take the time and chance from their dependencies', () => {
    expect(breaking(nouns, ({ text }) => text.match(/\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(/g) ?? [])).toEqual(
      [],
    );
  });

  test('no module keeps state; what an environment remembers belongs to its dependencies', () => {
    // The dependencies themselves have to be found by the next request, and the correlation id by each line of the log.
    const roots = ['lib/platform/environment/deps.ts: shared', 'lib/platform/kernel/log.ts: correlation'];
    expect(breaking(lib, ({ text }) => stateOf(text))).toEqual(roots);
  });

  test.each([
    'let judge: ZxcvbnFactory | undefined;',
    'export let count = 0;',
    'var count = 0;',
    'const limit = pLimit(hashesAtOnce);',
    'const cache = new LRUCache<string, number>({ max: 10 });',
    'const known = new Map<string, Promise<(one: string) => void>>();',
    'const known: Map<string, number> = new Map();',
    'const known = new WeakMap<object, number>();',
    'const known = new Map([[1, 2]]);\nfunction note() {\n  known.set(2, 3);\n}',
    'const waiting: string[] = [];',
    'export const byName: Record<string, number> = {};',
    'const byName = Object.create(null);',
    'const loader = new DataLoader(load);',
  ])('as state counts %j', (text) => expect(stateOf(text)).toHaveLength(1));

  test.each([
    'const errors: ReadonlyMap<number, string> = new Map([[1, "one"]]);',
    'const names = new Set(["one"]);',
    'const digits = new Uint8Array(128).fill(1);',
    'const pattern = new RegExp("^a$");',
    'const list = ["one"];',
    'function of() {\n  let count = 0;\n  const known = new Map();\n}',
  ])('as no state counts %j', (text) => expect(stateOf(text)).toEqual([]));
});

test('where a call came from is asked in one place, which knows whom to believe', () => {
  const elsewhere = [...lib, ...functions].filter(({ path }) => !/platform\/handlers\/(http|limits)\.ts$/.test(path));
  expect(breaking(elsewhere, ({ text }) => text.match(/\bsourceIp\b|x-forwarded-for/gi) ?? [])).toEqual([]);
});

test('only what reads requests calls them malformed: a rule that the document cannot say is 422', () => {
  const malformed = Object.entries(codes).filter(([, { status }]) => status === 400);
  const offence = new RegExp(
    `\\b(?:refuse|Refused|Fault)\\(\\s*'(?:${malformed.map(([code]) => code).join('|')})'`,
    'g',
  );
  expect("return refuse(\n  'invalid_input', 'No.');".match(offence)).toHaveLength(1);
  expect(breaking([...nouns, ...functions], ({ text }) => text.match(offence) ?? [])).toEqual([]);
});

describe('handlers', () => {
  /** One of several routes is a list of them, which may be long and holds nothing else. */
  const isList = ({ path }: Source) => /\/((operate|customer|public)-[\w-]+|documents)\.ts$/.test(path);
  const ofList =
    /^(import (\{ (handler as )?\w+ \}|\* as \w+) from '[^']+';|export const handler = severalRoutes\(\[| {2}\[\w+\.\w+Route, \w+\],|\]\);)?$/;

  test('have at most 25 lines', () => {
    const single = handlers.filter((source) => !isList(source));
    expect(breaking(single, ({ text }) => (text.trimEnd().split('\n').length > 25 ? ['too long'] : []))).toEqual([]);
  });

  test('of several routes are lists of them and nothing else', () => {
    const lists = handlers.filter(isList);
    expect(lists.length).toBeGreaterThan(10);
    const other = ({ text }: Source) =>
      text
        .replace(/^\/\*\*[\s\S]*?\*\//, '')
        .split('\n')
        .filter((line) => !ofList.test(line));
    expect(breaking(lists, other)).toEqual([]);
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
