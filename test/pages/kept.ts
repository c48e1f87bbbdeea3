/** What the documents say of the pages' tests and sizes: made of a run, not typed. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join, relative } from 'node:path';
import { projectRoot } from '#local/state-folder.ts';
import { buildPages } from '#web/build.ts';

/** What axe has seen of a page once: how many of its rules had something to judge, and what it found. */
export interface Look {
  readonly page: string;
  readonly isDark: boolean;
  readonly language: string;
  readonly rules: number;
  readonly findings: number;
}

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

/** Writes one part of docs/pages.md, which stands between two marks. */
function keepPart(name: string, lines: readonly string[]): void {
  const text = readFileSync(document, 'utf8');
  const begin = text.indexOf(`<!-- ${name}: made by `);
  const end = text.indexOf(`<!-- ${name}: end -->`);
  if (begin < 0 || end < begin) throw new Error(`docs/pages.md has no part ${name}`);
  const from = text.indexOf('-->', begin) + 3;
  writeFileSync(document, `${text.slice(0, from)}\n\n${lines.join('\n')}\n\n${text.slice(end)}`);
}

/** Writes the pictures of a launch into docs/pages.md: their names in docs/pictures, and when each was taken. */
export function keepLaunch(pictures: readonly { file: string; afterMs: number }[]): void {
  const shown = pictures.map(({ file, afterMs }) => `![The board after ${seconds(afterMs)}](pictures/${file})`);
  const rows = Array.from({ length: Math.ceil(shown.length / 2) }, (_, row) => shown.slice(2 * row, 2 * row + 2));
  const [first = [], ...others] = rows.map((cells) => `| ${cells.join(' | ')}${' |'.repeat(3 - cells.length)}`);
  keepPart('launch', [first, '| --- | --- |', ...others].flat());
}

const mark = (text: string) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`;
const kibibytes = (bytes: number) => `${(bytes / 1_024).toFixed(1)} KiB`;

/** Writes what a run of the pages' tests has shown into docs/pages.md: of itself, and what axe has looked at. Throws if a test of it has failed. */
export async function keepPages(files: readonly TestedFile[], looks: string): Promise<void> {
  const tested = files
    .filter(({ name }) => relative(projectRoot, name).startsWith(join('test', 'pages')))
    .sort((one, other) => (one.name < other.name ? -1 : 1));
  if (tested.length === 0) throw new Error('no pages were tested: there is no browser');
  const failed = tested.flatMap(({ assertionResults }) => assertionResults.filter(({ status }) => status !== 'passed'));
  if (failed.length > 0) throw new Error(`not kept: ${failed.length} tests of pages did not pass`);
  keepPart('pages', [...(await sizes()), ...looked(looks), ...tests(tested)]);
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

/** What axe has looked at, by page; ids in addresses are left out. */
function looked(lines: string): string[] {
  const pages = Map.groupBy(
    lines
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Look),
    ({ page }) => page.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '…'),
  );
  const rows = [...pages]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([page, looks]) => {
      const some = (of: (look: Look) => boolean) => looks.filter(of).length;
      const rules = Math.max(...looks.map((look) => look.rules));
      const findings = looks.reduce((sum, look) => sum + look.findings, 0);
      const counts = [looks.length, some(({ isDark }) => isDark), some(({ language }) => language.startsWith('ko'))];
      return `| \`${page}\` | ${[...counts, rules, findings].join(' | ')} |`;
    });
  const { version } = createRequire(import.meta.url)('axe-core/package.json') as { version: string };
  return [
    `axe-core ${version}, the rules of WCAG 2.2 AA and of good practice. A rule that had nothing to judge on a page is not counted.`,
    '',
    '| Page | Looks | In the dark | In Korean | Rules | Findings |',
    '| --- | ---: | ---: | ---: | ---: | ---: |',
    ...rows,
    '',
  ];
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
