/** What the documents say of the pages' tests and sizes: made of a run, not typed. */
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { projectRoot } from '#local/state-folder.ts';
import { buildPages } from '#web/build.ts';

/** A file of tests, as Jest reports it. */
export interface TestedFile {
  readonly name: string;
  readonly startTime: number;
  readonly endTime: number;
  readonly assertionResults: readonly {
    readonly status: string;
    readonly ancestorTitles: readonly string[];
    readonly title: string;
    readonly duration?: number | null;
  }[];
}

const document = join(projectRoot, 'docs', 'pages.md');
const command = 'npm test -- test/pages --keep-pages';
const begin = `<!-- pages: made by ${command} -->`;
const end = '<!-- pages: end -->';
const mark = (text: string) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`;
const kibibytes = (bytes: number) => `${(bytes / 1_024).toFixed(1)} KiB`;

/** Writes what a run of the pages' tests has shown into docs/pages.md. Throws if a test of it has failed. */
export async function keepPages(files: readonly TestedFile[]): Promise<void> {
  const tested = files
    .filter(({ name }) => relative(projectRoot, name).startsWith(join('test', 'pages')))
    .sort((one, other) => (one.name < other.name ? -1 : 1));
  if (tested.length === 0) throw new Error('no pages were tested: there is no browser');
  const failed = tested.flatMap(({ assertionResults }) => assertionResults.filter(({ status }) => status !== 'passed'));
  if (failed.length > 0) throw new Error(`not kept: ${failed.length} tests of pages did not pass`);
  const text = readFileSync(document, 'utf8');
  const [before = '', rest = ''] = text.split(begin);
  const [, after = ''] = rest.split(end);
  const made = [...(await sizes()), ...tests(tested)].join('\n');
  writeFileSync(document, `${before}${begin}\n\n${made}\n\n${end}${after}`);
}

async function sizes(): Promise<string[]> {
  const rows = [...(await buildPages())]
    .filter(([path]) => path.startsWith('/assets/'))
    .map(
      ([path, { body, gzip }]) =>
        [basename(path).replace(/-[0-9A-Za-z]{8}(?=\.)/, ''), body.length, gzip.length] as const,
    )
    .sort(([, , one], [, , other]) => other - one)
    .map(([name, body, gzip]) => `| \`${name}\` | ${kibibytes(body)} | ${kibibytes(gzip)} |`);
  return ['| File of the build | Minified | As it is sent |', '| --- | ---: | ---: |', ...rows, ''];
}

function tests(files: readonly TestedFile[]): string[] {
  const total = files.reduce((sum, { startTime, endTime }) => sum + endTime - startTime, 0);
  const count = files.reduce((sum, { assertionResults }) => sum + assertionResults.length, 0);
  return [
    `${count} tests in ${seconds(total)}, the starting of their stacks included; files run two at a time.`,
    '',
    '| Test | Took |',
    '| --- | ---: |',
    ...files.flatMap(({ name, startTime, endTime, assertionResults }) => [
      `| **[${basename(name)}](../${relative(projectRoot, name).replaceAll('\\', '/')})** | ${seconds(endTime - startTime)} |`,
      ...assertionResults.map(
        ({ ancestorTitles, title, duration }) =>
          `| ${mark([...ancestorTitles, title].join(': '))} | ${seconds(duration ?? 0)} |`,
      ),
    ]),
  ];
}
