/**
 * The dependencies of a process in the model: the same ports that `lib/platform` opens over the network, over the
 * services of a `World`.
 *
 * Invariant: every call that leaves the process waits in the world until it is chosen. What they promise is what
 * `lib/platform` promises: a transaction is committed when it returns and undone when it throws, an unknown COMMIT is an
 * error, a call that cannot be made throws. Called by `episode.ts` and `scenarios.ts`.
 */
import { ChangeMessageVisibilityBatchCommand } from '@aws-sdk/client-sqs';
import { firstSentAttribute } from '#platform/aws/dead-letter-queue.ts';
import type { Bus, OutgoingEvent } from '#platform/aws/eventbridge.ts';
import type { SqsClient } from '#platform/aws/sqs-client.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { Fault as Unavailable } from '#platform/kernel/errors.ts';
import { lockLifeMs } from '#platform/kernel/time-limits.ts';
import { type Db, isRetryable, type Sql, type Tx } from '#platform/mysql/mysql.ts';
import { keys } from '#platform/redis/keys.ts';
import { luaSource, type RedisClient } from '#platform/redis/redis.ts';
import type { Grant, SaleLock } from '#platform/redis/sale-lock.ts';
import { openBreakers } from '#platform/resilience/circuit-breaker.ts';
import { paymentGateway } from '#purchase/payment-gateway.ts';
import type { PaymentAnswer, PaymentProvider } from '#purchase/provider.ts';
import { recentlyDecided } from '#reservation/recently-decided.ts';
import { noLock } from '#test/support/no-lock.ts';
import type { Fault } from './choice.ts';
import { NotUnderstood } from './lua.ts';
import { type Progress, SqlError } from './mysql.ts';
import { webhookSecret } from './provider.ts';
import type { RedisReply } from './redis.ts';
import { type Process, parts, Waiting, type World } from './world.ts';

/** How often a transaction is tried that the server has rolled back by itself, as in `lib/platform/mysql/mysql.ts`. */
const transactionAttempts = 4;
const fencingTokenSource = luaSource('lib/platform/redis/fencing-token.lua');

/** What shipped code in this process gets. */
export function depsOf(process: Process): Deps {
  const { world } = process;
  const redis = redisOf(process);
  const deps = {
    registry: registryOf(world),
    sqs: sqsOf(process),
    clock: () => world.nowMs,
    random: Math.random,
    breakers: openBreakers(),
    once: memoryOf(process),
    db: dbOf(process),
    redis,
    lock: world.options.locks ? lockOf(process) : noLock,
    bus: busOf(process),
    push: { send: async () => ({ gone: [] }), close: () => undefined },
    queue: (name: string) => queueOf(process, name),
    close: async () => undefined,
  };
  return deps as unknown as Deps;
}

const memories = new WeakMap<Process, Map<unknown, unknown>>();

/** What the environment of a process remembers: its batches, if it has one that lives on; the rest dies with the process. */
function memoryOf(process: Process): Deps['once'] {
  const kept = memories.get(process) ?? new Map<unknown, unknown>();
  memories.set(process, kept);
  return function once<T>(this: Deps, open: (deps: Deps) => T): T {
    if (!kept.has(open)) kept.set(open, opened(open, this));
    return kept.get(open) as T;
  };

  function opened(open: unknown, deps: Deps): unknown {
    if (open === paymentGateway) return providerOf(process);
    if (open === recentlyDecided && process.environment) return process.environment.memory;
    return (open as (deps: Deps) => unknown)(deps);
  }
}

/** The payment provider as this process sees it. */
function providerOf(process: Process): PaymentProvider {
  const { provider } = process.world;
  const call = (what: string, run: () => PaymentAnswer): Promise<PaymentAnswer> =>
    process.ask<PaymentAnswer>({
      to: 'provider',
      what: `provider ${what}`,
      faults: ['fail', 'part', 'lost', 'late'],
      run: () => {
        process.world.writes |= parts.provider;
        return run();
      },
      // A call that was refused before anything was sent is known not to have happened; every other failure is not.
      broken: (fault) =>
        fault === 'fail' ? { outcome: 'unsent', reason: 'busy' } : { outcome: 'unknown', reason: 'no answer' },
    });
  return {
    charge: (order) => call('charge', () => provider.charge(order)),
    find: (purchaseId) => call('find', () => provider.find(purchaseId)),
    cancel: (purchaseId) => call('cancel', () => provider.cancel(purchaseId)),
    refund: (order) => call('refund', () => provider.refund(order)),
  };
}

