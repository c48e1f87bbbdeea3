/**
 * LocalStack, for running on it instead of the embedded emulators (`--aws localstack` or HOLDFAST_AWS=localstack).
 *
 * The first of these that is available: a LocalStack that already listens on port 4566; Docker; the
 * community edition 4.14.0 from PyPI, installed once into the local folder and run as a process (host mode) with
 * the services used here. That version is the last that asks for no account token; in host mode it is the
 * package `localstack-core[runtime]` and needs Python 3.12 or 3.13. It keeps messages in memory only. Run here, it runs
 * Lambda functions as processes of Node (local/localstack/); elsewhere it needs Docker for them.
 *
 * Invariant: it sends nothing anywhere: no telemetry, no downloads at start, no name server. Called by `startStack`.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { compose, dockerRuns } from './docker.ts';
import { freePort } from './free-port.ts';
import { defaultFolder, FolderBusy, type OwnedFolder, takeFolder } from './state-folder.ts';
import type { Supervisor } from './supervisor.ts';
import { waitFor } from './wait.ts';

const run = promisify(execFile);

const usualPort = 4566;
const readyTimeoutMs = 120_000;
const installTimeoutMs = 600_000;
const packageSpec = 'localstack-core[runtime]==4.14.0';
/** The Python module that runs its Lambda functions. */
const executor = join(import.meta.dirname, 'localstack');
/** The local stack uses the first two; the packaged template needs the rest, which load on first use. */
export const services = 'sqs,events,cloudformation,cloudwatch,ec2,iam,lambda,logs,s3,secretsmanager,ses,sns,ssm,sts';
const constraints = join(import.meta.dirname, 'localstack-constraints.txt');
/** The versions that 4.14.0 supports, the one of its release first. */
const pythons = ['3.13', '3.12'];

export interface LocalStack {
  url: string;
  /** It has our executor, so that functions run without Docker and reach what listens on this machine. */
  runsFunctions: boolean;
  /** It offers what the packaged template needs, besides what the local stack does. */
  deploys: boolean;
}

/**
 * Starts or finds LocalStack; resolves when SQS and EventBridge are available.
 * @throws NoLocalStack when none can be started here, or not in time.
 */
export async function startLocalStack(
  supervisor: Supervisor,
  installWithinMs: number = installTimeoutMs,
): Promise<LocalStack> {
  const usual = `http://127.0.0.1:${usualPort}`;
  if (await serves(usual).catch(() => false)) {
    supervisor.report(`using the LocalStack that listens on port ${usualPort}`);
    return { url: usual, runsFunctions: false, deploys: await offers(usual, services) };
  }
  if (await dockerRuns()) {
    try {
      const project = await compose(supervisor, ['localstack'], installWithinMs);
      const url = `http://127.0.0.1:${await project.port('localstack', usualPort)}`;
      await waitFor('LocalStack in Docker', () => serves(url), { timeoutMs: readyTimeoutMs });
      return { url, runsFunctions: false, deploys: true };
    } catch (error) {
      // The engine cannot get the image: fall back to PyPI.
      supervisor.report((error as Error).message);
    }
  }
  const python = await install(supervisor, installWithinMs);
  return startHere(supervisor, python).catch((error: Error) => {
    throw new NoLocalStack(`it did not start: ${error.message}`);
  });
}

/** True when a LocalStack (and no other program) on this port has the services that the local stack uses. */
const serves = (url: string): Promise<boolean> => offers(url, 'sqs,events');

async function offers(url: string, names: string): Promise<boolean> {
  const answer = await fetch(`${url}/_localstack/health`, { signal: AbortSignal.timeout(3_000) });
  const { services } = (await answer.json()) as { services?: Record<string, string> };
  return answer.ok && names.split(',').every((name) => ['available', 'running'].includes(services?.[name] ?? ''));
}

async function startHere(supervisor: Supervisor, python: string): Promise<LocalStack> {
  const port = await freePort();
  const home = join(supervisor.dir, 'localstack-data');
  const url = `http://127.0.0.1:${port}`;
  rmSync(home, { recursive: true, force: true });
  mkdirSync(home, { recursive: true });
  await supervisor.start({
    name: 'localstack',
    command: python,
    args: ['-m', 'localstack.runtime.main'],
    cwd: home,
    env: {
      ...process.env,
      SERVICES: services,
      STRICT_SERVICE_LOADING: '1',
      GATEWAY_LISTEN: `127.0.0.1:${port}`,
      LOCALSTACK_HOST: `127.0.0.1:${port}`,
      SQS_ENDPOINT_STRATEGY: 'path',
      FILESYSTEM_ROOT: home,
      XDG_CACHE_HOME: join(home, 'cache'),
      DISABLE_EVENTS: '1',
      SKIP_SSL_CERT_DOWNLOAD: '1',
      SKIP_INFRA_DOWNLOADS: '1',
      DNS_ADDRESS: '0',
      PYTHONPATH: executor,
      LAMBDA_RUNTIME_EXECUTOR: 'node',
      HOLDFAST_NODE: process.execPath,
      LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_EMPTY_POLL_SEC: '1',
      // The reservations of the packaged template, and the unreserved minimum of an account.
      LAMBDA_LIMITS_CONCURRENT_EXECUTIONS: '10000',
      LS_LOG: 'warning',
      PYTHONUNBUFFERED: '1',
    },
    ready: () => serves(url),
    readyTimeoutMs,
    graceMs: 5_000,
  });
  return { url, runsFunctions: true, deploys: true };
}

