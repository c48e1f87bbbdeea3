/**
 * The entry point: every npm script of Holdfast begins here, on any Node that the machine has.
 *
 *   node local/bootstrap.mjs start|demo|test|bench|load|chaos|model|migrate [arguments]
 *
 * Invariants: it needs nothing installed; what it installs comes from package-lock.json and runs no install
 * scripts; afterwards the command runs on Node 24 or later (this one, or the one among the dependencies), gets
 * every signal this process gets, and its exit code is the exit code. Plain JavaScript for Node 20.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** From this version on Node runs TypeScript, hashes with Argon2 and has everything the dependencies ask for. */
const NEEDED_NODE = '24.7';

const ENTRIES = {
  start: 'local/start.ts',
  demo: 'demo/main.ts',
  test: 'test/run.ts',
  bench: 'bench/main.ts',
  load: 'load/main.ts',
  chaos: 'test/chaos/main.ts',
  model: 'test/model/main.ts',
  migrate: 'local/migrate.ts',
};

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

function fail(sentence) {
  process.stderr.write(`${sentence}\n`);
  process.exit(1);
}

/** Whether every package of package-lock.json is installed in its version; those for other systems never are. */
function isInstalled(lockFile) {
  try {
    const installed = JSON.parse(readFileSync(join(root, 'node_modules', '.package-lock.json'), 'utf8')).packages;
    const wanted = Object.entries(JSON.parse(lockFile).packages).filter(([path]) => path !== '');
    return wanted.every(([path, { version, optional }]) =>
      installed[path] ? installed[path].version === version : optional === true,
    );
  } catch {
    return false;
  }
}

function installIfStale() {
  const lockFile = readFileSync(join(root, 'package-lock.json'), 'utf8');
  const digest = createHash('sha256').update(lockFile).digest('hex');
  const stamp = join(root, 'node_modules', '.holdfast-installed');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return;
  if (!isInstalled(lockFile)) {
    process.stderr.write('installing dependencies (once; about a minute)\n');
    const installed = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
      shell: process.platform === 'win32',
      env: { ...process.env, PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD: '1', PUPPETEER_SKIP_DOWNLOAD: '1' },
    });
    if (installed.error?.code === 'ENOENT') fail('Holdfast needs npm, which comes with Node.js: https://nodejs.org');
    if (installed.status !== 0) {
      fail('npm ci failed (its message is above): check the connection to the npm registry and run the command again.');
    }
  }
  writeFileSync(stamp, digest);
}

/** This Node when it is new enough, otherwise the one among the dependencies. */
function newEnoughNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const [neededMajor, neededMinor] = NEEDED_NODE.split('.').map(Number);
  if (major > neededMajor || (major === neededMajor && minor >= neededMinor)) return process.execPath;
  const installed = [
    join(root, 'node_modules', '.bin', 'node'),
    join(root, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node'),
  ].find((file) => existsSync(file) && spawnSync(file, ['--version']).status === 0);
  if (!installed) {
    fail(
      `Holdfast needs Node ${NEEDED_NODE} or later (this is ${process.version}), and there is none among its ` +
        `dependencies for ${process.platform} ${process.arch}: install it from https://nodejs.org and run the command again.`,
    );
  }
  return installed;
}

const [command, ...args] = process.argv.slice(2);
const entry = ENTRIES[command];
if (!entry) fail(`Commands: ${Object.keys(ENTRIES).join(', ')}.`);
if (!existsSync(join(root, entry))) fail(`This clone has no ${entry}, which "${command}" runs.`);
installIfStale();

const node = newEnoughNode();
const child = spawn(node, [join(root, entry), ...args], {
  stdio: 'inherit',
  env: { ...process.env, PATH: `${dirname(node)}:${process.env.PATH ?? ''}` },
});
const forward = (signal) => child.kill(signal);
process.on('SIGINT', forward);
process.on('SIGTERM', forward);
process.on('SIGHUP', forward);
// When the parent process is gone, the command has no reader any more.
const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) child.kill('SIGTERM');
}, 500).unref();
child.on('error', (error) => fail(`${node} could not be started: ${error.message}.`));
child.on('exit', (code, signal) => process.exit(signal ? 128 + (constants.signals[signal] ?? 0) : code));