const lockWaitTimeout = 1205;
/** What the driver says when a connection ends in the middle of a statement. */
const lostConnection = () =>
  Object.assign(new Error('Connection lost: The server closed the connection.'), { code: 'PROTOCOL_CONNECTION_LOST' });
/** An error that may be transient or permanent. */
const unknownError = () => new SqlError(1105, 'Unknown error');
/** The chance that a failing statement fails with such an error rather than by losing its connection. */
const unknownErrorChance = 0.3;

function shortened(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .replace(/SELECT (?!\?).{60,}? FROM/, 'SELECT … FROM')
    .slice(0, 110);
}

/** Whether a statement locks nothing that others could wait for: a read, or a row that only its writer can know. */
function isPlainRead(text: string): boolean {
  const head = text.trimStart();
  if (head.startsWith('SELECT')) return !text.includes('FOR UPDATE');
  return head.startsWith('INSERT INTO outbox') || head.startsWith('INSERT INTO ledger');
}

function dbOf(process: Process): Db {
  const { mysql } = process.world;

  /** One statement; in no transaction it is one of its own. */
  function statement(transaction: number | undefined, text: string, values: unknown[] = []) {
    const progress: Progress = new Map();
    const own = transaction ?? mysql.begin();
    if (transaction === undefined) process.transactions.add(own);
    const end = () => {
      if (transaction === undefined) process.transactions.delete(own);
    };
    const answer = process.ask<{ rows: Record<string, unknown>[]; changed: number }>({
      to: 'mysql',
      what: () => shortened(text),
      faults: transaction === undefined ? ['fail', 'lost', 'late'] : ['fail'],
      run: () => {
        try {
          process.world.reads |= parts.rows;
          if (!isPlainRead(text)) process.world.writes |= parts.locks;
          const outcome = mysql.run(text, values, own, progress);
          if (outcome.waitsFor !== undefined) return new Waiting(own, outcome.waitsFor);
          if (transaction === undefined) mysql.commit(own);
          end();
          return outcome;
        } catch (error) {
          if (transaction === undefined) mysql.rollback(own);
          end();
          throw error;
        }
      },
      broken: (fault) => {
        // The connection is gone, and with it what it had not committed; a statement that is still to come commits.
        if (fault !== 'late') mysql.rollback(own);
        end();
        throw fault === 'fail' && process.world.chooser.happens(unknownErrorChance) ? unknownError() : lostConnection();
      },
    });
    if (transaction !== undefined) return answer;
    return answer.catch((error) => {
      // A lock wait timeout does not roll back the transaction; a statement with one of its own has to.
      if ((error as { errno?: number }).errno === lockWaitTimeout) mysql.rollback(own);
      end();
      throw error;
    });
  }

  function sql(transaction?: number): Sql {
    return {
      rows: async <R>(text: string, values?: unknown[]) => (await statement(transaction, text, values)).rows as R[],
      change: async (text, values) => (await statement(transaction, text, values)).changed,
    };
  }

  async function attempt<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    const transaction = mysql.begin();
    process.transactions.add(transaction);
    let result: T;
    try {
      result = await work({ ...sql(transaction), inTransaction: true } as Tx);
    } catch (error) {
      process.transactions.delete(transaction);
      mysql.rollback(transaction);
      throw error;
    }
    await process.ask<void>({
      to: 'mysql',
      what: 'COMMIT',
      faults: ['fail', 'lost', 'late'],
      run: () => {
        process.transactions.delete(transaction);
        if (!mysql.commit(transaction)) throw lostConnection();
      },
      broken: (fault: Fault) => {
        process.transactions.delete(transaction);
        if (fault === 'fail') mysql.rollback(transaction);
        throw lostConnection();
      },
    });
    return result;
  }

  const db = {
    ...sql(),
    async transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
      for (let count = 1; ; count++) {
        try {
          return await attempt(work);
        } catch (error) {
          if (!isRetryable(error) || count === transactionAttempts) throw error;
        }
      }
    },
    close: async () => undefined,
  };
  return db as unknown as Db;
}

function redisOf(process: Process): RedisClient {
  return new RedisStandIn(process) as unknown as RedisClient;
}

type Argument = string | number;

/** All scripts that were defined, by name. */
const scripts = new Map<string, string>();

/** A client of Redis, as far as shipped code uses one. */
class RedisStandIn {
  readonly status = 'ready';
  readonly lostAtMs = 0;
  readonly #process: Process;

