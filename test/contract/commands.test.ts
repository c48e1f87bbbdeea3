/**
 * Every command works from a fresh clone: it begins in bootstrap.mjs, which needs nothing installed, explains itself, and
 * answers what it does not understand with a sentence.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readArguments } from '#local/arguments.ts';
import { type Command, type CommandName, commands } from '#local/commands.mjs';
import { projectRoot } from '#local/state-folder.ts';

const { scripts } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
};
const table: [string, Command][] = Object.entries(commands);

/** A folder in which nothing is installed. */
let bare: string;
beforeAll(() => {
  bare = mkdtempSync(join(tmpdir(), 'holdfast-bare-'));
  for (const file of ['bootstrap.mjs', 'commands.mjs']) {
    cpSync(join(projectRoot, 'local', file), join(bare, 'local', file));
  }
});
afterAll(() => rmSync(bare, { recursive: true, force: true }));

const run = (...args: string[]) =>
  spawnSync(process.execPath, [join(bare, 'local', 'bootstrap.mjs'), ...args], { encoding: 'utf8', cwd: bare });

test('every npm script is in the table, and begins in bootstrap.mjs', () => {
  const expected = Object.keys(commands).map((name) => [name, `node local/bootstrap.mjs ${name}`]);
  expect(scripts).toEqual(Object.fromEntries(expected));
});

describe.each(table)('%s', (name, { entry, tools, does, takes, result, options = {}, passesOn }) => {
  test('runs what is there', () => {
    if (entry) expect(existsSync(join(projectRoot, entry))).toBe(true);
    for (const [tool = ''] of tools ?? []) {
      expect(existsSync(join(projectRoot, 'node_modules', '.bin', tool))).toBe(true);
    }
    expect(Boolean(entry)).toBe(!tools);
  });

  test('answers --help with what it does, its options, how long it takes and where its result lies', () => {
    const { status, stdout, stderr } = run(name, '--help');
    expect([status, stderr]).toEqual([0, '']);
    for (const part of [does, takes, result, ...Object.keys(options)]) expect(stdout).toContain(part);
  });

  test('answers an option that it does not have with one line', () => {
    if (passesOn)
      return expect(readArguments(name as CommandName, ['--no-such-option']).rest).toEqual(['--no-such-option']);
    const { status, stdout, stderr } = run(name, '--no-such-option');
    expect([status, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^[^\n]*--no-such-option[^\n]*--help\.\n$/);
  });
});

test.each([
  [[]],
  [['unknown']],
  [['demo', 'something']],
  [['demo', '--customers', 'many']],
  [['demo', '--customers', '1']],
  [['start', '--aws', 'elsewhere']],
  [['bench', '--quick=yes']],
  [['bench', '--only']],
  [['chaos', '--fault', '--quick']],
  [['load']],
  [['load', 'nothing']],
  [['load', 'rush', 'browse']],
  [['load', 'rush', '--rate', '0']],
])('%j is answered with one line', (args) => {
  const { status, stdout, stderr } = run(...args);
  expect([status, stdout, stderr.trimEnd().split('\n').length]).toEqual([1, '', 1]);
});

test('what Jest understands is passed on to it, in its order', () => {
  const { values, rest } = readArguments('test', ['test/race', '--aws', 'localstack', '-t', 'once', '--coverage']);
  expect([values.aws, rest]).toEqual(['localstack', ['test/race', '-t', 'once', '--coverage']]);
});
