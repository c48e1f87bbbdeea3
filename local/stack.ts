/**
 * The local stack: all of Holdfast's processes on one machine, started in parallel and stopped together.
 *
 * Invariants: every part of a stack that `startStack` returns has answered once; every address is in the registry file
 * and in stack.json and nowhere else; neither `stop()` nor a crash of this process leaves a process behind, because the
 * watchdog outlives it. Called by `npm start`, the demo, the tests, the load tests and the chaos driver, which choose the
 * parts that they need.
 */
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { loopbackName } from '#platform/kernel/registry.ts';
import {
  type AwsEndpoints,
  awsEnvironment,
  createBucket,
  createResources,
  deleteBucket,
  deleteResources,
} from './aws-resources.ts';
import { createDatabase, type Databases, dropDatabase, flushRedis, inDatabase, startDatabases } from './databases.ts';
import { freePort } from './free-port.ts';
import { type LocalStack, startLocalStack } from './localstack.ts';
import { type Declared, readDeclared } from './serverless-config.ts';
import { defaultFolder, type OwnedFolder, projectRoot, takeFolder, takeFolderOrNext } from './state-folder.ts';
import { type ProcessSpec, type StackProcess, Supervisor } from './supervisor.ts';

export type Aws = 'embedded' | 'localstack';

export interface StackOptions {
  /** The folder of this stack's data, logs and addresses. Default: `HOLDFAST_LOCAL`, or `.local`. */
  dir?: string;
  /** When another process owns the folder: refuse (the default), or use the next free one beside it. */
  whenBusy?: 'refuse' | 'next';
  /** Start with empty databases and queues instead of the data of the last run. */
  fresh?: boolean;
  /** What emulates SQS and EventBridge. Default: `HOLDFAST_AWS`, or the embedded emulators. */
  aws?: Aws;
  /** How long LocalStack may take to be downloaded or installed, when there is none yet. Default: ten minutes. */
  localStackWithinMs?: number;
  /** Which parts to start; the databases always start. Default: all. */
  queues?: boolean;
  events?: boolean;
  /** Whether messages in the embedded queues outlive their server. Default true; a benchmark's need not. */
  queuesOnDisk?: boolean;
  /** Instances of the payment provider. Default 2. */
  providers?: number;
  /** The mail server. Default: with the queues. */
  mail?: boolean;
  http?: boolean;
  /** Worker processes, which divide the concurrency of the event source mappings. Default 1. */
  workers?: number;
  /** Preferred ports; another is used when one is busy. */
  ports?: { api?: number; websocket?: number };
  /** Whether callers are limited as in an account, or hardly, since all local clients share one address. Default: hardly. */
  limits?: 'hardly' | 'as deployed';
  /** Further variables for the processes that run functions. */
  env?: Record<string, string>;
  /** Stop the stack and exit on SIGINT, SIGTERM, SIGHUP, and when the parent process ends. Default true. */
  stopOnSignal?: boolean;
  /** Gets progress, one line at a time. Default: standard error. */
  report?: (line: string) => void;
}

/** Every address of a stack, as stack.json has them. */
export interface Addresses {
  api: string;
  websocket: string;
  docs: string;
  mysql: string;
  redis: string;
  sqs: string;
  events: string;
  provider: string[];
  /** The inbox of the mail server, a page. */
  mail: string;
  registry: string;
}

export type Registry = Record<string, string>;

export interface Stack {
  dir: string;
  addresses: Addresses;
  registry: Registry;
  registryFile: string;
  /** The environment of a process that belongs to this stack. */
  env: Record<string, string>;
  endpoints: AwsEndpoints;
  declared: Declared;
  aws: Aws;
  /** Set when LocalStack emulates SQS and EventBridge. */
  localStack?: LocalStack;
  /** The stack's processes by name: mysql, redis, queues, events, mail, provider-1 …, http, worker-1 …. */
  processes: ReadonlyMap<string, StackProcess>;
  /** The process with a name. Throws when the stack has none. */
  process(name: string): StackProcess;
  /** Adds something to stack.json, such as sample credentials. */
  publish(more: Record<string, unknown>): void;
  /** Stops everything. Safe to call more than once. */
  stop(): Promise<void>;
}

