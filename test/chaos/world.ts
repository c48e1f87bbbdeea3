/**
 * The real stack, ready for fault injection: every function process reaches its dependencies through a proxy, and every
 * process can be killed, stopped and started by the driver.
 *
 * Invariants: a run begins with empty stores, queues and books, so what is found afterwards is its own doing; the client
 * load and the verifier use the true addresses. Visibility is shorter than declared, so that redelivery takes seconds;
 * what depends on the declared one is measured apart. Opened once by main.ts or the tests; rows get it through `Run`.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  GetQueueAttributesCommand,
  PurgeQueueCommand,
  SendMessageCommand,
  SetQueueAttributesCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import { Redis } from 'ioredis';
import { createPool, type Pool } from 'mysql2/promise';
import { seedOperator } from '#identity/register.ts';
import { Account, Api, Operator } from '#load/client.ts';
import { ClientLog, type LogLine } from '#load/log.ts';
import { type Target, targetOf } from '#load/verify/target.ts';
import { awsEnvironment, sqsClient } from '#local/aws-resources.ts';
import { startOwnRedis } from '#local/databases.ts';
import { type Registry, type Stack, startStack } from '#local/stack.ts';
import { projectRoot } from '#local/state-folder.ts';
import { type StackProcess, Supervisor } from '#local/supervisor.ts';
import { waitFor } from '#local/wait.ts';
import { systemClock } from '#platform/kernel/clock.ts';
import { openDb } from '#platform/mysql/mysql.ts';
import { audience, type OidcServer, startOidc } from '../support/oidc.ts';
import { StripeDouble } from '../support/stripe-double.ts';
import { TossDouble } from '../support/toss-double.ts';
import { TroubledProxy } from './proxy.ts';
import type { ChaosOrders } from './steps.ts';

export interface WorldOptions {
  dir: string;
  seed: number;
  customers?: number;
  report: (line: string) => void;
}

/** How long a message of this stack stays invisible, so that redelivery can be waited for. */
export const visibilitySeconds = 4;

/** The account with which the functions reach MySQL. */
export const functionsAccount = 'functions';

export type ProxyName = 'mysql' | 'redis' | 'sqs' | 'events' | 'provider' | 'stripe' | 'toss';

/** Writes into whichever run's log is current. */
class RunLog extends ClientLog {
  current: ClientLog | undefined;
  override write(line: LogLine): void {
    if (this.current) this.current.write(line);
    else super.write(line);
  }
}

