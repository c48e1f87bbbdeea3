/**
 * The documents agree with the tree: links lead to files and headings that exist, commands exist, indexes are complete, and
 * the lists of flow.md name what is declared. How anything is worded is not tested.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { catalog } from '#events/catalog.ts';
import { readDeclared } from '#local/serverless-config.ts';
import { projectRoot } from '#local/state-folder.ts';
import { keys } from '#platform/redis/keys.ts';

interface Link {
  text: string;
  /** Absolute path of the file or folder. */
  path: string;
  fragment: string | undefined;
}

const read = (path: string) => readFileSync(join(projectRoot, path), 'utf8');

/** Every Markdown file of a folder and the folders in it; hidden ones and packages are not documents of ours. */
function markdownIn(folder: string): string[] {
  return readdirSync(join(projectRoot, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return /^\.|^(node_modules|coverage)$/.test(entry.name) ? [] : markdownIn(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });
}

const documents = markdownIn('.').sort();
const decisions = 'docs/decisions';

/** Links to other places of the project; what is shown as code is no link. */
function linksOf(document: string): Link[] {
  const text = read(document).replaceAll(/^```[\s\S]*?^```/gm, '');
  return [...text.matchAll(/\[([^\]]*)\]\(([^)\s]+)\)/g)]
    .filter(([, , target = '']) => !/^[a-z]+:/.test(target))
    .map(([, label = '', target = '']) => {
      const [path = '', fragment] = target.split('#');
      const from = join(projectRoot, document);
      return { text: label, path: path === '' ? from : resolve(dirname(from), path), fragment };
    });
}

/** The anchors of a document's headings, as GitHub makes them. */
function anchorsOf(path: string): Set<string> {
  const headings = readFileSync(path, 'utf8').matchAll(/^#{1,6} (.+)$/gm);
  return new Set(
    [...headings].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

const foldersIn = (folder: string) =>
  readdirSync(join(projectRoot, folder), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => `${folder}/${entry.name}`);

describe.each(documents)('%s', (document) => {
  const links = linksOf(document);

  test('has links that lead somewhere', () => {
    const lost = links.filter(({ path, fragment }) => {
      if (!existsSync(path)) return true;
      return fragment !== undefined && path.endsWith('.md') && !anchorsOf(path).has(fragment);
    });
    expect(lost.map(({ text, path }) => `${text}: ${relative(projectRoot, path)}`)).toEqual([]);
  });

  test('names a file by its own name', () => {
    const misnamed = links.filter(
      ({ text, path }) => /^[\w.-]+\.(ts|mjs|lua|yml|py)$/.test(text) && basename(path) !== text,
    );
    expect(misnamed.map(({ text, path }) => `${text}: ${relative(projectRoot, path)}`)).toEqual([]);
  });

  test('mentions only commands that there are', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const mentioned = [...read(document).matchAll(/\bnpm (?:run (\w[\w:-]*)|(start|test)\b)/g)].map(
      ([, name, standard]) => name ?? standard ?? '',
    );
    expect(mentioned.filter((name) => !(name in scripts))).toEqual([]);
  });
});

describe('README.md', () => {
  test('has every command', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const missing = Object.keys(scripts).filter(
      (name) => !new RegExp(`\\bnpm (?:run )?${name}\\b`).test(read('README.md')),
    );
    expect(missing).toEqual([]);
  });

  test('leads to every document of docs', () => {
    const targets = linksOf('README.md').map(({ path }) => relative(projectRoot, path));
    const wanted = documents.filter((document) => dirname(document) === 'docs');
    expect([...wanted, `${decisions}/README.md`].filter((document) => !targets.includes(document))).toEqual([]);
  });
});

describe('docs/security.md', () => {
  const rows = read('docs/security.md')
    .split('\n')
    .filter((line) => /^\| API\d+ /.test(line));

  test('has every risk of the OWASP API Security Top 10 (2023), in order', () => {
    const numbers = rows.map((row) => Number(/^\| API(\d+) /.exec(row)?.[1]));
    expect(numbers).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  test('names a test for each', () => {
    for (const row of rows) expect(row).toMatch(/\]\([^)]+\.test\.ts\) *(, \[[^\]]+\]\([^)]+\.test\.ts\) *)*\|$/);
  });
});

describe(decisions, () => {
  const files = readdirSync(join(projectRoot, decisions)).filter((name) => name !== 'README.md');

  test('has one file for each decision, named by its date', () => {
    expect(files.filter((name) => !/^\d{4}-\d{2}-\d{2}-[a-z0-9-]+\.md$/.test(name))).toEqual([]);
    expect(files.filter((name) => !read(`${decisions}/${name}`).startsWith('# '))).toEqual([]);
  });

  test('has each file in its index once, under its title', () => {
    const listed = [...read(`${decisions}/README.md`).matchAll(/^- .*$/gm)].map(([line]) => line);
    // What is missing is shown as the line to add.
    const wanted = files.map((name) => {
      const [heading = ''] = read(`${decisions}/${name}`).split('\n');
      return `- ${name.slice(0, 10)} · [${heading.slice(2)}](${name})`;
    });
    expect(wanted.filter((line) => listed.filter((one) => one.startsWith(line)).length !== 1)).toEqual([]);
  });
});