const region = 'us-east-1';

const mailFrom = encodeURIComponent('Holdfast <holdfast@example.com>');

/** Two signals within this time are one request to stop. */
const sameSignalMs = 500;

/** The ports of the last run, which are reused by default. */
interface LastRun {
  ports?: Record<string, number>;
}

/** Starts a stack and waits until all of it is ready. On failure it stops what it has started. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const dir = resolve(options.dir ?? defaultFolder());
  const folder = options.whenBusy === 'next' ? takeFolderOrNext(dir) : takeFolder(dir);
  let starting: Starting | undefined;
  try {
    starting = new Starting(folder, options, await readDeclared());
    return await starting.run();
  } catch (error) {
    if (starting) await starting.stop();
    else folder.release();
    throw error;
  }
}

class Starting {
  #folder: OwnedFolder;
  #dir: string;
  #options: StackOptions;
  #aws: Aws;
  #supervisor: Supervisor;
  #declared: Declared;
  #localStack: LocalStack | undefined;
  #ports: Record<string, number> = {};
  #lastRun: LastRun;
  #published: Record<string, unknown> = {};
  #atStop: (() => Promise<void>)[] = [];
  #stopping: Promise<void> | undefined;
  #forgetSignals: () => void = () => undefined;

  constructor(folder: OwnedFolder, options: StackOptions, declared: Declared) {
    this.#folder = folder;
    this.#dir = folder.dir;
    this.#options = options;
    this.#aws = options.aws ?? awsFromEnvironment();
    this.#supervisor = new Supervisor(folder.dir, options.report ?? ((line) => process.stderr.write(`${line}\n`)));
    this.#declared = declared;
    this.#lastRun = readJson<LastRun>(join(folder.dir, 'ports.json')) ?? {};
    if (options.stopOnSignal !== false) this.#stopOnSignal();
  }

  async run(): Promise<Stack> {
    const { providers = 2, http = true, workers = 1, queues = true, events = queues, mail = queues } = this.#options;
    rmSync(join(this.#dir, 'stack.json'), { force: true });
    await this.#supervisor.endLeftovers();
    if (this.#options.fresh) this.#dropFiles();

    await this.#choosePorts([
      'queues',
      'events',
      'api',
      'websocket',
      'mail',
      'inbox',
      ...Array.from({ length: providers }, (_, index) => `provider-${index + 1}`),
    ]);
    const secrets = folderSecrets(this.#dir);
    const address = (name: string) => `http://127.0.0.1:${this.#ports[name]}`;
    const providerUrls = Array.from({ length: providers }, (_, index) => address(`provider-${index + 1}`));

    const [databases, resources] = await Promise.all([
      this.#startDatabases(),
      queues ? this.#startAws(events) : undefined,
      ...providerUrls.map((_, index) => this.#startProvider(`provider-${index + 1}`, secrets)),
      mail ? this.#startMail() : undefined,
    ]);
    const endpoints = resources?.endpoints ?? { sqs: '', events: '', region };

    const registry: Registry = {
      'mysql/main': await this.#functionsUrl(databases.mysqlUrl, secrets),
      'redis/main': databases.redisUrl,
      ...resources?.names,
      ...(http
        ? {
            'api/public': address('api'),
            'websocket/public': `ws://127.0.0.1:${this.#ports.websocket}`,
            'websocket/management': address('websocket'),
          }
        : {}),
      ...(providers > 0 ? { 'provider/payments': providerUrls.join(',') } : {}),
      ...(mail ? { 'secret/mail-url': `smtp://127.0.0.1:${this.#ports.mail}?from=${mailFrom}` } : {}),
      ...secrets,
      ...(this.#options.limits === 'as deployed' ? {} : demoLimits),
      // Receivers of webhooks are programs on this machine.
      [loopbackName]: 'allowed',
    };
    const registryFile = join(this.#dir, 'registry.json');
    writePrivate(registryFile, registry);
    const env: Record<string, string> = {
      HOLDFAST_REGISTRY: registryFile,
      NODE_COMPILE_CACHE: join(this.#dir, 'compiled'),
      ...(resources ? awsEnvironment(endpoints) : {}),
      ...this.#options.env,
    };

    await Promise.all([
      http ? this.#startHttp(env) : undefined,
      ...Array.from({ length: workers }, (_, index) => this.#startWorker(index, workers, env)),
    ]);

    const addresses: Addresses = {
      api: registry['api/public'] ?? '',
      websocket: registry['websocket/public'] ?? '',
      docs: http ? `${registry['api/public']}/docs` : '',
      mysql: databases.mysqlUrl,
      redis: databases.redisUrl,
      sqs: endpoints.sqs,
      events: endpoints.events ?? '',
      provider: providerUrls,
      mail: mail ? address('inbox') : '',
      registry: registryFile,
    };
    this.publish({ ...addresses, aws: this.#aws, localStack: this.#localStack });
    return {
      dir: this.#dir,
      addresses,
      registry,
      registryFile,
      env,
      endpoints,
      declared: this.#declared,
      aws: this.#aws,
      localStack: this.#localStack,
      processes: this.#supervisor.processes,
      process: (name) => {
        const known = this.#supervisor.processes.get(name);
        if (!known) throw new Error(`this stack has no process "${name}"`);
        return known;
      },
      publish: (more) => this.publish(more),
      stop: () => this.stop(),
    };
  }

  publish(more: Record<string, unknown>): void {
    Object.assign(this.#published, more);
    writePrivate(join(this.#dir, 'stack.json'), this.#published);
  }

  /** Stops in order of dependency: functions and what feeds them, then the queues and databases. */
  stop(): Promise<void> {
    this.#stopping ??= (async () => {
      this.#supervisor.stopping = true;
      const base = ['mysql', 'redis', 'queues', 'localstack'];
      await this.#supervisor.stopSome((name) => !base.includes(name));
      for (const undo of this.#atStop.reverse())
        await undo().catch((error: Error) => this.#supervisor.report(error.message));
      await this.#supervisor.stop();
      rmSync(join(this.#dir, 'stack.json'), { force: true });
      this.#folder.release();
      this.#forgetSignals();
    })();
    return this.#stopping;
  }

  async #startDatabases(): Promise<Databases> {
    const databases = await startDatabases(this.#supervisor);
    if (this.#options.fresh) {
      if (databases.mysqlFrom === 'given') {
        // A given server may hold other data, so a fresh start gets a database of its own there.
        databases.mysqlUrl = inDatabase(databases.mysqlUrl, `holdfast_${randomBytes(5).toString('hex')}`);
        this.#atStop.push(() => dropDatabase(databases.mysqlUrl));
      } else {
        await dropDatabase(databases.mysqlUrl);
        await flushRedis(databases.redisUrl);
      }
      await createDatabase(databases.mysqlUrl);
    }
    const { migrate } = await import('#platform/mysql/migrate.ts');
    await migrate(databases.mysqlUrl);
    return databases;
  }

  async #startAws(withEvents: boolean): Promise<{ endpoints: AwsEndpoints; names: Registry }> {
    if (this.#aws === 'localstack') {
      this.#localStack = await startLocalStack(this.#supervisor, this.#options.localStackWithinMs);
      const { url } = this.#localStack;
      const endpoints = { sqs: url, events: url, region };
      // One LocalStack may serve many clones and runs; each has resources of its own and deletes them at the end.
      const prefix = `hf${createHash('sha256').update(this.#dir).digest('hex').slice(0, 8)}`;
      await deleteResources(this.#declared, endpoints, { prefix }).catch(() => undefined);
      const names = await createResources(this.#declared, endpoints, { prefix });
      this.#atStop.push(() => deleteResources(this.#declared, endpoints, { prefix }));
      const bucket = `${prefix}-pictures`;
      const pictures = await createBucket(endpoints, bucket, 'localstack');
      this.#atStop.push(() => deleteBucket(endpoints, bucket));
      return { endpoints, names: { ...names, 'bucket/pictures': pictures } };
    }
    const endpoints: AwsEndpoints = {
      sqs: `http://127.0.0.1:${this.#ports.queues}`,
      ...(withEvents ? { events: `http://127.0.0.1:${this.#ports.events}` } : {}),
      region,
    };
    const queues = this.#startNode('queues', 'queue-server.ts', [
      ...['--port', String(this.#ports.queues)],
      ...(this.#options.queuesOnDisk === false
        ? []
        : ['--data-dir', join(this.#dir, 'queues'), '--files-dir', join(this.#dir, 'files')]),
    ]);
    const events = withEvents
      ? this.#startNode(
          'events',
          'events/main.ts',
          [
            ...['--port', String(this.#ports.events)],
            ...['--data-dir', join(this.#dir, 'events')],
            ...['--sqs-endpoint', endpoints.sqs],
          ],
          awsEnvironment(endpoints),
        )
      : undefined;
    await Promise.all([queues, events]);
    const names = await createResources(this.#declared, endpoints);
    const pictures = await createBucket(endpoints, 'pictures', 'embedded');
    return { endpoints, names: { ...names, 'bucket/pictures': pictures } };
  }

  /** The address of MySQL for functions, which have an account of their own, of this database alone. */
  async #functionsUrl(mysqlUrl: string, secrets: Registry): Promise<string> {
    const { ensureFunctionsAccount } = await import('#platform/mysql/functions-account.ts');
    const url = new URL(mysqlUrl);
    // A name for each database: another stack on the same server has another password.
    const username = `functions_${createHash('sha256').update(url.pathname).digest('hex').slice(0, 12)}`;
    const password = createHash('sha256').update(`mysql ${secrets['secret/guard-key']}`).digest('base64url');
    await ensureFunctionsAccount(mysqlUrl, { username, password });
    Object.assign(url, { username, password });
    return url.toString();
  }

  #startProvider(name: string, secrets: Registry): Promise<StackProcess> {
    const args = [
      ...['--port', String(this.#ports[name])],
      // All instances of the provider share one ledger, as an outside service does.
      ...['--data-dir', join(this.#dir, 'provider')],
      ...['--webhook-url', `http://127.0.0.1:${this.#ports.api}/webhooks/payments`],
    ];
    const env = {
      PROVIDER_API_KEY: secrets['secret/payment-api-key'] ?? '',
      PROVIDER_WEBHOOK_SECRET: secrets['secret/payment-webhook'] ?? '',
    };
    return this.#startNode(name, 'provider/main.ts', args, env);
  }

  #startMail(): Promise<StackProcess> {
    const ports = ['--port', String(this.#ports.mail), '--inbox-port', String(this.#ports.inbox)];
    return this.#startNode('mail', 'mail/main.ts', ports);
  }

  #startHttp(env: Record<string, string>): Promise<StackProcess> {
    const args = [
      ...['--port', String(this.#ports.api)],
      ...['--websocket-port', String(this.#ports.websocket)],
      ...['--work-dir', join(this.#dir, 'http')],
    ];
    return this.#startNode('http', 'http.ts', args, env, { readyTimeoutMs: 60_000, graceMs: 3_000 });
  }

  #startWorker(index: number, count: number, env: Record<string, string>): Promise<StackProcess> {
    return this.#startNode(`worker-${index + 1}`, 'worker.ts', ['--share', `${index}/${count}`], env, {
      graceMs: 15_000,
    });
  }

  /** Starts one of our own programs, which print a JSON line when they are ready. */
  #startNode(
    name: string,
    file: string,
    args: string[],
    env: Record<string, string> = {},
    more: Partial<ProcessSpec> = {},
  ): Promise<StackProcess> {
    return this.#supervisor.start({
      name,
      command: process.execPath,
      args: [join(import.meta.dirname, file), ...args],
      cwd: projectRoot,
      env: { ...process.env, ...env },
      ready: (log) => /^\{"ready":true/m.test(log()),
      restart: true,
      ...more,
    });
  }

  async #choosePorts(names: string[]): Promise<void> {
    for (const name of names) {
      const asked =
        name === 'api' ? this.#options.ports?.api : name === 'websocket' ? this.#options.ports?.websocket : 0;
      this.#ports[name] = await freePort(asked || this.#lastRun.ports?.[name]);
    }
    writeFileSync(join(this.#dir, 'ports.json'), JSON.stringify({ ports: this.#ports }));
  }

  #dropFiles(): void {
    for (const part of ['queues', 'files', 'events', 'provider', 'beds'])
      rmSync(join(this.#dir, part), { recursive: true, force: true });
  }

  #stopOnSignal(): void {
    let askedAt: number | undefined;
    const stopAndExit = (signal: NodeJS.Signals, code: number): void => {
      if (askedAt !== undefined) {
        // One Ctrl-C arrives twice: from the terminal and from the parent process. A later signal exits at once, and
        // the watchdog stops the rest.
        if (Date.now() - askedAt > sameSignalMs) process.exit(code);
        return;
      }
      askedAt = Date.now();
      this.#supervisor.report(`stopping (${signal})`);
      void this.stop().finally(() => process.exit(code));
    };
    const exitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };
    const heard = (signal: NodeJS.Signals) => stopAndExit(signal, exitCodes[signal as keyof typeof exitCodes]);
    const signals = Object.keys(exitCodes) as NodeJS.Signals[];
    for (const signal of signals) process.on(signal, heard);
    // A killed parent cannot pass a signal on, but its children get another parent.
    const parent = process.ppid;
    const watch = setInterval(() => {
      if (process.ppid !== parent && askedAt === undefined) heard('SIGHUP');
    }, 500).unref();
    this.#forgetSignals = () => {
      // While it stops, a further signal must still exit at once.
      if (askedAt !== undefined) return;
      clearInterval(watch);
      for (const signal of signals) process.off(signal, heard);
    };
  }
}

/** The emulator that `HOLDFAST_AWS` names. */
export function awsFromEnvironment(): Aws {
  const asked = process.env.HOLDFAST_AWS || 'embedded';
  if (asked === 'embedded' || asked === 'localstack') return asked;
  throw new Error(`HOLDFAST_AWS is "${asked}"; it can be embedded or localstack.`);
}

/** All local clients share one address, so the limits must be high. */
const demoLimits: Registry = {
  'limit/register-address': '100000/1000000',
  'limit/login-address': '100000/1000000',
  'limit/session-address': '100000/1000000',
  'limit/codes-caller': '100000/1000000',
  'limit/public-address': '100000/1000000',
  'limit/reservations-address': '100000/1000000',
  'limit/reservations-customer': '1000/60000',
  'limit/changes-customer': '1000/60000',
  'limit/lookups-customer': '1000/60000',
  'limit/messages-customer': '1000/60000',
  'limit/connections-customer': '1000/60000',
  'limit/api-key': '100000/1000000',
};

/** The secrets of a folder, created once, by their registry names. */
function folderSecrets(dir: string): Registry {
  const file = join(dir, 'secrets.json');
  const known = readJson<Registry>(file);
  const { privateKey } = generateKeyPairSync('ed25519');
  const made: Registry = {
    'secret/token-signing-key': JSON.stringify(privateKey.export({ format: 'jwk' })),
    'secret/payment-webhook': `whsec_${randomBytes(24).toString('base64')}`,
    'secret/payment-api-key': `sk_sandbox_${randomBytes(18).toString('base64url')}`,
    'secret/receipt-key': randomBytes(32).toString('base64url'),
    'secret/guard-key': randomBytes(32).toString('base64url'),
    'secret/webhook-key': randomBytes(32).toString('base64url'),
    // A folder that is older than one of them keeps those it has.
    ...known,
  };
  if (Object.keys(made).length !== Object.keys(known ?? {}).length) writePrivate(file, made);
  return made;
}

/** Writes atomically, readable by this user only. */
function writePrivate(file: string, content: object): void {
  mkdirSync(resolve(file, '..'), { recursive: true });
  const unfinished = `${file}.${process.pid}`;
  writeFileSync(unfinished, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  renameSync(unfinished, file);
}

function readJson<T>(file: string): T | undefined {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as T) : undefined;
}