/** True if the system says that a process is stopped; where the system does not say, it is believed. */
export function standsStill(one: StackProcess): boolean {
  if (process.platform !== 'linux') return one.running;
  try {
    const stat = readFileSync(`/proc/${one.pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) === 'T';
  } catch {
    return false;
  }
}

/** Who is outside of the stack: the providers beside its sandbox, and an issuer of access tokens. */
interface Others {
  readonly stripe: StripeDouble;
  readonly toss: TossDouble;
  readonly issuer: OidcServer;
  /** The addresses of the providers, with their keys. */
  readonly addresses: { readonly stripe: URL; readonly toss: URL };
}

async function startOthers(): Promise<Others> {
  const [stripe, toss] = [new StripeDouble(), new TossDouble()];
  const addresses = { stripe: await stripe.start(), toss: await toss.start() };
  return { stripe, toss, addresses, issuer: await startOidc() };
}

async function stopOthers({ stripe, toss, issuer }: Others): Promise<void> {
  await Promise.all([stripe.stop(), toss.stop(), issuer.close()]);
}

/** A run of reconcile, as its status tells it. */
interface Reconciled {
  readonly state: string;
  readonly statusUrl: string;
  readonly driftsFound: number;
  readonly drifts: readonly { readonly kind: string; readonly repaired: boolean; readonly likelyCause: string }[];
}

export class World {
  readonly stack: Stack;
  readonly target: Target;
  readonly proxies: Record<ProxyName, TroubledProxy>;
  readonly pool: Pool;
  readonly redis: Redis;
  readonly sqs: SQSClient;
  readonly report: (line: string) => void;
  api!: Api;
  accounts: Account[] = [];
  operator!: Operator;
  operatorAccount!: Account;
  /** A thing at 12.50 EUR, and one at 7,500 won. */
  productId = '';
  productInWonId = '';
  http!: StackProcess;
  /** How many processes the driver has killed and stopped. */
  kills = 0;
  pauses = 0;
  readonly stripe: StripeDouble;
  readonly toss: TossDouble;
  readonly issuer: OidcServer;
  #others: Others;
  #supervisor: Supervisor;
  #registryFile = '';
  #env: Record<string, string> = {};
  #log: RunLog;
  #ports: Record<string, number>;
  #workers = new Map<string, StackProcess>();
  #stopped = new Set<StackProcess>();
  #plain = true;

  private constructor(stack: Stack, others: Others, proxies: Record<ProxyName, TroubledProxy>, options: WorldOptions) {
    this.stack = stack;
    this.#others = others;
    this.stripe = others.stripe;
    this.toss = others.toss;
    this.issuer = others.issuer;
    const { stripe, toss } = others.addresses;
    this.target = { ...targetOf(stack.dir), stripe: stripe.href, toss: toss.href };
    this.proxies = proxies;
    this.report = options.report;
    this.pool = createPool({ uri: stack.addresses.mysql, connectionLimit: 3, enableKeepAlive: true });
    this.redis = new Redis(stack.addresses.redis, { maxRetriesPerRequest: null });
    this.redis.on('error', () => undefined);
    this.sqs = sqsClient(stack.endpoints);
    this.#supervisor = new Supervisor(join(stack.dir, 'functions'), () => undefined);
    this.#log = new RunLog(join(stack.dir, 'sign-in.jsonl'));
    this.#ports = (
      JSON.parse(readFileSync(join(stack.dir, 'ports.json'), 'utf8')) as { ports: Record<string, number> }
    ).ports;
  }

  /** Starts everything and signs the customers in. */
  static async open(options: WorldOptions): Promise<World> {
    // Only servers of its own may be killed, stopped and filled up.
    for (const name of ['MYSQL_URL', 'REDIS_URL', 'HOLDFAST_AWS']) delete process.env[name];
    process.env.HOLDFAST_DOCKER = 'off';
    const stack = await startStack({
      dir: options.dir,
      fresh: true,
      http: false,
      workers: 0,
      providers: 1,
      report: options.report,
    });
    const others = await startOthers();
    try {
      const { mysql, redis, sqs, events, provider } = stack.addresses;
      const portOf = (url: string) => Number(new URL(url).port);
      const open = (url: string, index: number) => TroubledProxy.open(portOf(url), options.seed * 10 + index);
      const proxies = {
        mysql: await open(mysql, 1),
        redis: await open(redis, 2),
        sqs: await open(sqs, 3),
        events: await open(events, 4),
        provider: await open(provider[0] ?? '', 5),
        stripe: await open(others.addresses.stripe.href, 6),
        toss: await open(others.addresses.toss.href, 7),
      };
      const world = new World(stack, others, proxies, options);
      await world.#start(options);
      return world;
    } catch (error) {
      await stopOthers(others);
      await stack.stop();
      throw error;
    }
  }

  async #start(options: WorldOptions): Promise<void> {
    const { registry, endpoints } = this.stack;
    const through = (url: string, name: ProxyName) => {
      const address = new URL(url);
      address.hostname = '127.0.0.1';
      address.port = String(this.proxies[name].port);
      return address.toString().replace(/\/$/, '');
    };
    const api = `http://127.0.0.1:${this.#ports.api}`;
    const ordinary = await this.#ordinaryAccount(registry['mysql/main'] ?? '');
    const queues = Object.entries(registry).filter(([name]) => /^(queue|dead)\//.test(name));
    const proxied: Registry = {
      ...registry,
      // The SDK uses a queue's own address, not the endpoint.
      ...Object.fromEntries(queues.map(([name, url]) => [name, through(url, 'sqs')])),
      'mysql/main': through(ordinary, 'mysql'),
      'redis/main': through(registry['redis/main'] ?? '', 'redis'),
      'provider/payments': through(registry['provider/payments'] ?? '', 'provider'),
      'provider/stripe': through(`${this.target.stripe}?return=https://shop.example/paid`, 'stripe'),
      'secret/stripe-webhook': this.stripe.webhookSecret,
      'provider/toss': through(this.target.toss ?? '', 'toss'),
      'provider/choices': 'sandbox, stripe, toss',
      'auth/customers': JSON.stringify({ issuers: [{ issuer: this.issuer.issuer, audience }] }),
      'api/public': api,
      'websocket/public': `ws://127.0.0.1:${this.#ports.websocket}`,
      'websocket/management': `http://127.0.0.1:${this.#ports.websocket}`,
    };
    this.#registryFile = join(this.stack.dir, 'chaos-registry.json');
    writeFileSync(this.#registryFile, JSON.stringify(proxied, null, 2), { mode: 0o600 });
    this.#env = {
      ...this.stack.env,
      ...awsEnvironment({
        sqs: through(endpoints.sqs, 'sqs'),
        events: through(endpoints.events ?? '', 'events'),
        region: endpoints.region,
      }),
      HOLDFAST_REGISTRY: this.#registryFile,
      HOLDFAST_LOG_LEVEL: 'warn',
    };
    await this.#shortenVisibility();
    await this.startHttp();
    // Its customers repeat what they ask themselves, more often and sooner than the client does.
    this.api = new Api({ url: api, log: this.#log, connections: 4_000, tries: 1 });
    await this.#signIn(options.customers ?? 24);
  }

  /** An account for the functions alone. It has no global rights: administrators may write while a server is read-only. */
  async #ordinaryAccount(mysql: string): Promise<string> {
    const url = new URL(mysql);
    const password = randomBytes(18).toString('base64url');
    await this.pool.query(`CREATE OR REPLACE USER '${functionsAccount}'@'%' IDENTIFIED BY ?`, [password]);
    await this.pool.query(`GRANT ALL ON ??.* TO '${functionsAccount}'@'%'`, [url.pathname.slice(1)]);
    url.username = functionsAccount;
    url.password = password;
    return url.toString();
  }

  async #shortenVisibility(): Promise<void> {
    for (const name of Object.keys(this.target.queues)) await this.setVisibility(name, visibilitySeconds);
  }

  /** How long a message that a queue delivers from now on stays invisible. */
  async setVisibility(queue: string, seconds: number): Promise<void> {
    const QueueUrl = this.target.queues[queue];
    await this.sqs.send(
      new SetQueueAttributesCommand({ QueueUrl, Attributes: { VisibilityTimeout: String(seconds) } }),
    );
  }

  async #signIn(customers: number): Promise<void> {
    const operator = { email: 'operator@chaos.example', password: 'a long operator password' };
    const db = openDb(this.stack.addresses.mysql, { connections: 1 });
    await seedOperator({ db, clock: systemClock }, operator, 'admin').finally(() => db.close());
    this.operatorAccount = await Account.login(this.api, operator);
    this.operator = new Operator(this.operatorAccount);
    const products = ['CHAOS,Thing,A thing,1250,EUR', 'CHAOS-WON,Thing,A thing,7500,KRW'];
    await this.operator.importProducts(`sku,name,description,price_minor,currency\n${products.join('\n')}\n`);
    for (const { sku, productId } of await this.operator.products()) {
      if (sku === 'CHAOS') this.productId = productId;
      else this.productInWonId = productId;
    }
    const names = Array.from({ length: customers }, (_, index) => `customer-${index}`);
    const register = async (name: string) =>
      Account.register(this.api, { email: `${name}@chaos.example`, password: `${name} has a password`, name });
    for (let start = 0; start < names.length; start += 4)
      this.accounts.push(...(await Promise.all(names.slice(start, start + 4).map(register))));
  }

  /** Starts the HTTP host, or starts it again with other orders. */
  async startHttp(orders: ChaosOrders = {}, env: Record<string, string> = {}): Promise<void> {
    await this.http?.stop();
    const args = [
      ...['--port', String(this.#ports.api), '--websocket-port', String(this.#ports.websocket)],
      ...['--work-dir', join(this.stack.dir, 'http')],
    ];
    this.http = await this.#startNode('http', 'local/http.ts', args, orders, env);
  }

  /** Starts a worker process under a name. `share` is its part of the concurrency, `functions` which functions it runs. */
  async startWorker(
    name: string,
    options: {
      share?: string;
      functions?: string;
      orders?: ChaosOrders;
      env?: Record<string, string>;
      root?: string;
    } = {},
  ): Promise<StackProcess> {
    const { share = '0/1', functions, orders = {}, env = {} } = options;
    await this.#workers.get(name)?.stop();
    const args = ['--share', share, ...(functions ? ['--functions', functions] : [])];
    const worker = await this.#startNode(name, 'local/worker.ts', args, orders, env, options.root);
    this.#workers.set(name, worker);
    return worker;
  }

  /** The names of all queue functions but one, for a worker that runs while that one is away. */
  functionsBut(absent: string): string {
    const names = this.stack.declared.functions.filter(({ mappings }) => mappings.length > 0).map(({ key }) => key);
    return names.filter((name) => name !== absent).join(',');
  }

  /** Workers that share all functions. Those that run already with nothing special about them are left as they are. */
  async startWorkers(count: number, orders: ChaosOrders = {}): Promise<StackProcess[]> {
    const plain = Object.keys(orders).length === 0;
    const running = [...this.#workers.values()].filter((worker) => worker.running);
    if (plain && this.#plain && running.length === count && this.#workers.size === count) return running;
    await this.stopWorkers();
    this.#plain = plain;
    return Promise.all(
      Array.from({ length: count }, (_, index) =>
        this.startWorker(`worker-${index + 1}`, { share: `${index}/${count}`, orders }),
      ),
    );
  }

  /** Workers that are not the plain ones must not be taken for them by the next run. */
  markSpecial(): void {
    this.#plain = false;
  }

  get workers(): StackProcess[] {
    return [...this.#workers.values()];
  }

  async stopWorkers(): Promise<void> {
    this.continueAll();
    await Promise.all(this.workers.map((worker) => worker.stop()));
    this.#workers.clear();
  }

  #startNode(
    name: string,
    file: string,
    args: string[],
    orders: ChaosOrders,
    env: Record<string, string>,
    root = projectRoot,
  ): Promise<StackProcess> {
    const preload = Object.keys(orders).length > 0 ? ['--import', join(projectRoot, 'test/chaos/steps.ts')] : [];
    return this.#supervisor.start({
      name,
      command: process.execPath,
      args: ['--disable-warning=ExperimentalWarning', ...preload, join(root, file), ...args],
      cwd: root,
      env: { ...process.env, ...this.#env, ...env, HOLDFAST_CHAOS: JSON.stringify(orders) },
      ready: (log) => /^\{"ready":true/m.test(log()),
      readyTimeoutMs: 60_000,
      graceMs: 1_500,
    });
  }

  /** Stops a process as by SIGSTOP. */
  pause(one: StackProcess): void {
    if (!one.running) return;
    this.#stopped.add(one);
    one.kill('SIGSTOP');
  }

  /** Lets a process go on. Its pause counts if it really stood still. */
  continue(one: StackProcess): void {
    if (this.#stopped.delete(one) && standsStill(one)) this.pauses++;
    if (one.running) one.kill('SIGCONT');
  }

  continueAll(): void {
    for (const one of [...this.#stopped]) this.continue(one);
    for (const one of this.workers) if (one.running) one.kill('SIGCONT');
  }

  /** Kills a process as by kill -9 and starts it again. */
  async crash(one: StackProcess): Promise<void> {
    if (one.running) this.kills++;
    await one.crashAndStart();
  }

  /** A process of the stack: mysql, redis, queues, events, provider-1. */
  part(name: string): StackProcess {
    return this.stack.process(name);
  }

  /** Empties what the last run left, and begins a log. */
  async begin(logFile: string): Promise<void> {
    await this.heal();
    if (!this.#plain) await this.stopWorkers();
    await waitFor('the bus to be idle', () => this.#busIdle(), { timeoutMs: 60_000 }).catch(() => undefined);
    for (const QueueUrl of [...Object.values(this.target.queues), ...Object.values(this.target.deadLetters)])
      await this.sqs.send(new PurgeQueueCommand({ QueueUrl }));
    for (const table of [
      'reservations',
      'waitlist',
      'grants',
      'ledger',
      'outbox',
      'notifications',
      'refunds',
      'purchase_items',
      'purchases',
      'cancellations',
      'sale_jobs',
      'due_reminders',
      'reconciliations',
      'labels',
      'webhook_deliveries',
      'webhook_messages',
      'webhook_redeliveries',
      'webhook_endpoints',
      'sales',
    ])
      await this.pool.query(`DELETE FROM ${table}`);
    await this.redis.flushall();
    this.stripe.clear();
    this.toss.clear();
    const books = await this.provider<{ charges: unknown[] }>('GET', '/v1/ledger');
    if (books.charges.length > 0) {
      const provider = this.part('provider-1');
      await provider.stop();
      rmSync(join(this.stack.dir, 'provider'), { recursive: true, force: true });
      await provider.start();
    }
    mkdirSync(join(logFile, '..'), { recursive: true });
    this.#log.current = new ClientLog(logFile);
  }

  /** Ends the log of a run. */
  async endLog(): Promise<void> {
    const log = this.#log.current;
    this.#log.current = undefined;
    await log?.close();
  }

  async #busIdle(): Promise<boolean> {
    const answer = await fetch(`${this.stack.addresses.events}/_stats`);
    return ((await answer.json()) as { pending: number }).pending === 0;
  }

  /**
   * Starts a second Redis that follows the first; `failOver` promotes it and demotes the first to its replica, while open
   * connections stay with the first, and `end` undoes that. What was written meanwhile is in the first again then.
   */
  async redisReplica(): Promise<{ failOver(): Promise<void>; end(): Promise<void> }> {
    const supervisor = new Supervisor(join(this.stack.dir, 'replica'), () => undefined);
    const first = new URL(this.stack.addresses.redis);
    const second = new URL(await startOwnRedis(supervisor));
    const replica = new Redis(second.toString());
    replica.on('error', () => undefined);
    // The same password for both, since clients do not know that there are two.
    const password = decodeURIComponent(first.password);
    if (password !== '') {
      await replica.config('SET', 'masterauth', password);
      await replica.config('SET', 'requirepass', password);
      await this.redis.config('SET', 'masterauth', password);
    }
    const inStep = async (one: Redis) => {
      const said = await one.info('replication');
      return /master_link_status:up/.test(said) && /master_sync_in_progress:0/.test(said);
    };
    await replica.replicaof('127.0.0.1', Number(first.port));
    await waitFor('the replica to follow', () => inStep(replica), { timeoutMs: 30_000 });
    return {
      failOver: async () => {
        await replica.replicaof('NO', 'ONE');
        await this.redis.replicaof('127.0.0.1', Number(second.port));
        this.proxies.redis.leadTo(Number(second.port));
      },
      end: async () => {
        await waitFor('the first to follow', () => inStep(this.redis), { timeoutMs: 30_000 }).finally(() =>
          this.redis.replicaof('NO', 'ONE'),
        );
        this.proxies.redis.leadTo(Number(first.port));
        replica.disconnect();
        await supervisor.stop();
      },
    };
  }

  /** Heals everything: every proxy transparent, every fault off, every process alive. */
  async heal(): Promise<void> {
    for (const proxy of Object.values(this.proxies)) proxy.set();
    this.continueAll();
    for (const name of ['mysql', 'redis', 'queues', 'events', 'provider-1']) {
      const part = this.part(name);
      if (part.running) part.kill('SIGCONT');
      await waitFor(
        `${name} to run`,
        async () => {
          if (!part.running) await part.start();
          return true;
        },
        { timeoutMs: 60_000 },
      );
    }
    await this.faults('events');
    await this.faults('provider');
    for (const double of [this.stripe, this.toss]) double.trouble = undefined;
    this.issuer.answers('well');
    for (const worker of this.workers) if (!worker.running) await worker.start();
    if (!this.http.running) await this.http.start();
    await waitFor('the stores to answer', () => this.#storesAnswer(), { timeoutMs: 60_000 });
  }

  async #storesAnswer(): Promise<boolean> {
    await this.pool.query({ sql: 'SELECT 1', timeout: 2_000 });
    return this.redis.status === 'ready' && (await this.redis.ping()) === 'PONG';
  }

  /** Sets the faults of the bus or the provider; none without settings. */
  async faults(of: 'events' | 'provider', settings?: Record<string, unknown>): Promise<void> {
    const url = of === 'events' ? this.stack.addresses.events : this.stack.addresses.provider[0];
    const init = settings ? { method: 'POST', body: JSON.stringify(settings) } : { method: 'DELETE' };
    const answer = await fetch(`${url}/_faults`, init);
    if (!answer.ok) throw new Error(`${of} refused the faults: ${await answer.text()}`);
  }

  /** Fires a scheduled rule at once. Throws if there is none whose name ends so. */
  async fire(rule: string): Promise<void> {
    const name = this.stack.declared.rules.find((one) => one.name.endsWith(rule))?.name;
    if (name === undefined) throw new Error(`there is no rule ${rule}`);
    await fetch(`${this.stack.addresses.events}/_fire`, { method: 'POST', body: JSON.stringify({ rule: name }) });
  }

  async provider<Body>(method: string, path: string): Promise<Body> {
    const answer = await fetch(`${this.stack.addresses.provider[0]}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.target.providerKey}` },
    });
    return (await answer.json()) as Body;
  }

  /** Sends a message past the API. */
  async send(queue: string, body: unknown): Promise<void> {
    const MessageBody = typeof body === 'string' ? body : JSON.stringify(body);
    await this.sqs.send(new SendMessageCommand({ QueueUrl: this.target.queues[queue], MessageBody }));
  }

  /** Purges a queue, or its dead-letter queue. */
  async purge(kind: 'queue' | 'dead', name: string): Promise<void> {
    const QueueUrl = (kind === 'dead' ? this.target.deadLetters : this.target.queues)[name];
    await this.sqs.send(new PurgeQueueCommand({ QueueUrl }));
  }

  /** How many messages a queue or its dead letters hold, in flight or not. */
  async depth(queue: string, dead = false): Promise<number> {
    const { Attributes = {} } = await this.sqs.send(
      new GetQueueAttributesCommand({
        QueueUrl: (dead ? this.target.deadLetters : this.target.queues)[queue],
        AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'],
      }),
    );
    return Number(Attributes.ApproximateNumberOfMessages) + Number(Attributes.ApproximateNumberOfMessagesNotVisible);
  }

  async rows<Row>(sql: string, values: unknown[] = []): Promise<Row[]> {
    const [rows] = await this.pool.query(sql, values);
    return rows as Row[];
  }

  /** An operator's call to the API. */
  async operate<Body>(
    method: string,
    path: string,
    body?: unknown,
    key?: string,
  ): Promise<{ status: number; body: Body }> {
    const answer = await this.api.send<Body>('operator', {
      ...{ method, path, body },
      token: await this.operatorAccount.token(),
      ...(key === undefined ? {} : { key }),
    });
    return { status: answer.status, body: answer.body };
  }

  /** Reconciles on an operator's behalf, and waits until that is done. Throws if it takes a minute. */
  async reconcile(request: { saleId?: string }): Promise<Reconciled> {
    const { body: begun } = await this.operate<Reconciled>('POST', '/ops/reconcile', request);
    return waitFor(
      'reconcile to be done',
      async () => {
        const { body } = await this.operate<Reconciled>('GET', begun.statusUrl);
        return body.state === 'done' && body;
      },
      { timeoutMs: 60_000 },
    );
  }

  async close(): Promise<void> {
    this.continueAll();
    this.api?.close();
    await this.#supervisor.stop();
    this.redis.disconnect();
    await this.pool.end().catch(() => undefined);
    this.sqs.destroy();
    await Promise.all(Object.values(this.proxies).map((proxy) => proxy.close()));
    await stopOthers(this.#others);
    await sleep(50);
    await this.stack.stop();
  }
}
