/**
 * `npm test`: brings up databases, queues and the bus, runs Jest against them, and takes everything down.
 *
 *   npm test                       everything on the embedded emulators; then, on LocalStack, what uses queues or the bus
 *   npm test -- test/race          what matches, on the embedded emulators; Jest's own arguments are passed on
 *   npm test -- --aws localstack   everything on LocalStack (or --aws embedded, or HOLDFAST_AWS)
 *
 *   npm test -- test/pages --keep-pages   also writes into docs/pages.md what the tests of pages have shown
 *
 * Invariants: the last line is `N passed, N failed`, and the exit code is 0 only when tests ran and none failed. The
 * LocalStack part, unless asked for by name, is skipped with a message where LocalStack is not available; so are the tests of
 * pages where no browser can be had.
 */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { awsOf, ownArguments } from '#local/arguments.ts';
import { NoLocalStack } from '#local/localstack.ts';
import { type Aws, startStack } from '#local/stack.ts';
import { defaultFolder, projectRoot } from '#local/state-folder.ts';
import { keepPages, type TestedFile } from './pages/kept.ts';
import { findBrowser } from './support/browser.ts';

interface Counts {
  passed: number;
  failed: number;
  /** What failed, a line each. */
  failures: string[];
}

interface JestResults {
  numPassedTests: number;
  numFailedTests: number;
  numRuntimeErrorTestSuites: number;
  testResults: (Omit<TestedFile, 'assertionResults'> & {
    /** Why the file could not be run, or what its failed tests said. */
    message: string;
    assertionResults: (TestedFile['assertionResults'][number] & { fullName: string; failureMessages: string[] })[];
  })[];
}

const failuresShown = 60;
const lettersShown = 500;

/** The longest wait for a LocalStack that was not asked for by name: to be found, installed or downloaded. */
const unaskedInstallMs = 240_000;
/** On a machine that needed longer than this for the first part, there is no second. */
const firstPartAtMostMs = 600_000;

/** Tests that kill servers would learn nothing from one that keeps its messages in memory only. */
const ownEmulators =
  'Tests that kill servers (test/chaos, test/integration/local-processes) start embedded emulators of their own.';

const startedAtMs = Date.now();
const counts: Counts = { passed: 0, failed: 0, failures: [] };
const { values, rest } = ownArguments('test');
const { aws, asked } = awsOf(values.aws);
/** What the tests of pages run in; looked for only if they are among those asked for. */
const browser = rest.length === 0 || rest.some((path) => path.includes('pages')) ? await findBrowser(say) : undefined;
try {
  if (browser) say(`The pages are tested in ${browser}.`);
  else if (rest.length === 0) {
    say('Not tested in a browser: there is no Chromium or Chrome here (HOLDFAST_TEST_BROWSER may name one).');
  }
  if (aws === 'localstack') say(ownEmulators);
  add(await testOn(aws, rest));
  if (!asked && rest.length === 0) await testOnLocalStackToo();
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  counts.failed++;
}
if (rest.some((argument) => argument.startsWith('--coverage'))) say('Coverage: coverage/lcov-report/index.html');
// Said again at the end, where it is found in a long log.
for (const failure of counts.failures.slice(0, failuresShown)) say(failure);
process.stdout.write(`${counts.passed} passed, ${counts.failed} failed\n`);
process.exit(counts.failed === 0 && counts.passed > 0 ? 0 : 1);