describe('the README of a room', () => {
  const rooms = [
    ...['bench', 'demo', 'examples', 'functions', 'infra', 'lib', 'load', 'local', 'test', 'web'],
    ...foldersIn('lib').filter((folder) => folder !== 'lib/migrations'),
    ...foldersIn('lib/platform'),
  ];

  test.each(rooms)('%s is a paragraph, with a table at most', (room) => {
    const [heading, ...parts] = read(`${room}/README.md`).trim().split('\n\n');
    const paragraphs = parts.filter((part) => !part.startsWith('| '));
    expect([heading, paragraphs.length]).toEqual([`# ${room}`, 1]);
  });

  test('is reached from the README of lib', () => {
    const targets = ['lib/README.md', 'lib/platform/README.md'].flatMap(linksOf).map(({ path }) => dirname(path));
    const wanted = rooms.filter((room) => room.startsWith('lib/'));
    expect(wanted.filter((room) => !targets.includes(join(projectRoot, room)))).toEqual([]);
  });
});

/** The rows of the first table under a heading, as cells, without its head. */
function tableUnder(text: string, heading: string): string[][] {
  const [, after = ''] = text.split(`\n## ${heading}\n`);
  const [table = ''] = /^(?:\|.*\n)+/m.exec(after.split(/^## /m)[0] ?? '') ?? [];
  const rows = table.trimEnd().split('\n').slice(2);
  return rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** Whether a file declares a name: exported in TypeScript, or used as a key or a word elsewhere. */
function declares(path: string, name: string): boolean {
  const text = readFileSync(path, 'utf8');
  const declared = path.endsWith('.ts')
    ? new RegExp(`^export (?:async )?(?:function\\*?|const|class|interface|type) ${name}\\b`, 'm')
    : new RegExp(`\\b${name}\\b`);
  return declared.test(text);
}

describe('docs/flow.md', () => {
  const text = read('docs/flow.md');
  const missing = (names: string[]) => names.filter((name) => !text.includes(`\`${name}\``));

  test('leads to every folder of functions and lib', () => {
    const targets = linksOf('docs/flow.md')
      .filter(({ path }) => existsSync(path) && statSync(path).isDirectory())
      .map(({ path }) => relative(projectRoot, path));
    expect([...foldersIn('functions'), ...foldersIn('lib')].filter((folder) => !targets.includes(folder))).toEqual([]);
  });

  const places = tableUnder(text, 'Where to find it').flatMap(([subject = '', ...cells]) => {
    const found = cells.flatMap((cell) => [...cell.matchAll(/`(\w+)` in \[[^\]]*\]\(([^)]+)\)/g)]);
    return found.map(([, name = '', target = '']) => ({ subject, name, path: join(projectRoot, 'docs', target) }));
  });

  test.each([
    'the cap',
    "an offer's deadline",
    'the signature of a webhook',
    'the retry of a parked purchase',
    'accepting while Redis is unavailable',
    'tries before a dead-letter queue',
    'cancelling a reservation',
    'the reminder that a window has opened',
    'the id of a request from its key',
    'the staleness of live stock',
  ])('says where to find %s', (subject) => {
    const found = places.filter((place) => place.subject === subject);
    expect(found.length).toBeGreaterThan(0);
    expect(found.filter(({ name, path }) => !existsSync(path) || !declares(path, name))).toEqual([]);
  });

  test('has nothing else in that list that does not exist', () => {
    expect(places.filter(({ name, path }) => !existsSync(path) || !declares(path, name))).toEqual([]);
  });

  test('has every table among its entities, with every column', () => {
    const entities = new Map(
      [...text.matchAll(/^ {2}(\w+) \{\n([\s\S]*?)^ {2}\}/gm)].map(([, name = '', body = '']) => [
        name,
        [...body.matchAll(/^ {4}\S+ (\w+)/gm)].map(([, column]) => column),
      ]),
    );
    const snapshots = readdirSync(join(projectRoot, 'lib/migrations/meta')).filter((name) => /^\d+_/.test(name));
    const { tables } = JSON.parse(read(`lib/migrations/meta/${snapshots.sort().at(-1)}`)) as {
      tables: Record<string, { name: string; columns: Record<string, unknown> }>;
    };
    const wanted = Object.values(tables).map(({ name, columns }) => [name, Object.keys(columns)] as const);
    expect([...entities].sort()).toEqual([...wanted].sort());
  });

  test('lists every queue, rule, event and Redis key', async () => {
    const { queues, rules } = await readDeclared();
    const live = queues.map((queue) => queue.registryName).filter((name) => name.startsWith('queue/'));
    expect(live.length).toBeGreaterThan(0);
    expect(missing(live.map((name) => name.slice('queue/'.length)))).toEqual([]);
    expect(missing(rules.map((rule) => rule.logicalId))).toEqual([]);
    expect(missing(Object.keys(catalog))).toEqual([]);
    expect(missing(Object.keys(keys))).toEqual([]);
  });
});
