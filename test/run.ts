/**
 * `npm test`: brings up databases, queues and the bus once, runs Jest against them, and takes everything down.
 *
 *   npm test                       everything
 *   npm test -- test/race          what matches; Jest's own arguments are passed on
 *   npm test -- --aws localstack   the same on LocalStack instead of the embedded emulators
 *
 * Invariant: the last line is `N passed, N failed`, and the exit code is 0 only when tests ran and none failed.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { takeAwsArgument } from '../local/arguments.ts';
import { defaultFolder, projectRoot } from '../local/folder.ts';
import { startStack } from '../local/stack.ts';

interface JestResults {
  numPassedTests: number;
  numFailedTests: number;
  numFailedTestSuites: number;
  numRuntimeErrorTestSuites: number;
}

const { aws, rest } = takeAwsArgument(process.argv.slice(2));
const stack = await startStack({
  dir: join(defaultFolder(), 'test'),
  whenBusy: 'next',
  fresh: true,
  aws,
  http: false,
  workers: 0,
  providers: 1,
});
const resultsFile = join(stack.dir, 'jest.json');
rmSync(resultsFile, { force: true });
mkdirSync(stack.dir, { recursive: true });

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
    ...rest,
  ],
  {
    cwd: projectRoot,
    // With --json Jest prints the results there too; people read its report, which goes to standard error.
    stdio: ['inherit', 'ignore', 'inherit'],
    env: {
      ...process.env,
      ...stack.env,
      HOLDFAST_TEST_STACK: join(stack.dir, 'stack.json'),
      NODE_OPTIONS: [process.env.NODE_OPTIONS, '--disable-warning=ExperimentalWarning'].filter(Boolean).join(' '),
    },
  },
);
const code = await new Promise<number>((resolve) => jest.on('exit', (status) => resolve(status ?? 1)));
await stack.stop();

const results = readResults();
const passed = results?.numPassedTests ?? 0;
// A file that cannot be loaded has no tests of its own to count, and is a failure nevertheless.
const failed = results ? results.numFailedTests + results.numRuntimeErrorTestSuites : 1;
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exit(code === 0 && failed === 0 && passed > 0 ? 0 : 1);

function readResults(): JestResults | undefined {
  try {
    return JSON.parse(readFileSync(resultsFile, 'utf8')) as JestResults;
  } catch {
    return undefined;
  }
}