/** The Python that has LocalStack; installs it if necessary. Concurrent runs install it once. */
async function install(supervisor: Supervisor, withinMs: number): Promise<string> {
  const home = join(defaultFolder(), 'localstack');
  const python = join(home, 'venv', 'bin', 'python');
  const stamp = join(home, 'installed');
  const wanted = createHash('sha256').update(packageSpec).update(readFileSync(constraints)).digest('hex');
  const installed = () => existsSync(python) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted;
  if (installed()) return python;

  const folder = await takeWhenFree(home, withinMs);
  try {
    if (installed()) return python;
    const base = await findPython();
    supervisor.report('installing LocalStack 4.14.0 from PyPI (once; about a minute)');
    rmSync(join(home, 'venv'), { recursive: true, force: true });
    const options = { timeout: withinMs, maxBuffer: 16 * 1024 * 1024 };
    await run(base, ['-m', 'venv', join(home, 'venv')], options);
    const pip = [
      '-m',
      'pip',
      '--disable-pip-version-check',
      'install',
      '--quiet',
      // An unreachable PyPI should fail soon.
      ...['--retries', '2'],
      '--constraint',
      constraints,
      packageSpec,
    ];
    await run(python, pip, options);
    writeFileSync(stamp, wanted);
    return python;
  } catch (error) {
    if (error instanceof NoLocalStack) throw error;
    throw new NoLocalStack(`installing it from PyPI failed (${reasonOf(error as Failed, withinMs)})`);
  } finally {
    folder.release();
  }
}

interface Failed extends Error {
  stderr?: string;
  killed?: boolean;
}

/** Why pip failed, in one sentence: its first error line is the cause. */
function reasonOf({ stderr, killed, message }: Failed, withinMs: number): string {
  if (killed) return `it took more than ${Math.round(withinMs / 1000)} seconds`;
  const lines = stderr?.trim().split('\n') ?? [];
  return (lines.find((line) => line.startsWith('ERROR: ')) ?? (lines.at(-1) || message)).replace(/^ERROR: /, '');
}

/** Thrown when LocalStack cannot run here; the message says what to do. */
export class NoLocalStack extends Error {
  override name = 'NoLocalStack';
  readonly reason: string;
  constructor(why: string) {
    const reason = `nothing listens on port ${usualPort}, Docker does not run it, and ${why}`;
    super(
      `LocalStack cannot run here: ${reason}; provide one of the three, or leave out --aws localstack to use the ` +
        'embedded emulators.',
    );
    this.reason = reason;
  }
}

async function takeWhenFree(dir: string, withinMs: number): Promise<OwnedFolder> {
  const taken = await waitFor(
    'another run to finish installing LocalStack',
    () => {
      try {
        return { folder: takeFolder(dir) };
      } catch (error) {
        return error instanceof FolderBusy ? undefined : { error };
      }
    },
    { timeoutMs: withinMs, lookAgainMs: 500 },
  );
  if (!taken.folder) throw taken.error;
  return taken.folder;
}

async function findPython(): Promise<string> {
  const candidates = [...pythons.map((version) => `python${version}`), 'python3', ...pyenvPythons()];
  const tried = `import sys, venv, ensurepip; sys.exit(0 if '%d.%d' % sys.version_info[:2] in ${JSON.stringify(pythons)} else 1)`;
  for (const candidate of candidates) {
    try {
      await run(candidate, ['-c', tried], { timeout: 20_000 });
      return candidate;
    } catch {
      // Missing, another version, or without venv: try the next one.
    }
  }
  throw new NoLocalStack(`there is no Python ${pythons.join(' or ')} with venv to install it with`);
}

/** Versions installed by pyenv, which its shim hides while another one is selected. */
function pyenvPythons(): string[] {
  const versions = join(process.env.PYENV_ROOT ?? join(homedir(), '.pyenv'), 'versions');
  if (!existsSync(versions)) return [];
  return pythons.flatMap((version) =>
    readdirSync(versions)
      .filter((name) => name.startsWith(`${version}.`))
      .map((name) => join(versions, name, 'bin', 'python3')),
  );
}
