/**
 * A bed on which everything runs: serverless-offline serves both APIs, a worker runs the queue functions, and there is an
 * operator.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient, Problem } from '#client/index.ts';
import { seedOperator } from '#identity/register.ts';
import { freePort } from '#local/free-port.ts';
import { projectRoot } from '#local/state-folder.ts';
import { systemClock } from '#platform/kernel/clock.ts';
import { openDb } from '#platform/mysql/mysql.ts';
import { type TestBed, testBed, testStack } from './stack.ts';

/** The password of everybody on the bed. */
export const password = 'correct horse battery';

export interface CallOptions {
  token?: string | undefined;
  body?: object | undefined;
  key?: string | undefined;
}

export interface RunningBed {
  bed: TestBed;
  api: string;
  websocket: string;
  /** The address of the bucket of pictures, as it is registered. */
  pictures: string | undefined;
  /** The operator's access token. */
  operator: string;
  call<T>(method: string, path: string, options?: CallOptions): Promise<T>;
  /** A fresh access token of somebody. */
  signIn(email: string): Promise<string>;
  /** Registers a customer; `name` is also the beginning of the e-mail address. */
  customer(name: string): Promise<{ email: string; token: string }>;
  /** Everything that the functions wrote, as the log groups of an account would have it. */
  logged(): string;
  close(): Promise<void>;
}

/** The time an answer may take on a machine on which much else runs. */
const answerMs = 120_000;

/** Calls of the API at an address by the client, each sent once: more tries would hide a fault that a test is there to see. */
export function callsTo(api: string): Pick<RunningBed, 'call' | 'signIn' | 'customer'> {
  async function call<T>(method: string, path: string, { token, body, key }: CallOptions = {}): Promise<T> {
    const { send } = createClient({ api, token: () => token, tries: 1, answerMs });
    const init = {
      method,
      headers: {
        ...(body ? { 'content-type': 'application/json' } : {}),
        ...(key ? { 'idempotency-key': key } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    };
    const response = await send(path, init).catch((problem: unknown) => {
      if (!(problem instanceof Problem)) throw problem;
      const { status, body: said } = problem;
      throw new Error(`${method} ${path}: ${status} ${JSON.stringify(said)}`, { cause: problem });
    });
    const text = await response.text();
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  const signIn = async (email: string) =>
    (await call<{ accessToken: string }>('POST', '/auth/login', { body: { email, password } })).accessToken;

  return {
    call,
    signIn,
    async customer(name) {
      const email = `${name}@example.com`;
      const body = { email, password, name };
      return { email, token: (await call<{ accessToken: string }>('POST', '/auth/register', { body })).accessToken };
    },
  };
}

/** How each bed that was made is closed. */
const opened: (() => Promise<void>)[] = [];

/** Closes every bed that this file has made, those that were never ready included. Call it in `afterAll`. */
export async function closeBeds(): Promise<void> {
  await Promise.all(opened.splice(0).map((close) => close()));
}

/** Ends a process, and resolves when it has ended. */
function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGTERM');
  });
}

/**
 * Makes a bed and starts everything on it. `env` is added to the environment of its functions, `registry` to what they know of
 * where everything is. With `decidesSoon`, requests are not gathered into batches for a second: for tests that wait for each.
 */
export async function runningBed(
  env: Record<string, string> = {},
  registry: Record<string, string> = {},
  { decidesSoon = false } = {},
): Promise<RunningBed> {
  const bed = await testBed();
  const children: ChildProcess[] = [];
  let logged = '';
  // Known before anything is started, so that what did not come up in time is ended too.
  opened.push(async () => {
    await Promise.all(children.map(ended));
    await bed.close();
  });

  /** Starts one of the stack's programs on this bed; resolves when it says that it is ready. */
  function started(file: string, args: string[]): Promise<void> {
    const child = spawn(process.execPath, [join(projectRoot, 'local', file), ...args], {
      cwd: projectRoot,
      env: { ...bed.env, ...env },
    });
    children.push(child);
    return new Promise((resolve, reject) => {
      let output = '';
      const read = (chunk: Buffer) => {
        output += chunk;
        logged += chunk;
        if (output.includes('{"ready":true')) resolve();
      };
      child.stdout.on('data', read);
      child.stderr.on('data', read);
      child.once('exit', (code) => reject(new Error(`${file} ended with ${code}: ${output.slice(-2_000)}`)));
    });
  }

  const [port, websocketPort] = [await freePort(), await freePort()];
  const api = `http://127.0.0.1:${port}`;
  const websocket = `ws://127.0.0.1:${websocketPort}`;
  const known = JSON.parse(readFileSync(bed.registryFile, 'utf8')) as Record<string, string>;
  const added = {
    ...registry,
    'api/public': api,
    'websocket/public': websocket,
    'websocket/management': `http://127.0.0.1:${websocketPort}`,
  };
  writeFileSync(bed.registryFile, JSON.stringify({ ...known, ...added }));
  const workDir = join(testStack().dir, `http-${bed.id}`);
  await Promise.all([
    started('http.ts', ['--port', String(port), '--websocket-port', String(websocketPort), '--work-dir', workDir]),
    started('worker.ts', decidesSoon ? ['--window-ms', '20'] : []),
  ]);
  const db = openDb(bed.mysqlUrl, { connections: 1 });
  await seedOperator({ db, clock: systemClock }, { email: 'operator@example.com', password });
  await db.close();

  const calls = callsTo(api);
  return {
    bed,
    api,
    websocket,
    pictures: bed.registry['bucket/pictures'],
    ...calls,
    operator: await calls.signIn('operator@example.com'),
    logged: () => logged,
    close: closeBeds,
  };
}
