/**
 * The documents keep their promises: links lead to files and headings that are there, tests are named by words that are
 * in them, commands exist, and what flow.md lists is all there is.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { catalogue } from '#events/catalogue.ts';
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
const documents = [
  'README.md',
  ...readdirSync(join(projectRoot, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

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

  test('names tests by words that are in them', () => {
    const quoted = links.filter(({ text, path }) => text.startsWith('“') && existsSync(path));
    const lost = quoted.filter(({ text, path }) => !readFileSync(path, 'utf8').includes(text.slice(1, -1)));
    expect(lost.map(({ text }) => text)).toEqual([]);
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
  test('names the two commands', () => {
    expect(read('README.md')).toMatch(/^#+ `npm run demo`$/m);
    expect(read('README.md')).toMatch(/^#+ `npm test`$/m);
  });

  test('leads to every other document', () => {
    const targets = linksOf('README.md').map(({ path }) => relative(projectRoot, path));
    expect(documents.filter((document) => document !== 'README.md' && !targets.includes(document))).toEqual([]);
  });
});

describe('docs/flow.md', () => {
  const text = read('docs/flow.md');
  const missing = (names: string[]) => names.filter((name) => !text.includes(`\`${name}\``));

  test('leads to every folder of functions and lib', () => {
    const targets = linksOf('docs/flow.md')
      .filter(({ path }) => existsSync(path) && statSync(path).isDirectory())
      .map(({ path }) => relative(projectRoot, path));
    expect([...foldersIn('functions'), ...foldersIn('lib')].filter((folder) => !targets.includes(folder))).toEqual([]);
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
    expect(missing(Object.keys(catalogue))).toEqual([]);
    expect(missing(Object.keys(keys))).toEqual([]);
  });
});