  constructor(process: Process) {
    this.#process = process;
  }

  guarded<T>(commands: () => Promise<T>): Promise<T> {
    return commands();
  }

  defineCommand(name: string, { lua }: { lua: string }): void {
    if (scripts.has(name)) return;
    scripts.set(name, lua);
    Object.defineProperty(RedisStandIn.prototype, name, {
      value(this: RedisStandIn, ...parts: Argument[]) {
        return this.ask(name, () => this.script(name, parts));
      },
    });
    Object.defineProperty(RoundTrip.prototype, name, {
      value(this: RoundTrip, ...parts: Argument[]) {
        return this.add(name, (client) => client.script(name, parts));
      },
    });
  }

  pipeline(list: readonly (readonly [name: string, ...args: Argument[]])[] = []): RoundTrip {
    const trip = new RoundTrip(this);
    for (const [name, ...args] of list) trip.add(name, (client) => client.now(name, args));
    return trip;
  }

  ask<T>(what: string, run: () => T): Promise<T> {
    const { world } = this.#process;
    return this.#process.ask<T>({
      to: 'redis',
      what,
      faults: ['fail', 'lost', 'late'],
      run: () => {
        world.writes |= parts.redis;
        return run();
      },
      broken: () => {
        throw new Error('Command timed out');
      },
    });
  }

  now(name: string, args: readonly Argument[]): RedisReply {
    return this.#process.world.redis.command(name, args.map(String));
  }

  script(name: string, [count = 0, ...rest]: readonly Argument[]): RedisReply {
    const names = rest.slice(0, Number(count)).map(String);
    const args = rest.slice(Number(count)).map(String);
    return this.#process.world.redis.script(scripts.get(name) ?? '', names, args);
  }

  async hgetall(key: string): Promise<Record<string, string>> {
    const flat = (await this.ask('hgetall', () => this.now('hgetall', [key]))) as string[];
    return Object.fromEntries(Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]]));
  }
}

for (const name of ['get', 'set', 'del', 'unlink', 'hget', 'hmget', 'hset', 'hkeys', 'exists']) {
  Object.defineProperty(RedisStandIn.prototype, name, {
    value(this: RedisStandIn, ...args: Argument[]) {
      return this.ask(name, () => this.now(name, args));
    },
  });
}

/** Commands that go to Redis together. All are done as one: a server may let others in between, which no caller relies on. */
class RoundTrip {
  readonly #client: RedisStandIn;
  readonly #calls: { readonly what: string; readonly run: (client: RedisStandIn) => RedisReply }[] = [];

  constructor(client: RedisStandIn) {
    this.#client = client;
  }

  add(what: string, run: (client: RedisStandIn) => RedisReply): this {
    this.#calls.push({ what, run });
    return this;
  }

  exec(): Promise<[Error | null, RedisReply][]> {
    const first = this.#calls[0]?.what ?? 'nothing';
    const what = this.#calls.length > 1 ? `${this.#calls.length} commands, ${first} first` : first;
    return this.#client.ask(what, () =>
      this.#calls.map(({ run }): [Error | null, RedisReply] => {
        try {
          return [null, run(this.#client)];
        } catch (error) {
          if (error instanceof NotUnderstood) throw error;
          return [error as Error, null];
        }
      }),
    );
  }
}

function lockOf(process: Process): SaleLock {
  const { redis } = process.world;
  const ask = <T>(what: string, run: () => T, without: T): Promise<T> =>
    process.ask<T>({
      to: 'lock',
      what,
      faults: ['fail', 'lost'],
      run: () => {
        process.world.writes |= parts.redis;
        return run();
      },
      broken: () => without,
    });
  return {
    async acquire(tags) {
      const names = [...tags].sort().map(keys.lock);
      const owner = `${process.name}.${process.calls}`;
      const lock = (): Grant['fencingTokens'] => {
        if (redis.command('exists', names) !== 0) return new Map();
        for (const name of names) redis.command('set', [name, owner, 'PX', String(lockLifeMs)]);
        const token = Number(redis.script(fencingTokenSource, [keys.fencingToken()], []));
        return new Map(tags.map((tag) => [tag, token]));
      };
      const fencingTokens = await ask('lock', lock, new Map());
      const unlock = () => {
        for (const name of names) if (redis.command('get', [name]) === owner) redis.command('del', [name]);
      };
      const release = async () => {
        if (fencingTokens.size > 0) await ask('unlock', unlock, undefined);
      };
      return { fencingTokens, release };
    },
  };
}