/** Runs Jest on a stack of its own. */
async function testOn(which: Aws, jestArguments: readonly string[], installWithinMs?: number): Promise<Counts> {
  const stack = await startStack({
    dir: join(defaultFolder(), 'test'),
    whenBusy: 'next',
    fresh: true,
    aws: which,
    localStackWithinMs: installWithinMs,
    http: false,
    workers: 0,
    providers: 1,
  });
  if (stack.localStack?.deploys === false) {
    say('This LocalStack does not offer what the packaged template needs, so that is not deployed to it.');
  }
  if (stack.localStack?.deploys && !stack.localStack.runsFunctions) {
    say(
      'Functions are left out of the deployment: this LocalStack was not started here and would need Docker for them.',
    );
  }
  const resultsFile = join(stack.dir, 'jest.json');
  const looksFile = join(stack.dir, 'axe.jsonl');
  for (const file of [resultsFile, looksFile]) rmSync(file, { force: true });
  const jest = spawn(
    process.execPath,
    [
      '--experimental-vm-modules',
      '--disable-warning=ExperimentalWarning',
      join(projectRoot, 'node_modules', 'jest', 'bin', 'jest.js'),
      '--config',
      join(projectRoot, 'jest.config.mjs'),
      '--json',
      `--outputFile=${resultsFile}`,
      ...jestArguments,
    ],
    {
      cwd: projectRoot,
      stdio: 'inherit',
      env: {
        ...process.env,
        ...stack.env,
        HOLDFAST_TEST_STACK: join(stack.dir, 'stack.json'),
        HOLDFAST_TEST_BROWSER: browser ?? '',
        ...(values['keep-pages'] ? { HOLDFAST_AXE_LOG: looksFile } : {}),
        HOLDFAST_TEST_DEPLOYMENT: stack.localStack?.deploys ? 'yes' : 'no',
        NODE_OPTIONS: [process.env.NODE_OPTIONS, '--disable-warning=ExperimentalWarning'].filter(Boolean).join(' '),
      },
    },
  );
  // A run that is told to stop also stops its stack; tests that went on would only fail, one after the other.
  const stopJest = () => jest.kill();
  process.once('exit', stopJest);
  const code = await new Promise<number>((resolve) => jest.on('exit', (status) => resolve(status ?? 1)));
  process.off('exit', stopJest);
  await stack.stop();
  const results = readResults(resultsFile);
  if (values['keep-pages'] && results) await keepPages(results.testResults, readFileSync(looksFile, 'utf8'));
  // A file that cannot be loaded has no tests to count but is a failure; so is a Jest that failed without results.
  const failed = results ? results.numFailedTests + results.numRuntimeErrorTestSuites : 1;
  return {
    passed: results?.numPassedTests ?? 0,
    failed: Math.max(failed, code === 0 ? 0 : 1),
    failures: results ? failuresOf(results) : [],
  };
}

function failuresOf({ testResults }: JestResults): string[] {
  return testResults.flatMap(({ name, message, assertionResults }) => {
    const file = relative(projectRoot, name);
    if (assertionResults.length === 0 && message) return [`FAILED ${file}: ${shortened(message)}`];
    const failed = assertionResults.filter(({ status }) => status === 'failed');
    return failed.map(({ fullName, failureMessages: [said = ''] }, index) => {
      // Where all of a file fails, it is for one reason.
      return `FAILED ${file}: ${fullName}${index === 0 ? `: ${shortened(said)}` : ''}`;
    });
  });
}

/** The beginning of a message on one line, without the colours of a terminal. */
function shortened(message: string): string {
  return stripVTControlCharacters(message).replaceAll(/\s+/g, ' ').slice(0, lettersShown);
}

/** The second part of a whole run. Without LocalStack it is skipped, which is not a failure. */
async function testOnLocalStackToo(): Promise<void> {
  const tookMs = Date.now() - startedAtMs;
  if (tookMs > firstPartAtMostMs) {
    say(`Not tested on LocalStack: the rest took ${Math.round(tookMs / 60_000)} minutes already.`);
    return;
  }
  say('Repeating the tests of queues and the bus on LocalStack:');
  try {
    add(await testOn('localstack', ['--runTestsByPath', ...testsOfQueues()], unaskedInstallMs));
  } catch (error) {
    if (!(error instanceof NoLocalStack)) throw error;
    say(`Not tested on LocalStack: ${error.reason}.`);
  }
}

/** The files whose tests lie on a bed with queues, and those that only LocalStack can run. */
function testsOfQueues(): string[] {
  const filesIn = (folder: string) =>
    readdirSync(join(import.meta.dirname, folder))
      .filter((name) => name.endsWith('.test.ts'))
      .map((name) => join(import.meta.dirname, folder, name));
  const hasQueues = (file: string) => /\btestBed\((?!\{ queues: false)/.test(readFileSync(file, 'utf8'));
  return [...['integration', 'e2e'].flatMap(filesIn).filter(hasQueues), ...filesIn('localstack')];
}

function add({ passed, failed, failures }: Counts): void {
  counts.passed += passed;
  counts.failed += failed;
  counts.failures.push(...failures);
}

function say(line: string): void {
  process.stderr.write(`\n${line}\n`);
}

function readResults(file: string): JestResults | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as JestResults;
  } catch {
    return undefined;
  }
}
