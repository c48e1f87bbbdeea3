/**
 * The entry point: every npm script of Holdfast begins here, on any Node that the machine has.
 *
 *   node local/bootstrap.mjs <command> [arguments]     the commands are in commands.mjs
 *
 * Invariants: it needs nothing installed; `--help` and arguments that are not understood are answered before anything
 * is; what it installs comes from package-lock.json and runs no install scripts; afterwards the command runs on Node 24
 * or later (this one, or the one among the dependencies), gets every signal this process gets, and its exit code is the
 * exit code. Plain JavaScript for Node 20.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { commands, helpOf, parseCommand, WrongArguments } from './commands.mjs';

/** From this version on Node runs TypeScript, hashes with Argon2 and has everything the dependencies ask for. */
const neededNode = '24.7';

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
  const [neededMajor, neededMinor] = neededNode.split('.').map(Number);
  if (major > neededMajor || (major === neededMajor && minor >= neededMinor)) return process.execPath;
  const installed = [
    join(root, 'node_modules', '.bin', 'node'),
    join(root, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node'),
  ].find((file) => existsSync(file) && spawnSync(file, ['--version']).status === 0);
  if (!installed) {
    fail(
      `Holdfast needs Node ${neededNode} or later (this is ${process.version}), and there is none among its ` +
        `dependencies for ${process.platform} ${process.arch}: install it from https://nodejs.org and run the command again.`,
    );
  }
  return installed;
}

/** Answers `--help` and wrong arguments, and then ends this process. */
function answer(name, args) {
  try {
    if (name === undefined) fail(`Say which command: ${Object.keys(commands).join(', ')}.`);
    if (!parseCommand(name, args).help) return;
    process.stdout.write(helpOf(name));
    process.exit(0);
  } catch (error) {
    if (error instanceof WrongArguments) fail(error.message);
    throw error;
  }
}

/** Runs a program in the root of the clone until it ends, and returns its exit code. */
function run(program, args, { folder = root, shell = false } = {}) {
  const path = [dirname(node), join(root, 'node_modules', '.bin'), process.env.PATH ?? ''].join(delimiter);
  const child = spawn(program, args, { cwd: folder, stdio: 'inherit', shell, env: { ...process.env, PATH: path } });
  const forward = (signal) => child.kill(signal);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, forward);
  // When the parent process has exited, the command has no one to report to and ends too.
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid !== parent) child.kill('SIGTERM');
  }, 500);
  watch.unref();
  return new Promise((resolved) => {
    child.on('error', (error) => fail(`${program} could not be started: ${error.message}.`));
    child.on('exit', (code, signal) => {
      clearInterval(watch);
      for (const one of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.off(one, forward);
      resolved(signal ? 128 + (constants.signals[signal] ?? 0) : code);
    });
  });
}

/** Runs the tools of a command, one after the other, and prints its progress and where the result is. */
async function runTools({ tools, result, done = result }, args) {
  for (const [index, [tool, ...own]] of tools.entries()) {
    const all = [...own, ...args];
    process.stderr.write(`${index + 1} of ${tools.length}: ${[tool, ...all].join(' ')}\n`);
    const code = await run(tool, all, { shell: process.platform === 'win32' });
    if (code !== 0) return code;
  }
  process.stderr.write(`Done: ${done}.\n`);
  return 0;
}

const [name, ...args] = process.argv.slice(2);
answer(name, args);
const command = commands[name];
if (command.entry && !existsSync(join(root, command.entry))) {
  fail(`This clone has no ${command.entry}, which "${name}" runs.`);
}
installIfStale();
const node = newEnoughNode();
process.exit(
  command.tools
    ? await runTools(command, args)
    : await run(node, [join(root, command.entry), ...args], { folder: process.cwd() }),
);