/** Which queues an event goes to, as the rules of `serverless.yml` say. */
function targetsOf(detailType: string, detail: { released?: boolean }): string[] {
  const released = detailType === 'reservations.changed' && detail.released === true;
  return released ? ['notifications', 'advance'] : ['notifications'];
}

function busOf(process: Process): Bus {
  const { world } = process;
  const deliver = ({ detailType, detail: text }: OutgoingEvent) => {
    const detail = JSON.parse(text) as { eventId: string; released?: boolean };
    world.onPublished(detail.eventId);
    for (const target of targetsOf(detailType, detail)) {
      world.queues.get(target)?.send({ 'detail-type': detailType, detail });
    }
  };
  return {
    async publish(events) {
      if (events.length === 0) return [];
      return process.ask<boolean[]>({
        to: 'bus',
        what: () => `publish ${events.map(({ detailType }) => detailType).join(' ')}`,
        faults: events.length > 1 ? ['fail', 'lost', 'late', 'part'] : ['fail', 'lost', 'late'],
        run: () => {
          if (!world.busIsDown) for (const event of events) deliver(event);
          return events.map(() => !world.busIsDown);
        },
        broken: (fault) => {
          if (fault !== 'part') return events.map(() => false);
          return events.map((event, index) => {
            if (index % 2 === 1) return false;
            deliver(event);
            return true;
          });
        },
      });
    },
  };
}

function queueOf(process: Process, name: string): ReturnType<Deps['queue']> {
  const { world } = process;
  const send = ({ body, delaySeconds }: { body: unknown; delaySeconds?: number }): Promise<void> =>
    process.ask<void>({
      to: 'queue',
      what: () => `send to ${name} ${JSON.stringify(body)}`,
      faults: ['fail', 'lost', 'late'],
      run: () => world.queues.get(name)?.send(body, delaySeconds),
      broken: () => {
        throw new Unavailable('queue_unavailable', 'the queue cannot be reached');
      },
    });
  return {
    url: name,
    send,
    sendAll: async (messages) => {
      await Promise.all(messages.map(send));
    },
  };
}

const registries = new WeakMap<World, Deps['registry']>();

/** Where the queues and their dead letters are: a queue's own name is its address. */
function registryOf(world: World): Deps['registry'] {
  const known = registries.get(world);
  if (known) return known;
  const names = [...world.queues.keys()];
  const made = Object.fromEntries(
    names.flatMap((name) => [
      [`queue/${name}`, name],
      [`dead/${name}`, name],
    ]),
  );
  made['secret/payment-webhook'] = webhookSecret;
  made['secret/receipt-key'] = 'receipts';
  registries.set(world, made);
  return made;
}

/** What a consumer tells SQS of the messages that it holds. */
function sqsOf(process: Process): SqsClient {
  const { world } = process;
  const ask = <T>(what: string, run: () => T): Promise<T> =>
    process.ask<T>({
      to: 'queue',
      what,
      faults: ['fail', 'lost', 'late'],
      run,
      broken: () => {
        throw new Error('SQS did not answer');
      },
    });
  const sendMessages: SqsClient['sendMessages'] = (url, entries) =>
    ask(`deadLetter ${entries.length} messages of ${url}`, () => {
      for (const { MessageBody = '', MessageAttributes } of entries) {
        const sentAtMs = Number(MessageAttributes?.[firstSentAttribute]?.StringValue ?? world.nowMs);
        world.queues.get(url)?.deadLetter(MessageBody, sentAtMs);
      }
      return { Successful: entries.map(({ Id }) => ({ Id, MessageId: Id, MD5OfMessageBody: '' })), Failed: [] };
    });
  const send = (command: unknown): Promise<unknown> => {
    if (command instanceof ChangeMessageVisibilityBatchCommand) {
      const { QueueUrl = '', Entries = [] } = command.input;
      return ask(`hold back ${Entries.length} messages of ${QueueUrl}`, () => {
        for (const { ReceiptHandle = '', VisibilityTimeout = 0 } of Entries) {
          world.queues.get(QueueUrl)?.deliverAgain(ReceiptHandle, VisibilityTimeout);
        }
      });
    }
    throw new NotUnderstood(`SQS: ${String((command as object).constructor.name)}`);
  };
  return { send, sendMessages } as unknown as SqsClient;
}
